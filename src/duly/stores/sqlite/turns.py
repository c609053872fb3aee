"""Who writes next in this process: first come, first served.

Units of work go to the writer as they come, and it commits together what has gathered. An open transaction of a handler
is alone: it waits until those before it are done, and those after it wait for its end. So a stream of small commits
starves no open transaction, nor the reverse.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from duly.stores.sqlite.unit import Unit


class Turns:
    """In one event loop. *hand_over* takes a unit to the writer; it is called without a wait in between."""

    def __init__(self, hand_over: Callable[[Unit[Any]], None]) -> None:
        self._hand_over = hand_over
        self._with_writer = 0
        self._is_alone = False
        self._waiting: deque[Unit[Any] | asyncio.Future[None]] = deque()

    def give(self, unit: Unit[Any]) -> None:
        """Hand a unit over, as soon as it is its turn."""
        if self._is_alone or self._waiting:
            self._waiting.append(unit)
        else:
            self._with_writer += 1
            self._hand_over(unit)

    def done(self, count: int) -> None:
        """The writer is through with so many units."""
        self._with_writer -= count
        self._go_on()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Nobody else has the writer from here to the end of the block."""
        if self._is_alone or self._waiting or self._with_writer:
            await self._wait()
        self._is_alone = True
        try:
            yield
        finally:
            self._is_alone = False
            self._go_on()

    async def _wait(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come
                self._is_alone = False
            self._go_on()
            raise

    def _go_on(self) -> None:
        while self._waiting and not self._is_alone:
            match self._waiting[0]:
                case Unit() as unit:
                    if not unit.is_withdrawn:
                        self._with_writer += 1
                        self._hand_over(unit)
                case turn:
                    if not turn.cancelled():
                        if self._with_writer:
                            return
                        self._is_alone = True
                        turn.set_result(None)
            self._waiting.popleft()
