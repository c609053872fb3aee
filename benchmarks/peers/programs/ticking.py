"""Commits at a steady rate, and how long each waits for its handler: the same for every peer, as ours is measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.programs.values import COMMANDS_PER_SECOND

WARM_UP = 20
"""Numbers below nought, before the clock runs: their handler shows that the worker listens."""


class Ticking:
    """When each number was committed (told by whoever commits) and when its handler ran."""

    def __init__(self, operations: int) -> None:
        self.operations = operations
        self.committed: dict[int, float] = {}
        self._handled: dict[int, float] = {}
        self._told = asyncio.Event()

    def handle(self, number: int) -> None:
        """The handler of *number* runs now."""
        self._handled.setdefault(number, time.perf_counter())
        self._told.set()

    async def measured(self, commit: Callable[[int], Awaitable[None]]) -> Measured:
        """Commit all numbers at the rate, and wait for the last handler."""
        for number in range(-WARM_UP, 0):
            await commit(number)
            await self._until(number)
        loop = asyncio.get_running_loop()
        with Stopwatch() as watch:
            begun = loop.time()
            for number in range(self.operations):
                await asyncio.sleep(max(0.0, begun + number / COMMANDS_PER_SECOND - loop.time()))
                await commit(number)
            for number in range(self.operations):
                await self._until(number)
        waits = [max(0.0, self._handled[number] - self.committed[number]) for number in range(self.operations)]
        return watch.measured(self.operations, {"committed": len(waits), "handled": len(waits)}, waits)

    async def _until(self, number: int) -> None:
        while number not in self._handled:
            self._told.clear()
            await self._told.wait()
