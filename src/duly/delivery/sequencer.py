"""Gives the events of the log their positions, behind the commits: see ADR-0018."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from duly.errors import StoreError
from duly.ports.log import LogStore
from duly.telemetry import log

NUMBERED_PER_STEP_MAX: Final = 250
"""Commits. They are read as one, so that more would cost whoever reads a few events of them."""
GATHER_SECONDS: Final = 0.02
"""The rest behind a step, for commits to gather; no longer than the interval."""


class Sequencer:
    """One per worker; several do no harm to each other, and whichever comes first numbers everything there is.

    It numbers at once when it is woken after a rest, and then at most once per `GATHER_SECONDS`: so that, when there is
    much to do, many commits share one step. Without a wake-up it looks once per *interval*.
    """

    def __init__(self, store: LogStore, *, interval: timedelta, on_numbered: Callable[[], None]) -> None:
        self._store = store
        self._interval = interval.total_seconds()
        self._on_numbered = on_numbered
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """Something was committed, in this process or another."""
        self._woken.set()

    def stop(self) -> None:
        """Number nothing more."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Number what is committed, until `stop`. A store that numbers at commit leaves nothing to do."""
        while not self._stopping.is_set() and not self._store.numbers_at_commit:
            self._woken.clear()
            numbered = await self._number()
            if numbered == NUMBERED_PER_STEP_MAX:
                continue
            if numbered:
                await self._rest(self._stopping, min(GATHER_SECONDS, self._interval))
            else:
                await self._rest(self._woken, self._interval)

    async def _number(self) -> int:
        try:
            numbered = await self._store.number_commits(NUMBERED_PER_STEP_MAX)
        except StoreError as error:
            log(logging.ERROR, "the events of the log cannot be numbered; projections wait", error=str(error))
            # The rest of a whole interval, however often it is woken.
            await self._rest(self._stopping, self._interval)
            return 0
        if numbered:
            self._on_numbered()
        return numbered

    async def _rest(self, unless: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await unless.wait()
        except TimeoutError:
            pass
