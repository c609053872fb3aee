"""Ends calls that take too long, with one timer for all of them.

A timer for each call, made and taken back again, costs more than all else that is done around a small handler.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType


class TimeLimit:
    """How long each of many calls may take. What takes longer is cancelled, and its block raises `TimeoutError`."""

    def __init__(self, limit: timedelta) -> None:
        self._seconds = limit.total_seconds()
        self._calls: dict[_Call, float] = {}
        """Those under way with their ends: all have the same limit, so the first is the next to end."""
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def call(self) -> AbstractContextManager[None]:
        """The block of one call, in the task that makes it."""
        return _Call(self)

    def begin(self, call: _Call) -> None:
        """A call begins."""
        loop = asyncio.get_running_loop()
        self._calls[call] = loop.time() + self._seconds
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_later(self._seconds, self._end_late_ones)

    def end(self, call: _Call) -> None:
        """It has ended."""
        self._calls.pop(call, None)

    def _end_late_ones(self) -> None:
        assert self._loop is not None
        now = self._loop.time()
        self._timer = None
        for call, end in list(self._calls.items()):
            if end > now:
                self._timer = self._loop.call_at(end, self._end_late_ones)
                return
            del self._calls[call]
            call.cancel()


class _Call:
    """As `asyncio.timeout`, apart from the timer."""

    __slots__ = ("_cancelling", "_is_late", "_limit", "_task")

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit
        self._is_late = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a call is made in a task"
        self._task = task
        self._cancelling = task.cancelling()
        self._limit.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._limit.end(self)
        if self._is_late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def cancel(self) -> None:
        """Its time is over."""
        self._is_late = True
        self._task.cancel()
