"""From a commit to the handler that waits for it, at 200 commands a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import latency
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.ticks import TENANT, Seen, Tick, application
from benchmarks.subjects.waiting import until_drained
from benchmarks.targets import Target

COMMANDS_PER_SECOND = 200

LatencyFloor = Callable[[str, int, float], tuple[Stopwatch, list[float]]]


@dataclass(kw_only=True)
class Latency(Benchmark):
    """*apart*: the worker has a store of its own, as in another process, and hears of commits only from the file."""

    work: ClassVar[str] = "Commands at 200/s; the wait from each commit to its subscriber's handler."
    more: ClassVar[str] = (
        "Each command writes a document, an event and its receipt; the handler gets a unit of work of its own."
    )
    place: Place
    apart: bool
    floor_way: LatencyFloor
    target: Target

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return tuple(
            Comparison(name=name, figure=latency(quantile), target=self.target)
            for name, quantile in (("p50", 0.5), ("p99", 0.99))
        )

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        self.place.open()

    def floor(self) -> Measured:
        url = self.place.create()
        watch, waits = self.floor_way(url, self.operations, 1 / COMMANDS_PER_SECOND)
        committed = self.place.count(url, "SELECT count(*) FROM outbox")
        self.place.remove(url)
        return watch.measured(self.operations, {"committed": committed, "handled": len(waits)}, waits)

    def ours(self) -> Measured:
        url = self.place.create()
        watch, waits = run(self._tick(url))
        committed = self.place.count(url, "SELECT count(*) FROM duly.message")
        left = self.place.count(url, "SELECT count(*) FROM duly.outbox")
        self.place.remove(url)
        return watch.measured(self.operations, {"committed": committed, "handled": len(waits) - left}, waits)

    async def _tick(self, url: str) -> tuple[Stopwatch, list[float]]:
        seen = Seen(self.operations)
        await application(url, seen, worker=False).migrate()
        async with AsyncExitStack() as stack:
            commanding = await stack.enter_async_context(application(url, seen, worker=not self.apart))
            working = commanding
            if self.apart:
                working = await stack.enter_async_context(application(url, seen, worker=True))
            # The worker takes its buckets before the first command.
            await asyncio.sleep(0.2)
            loop = asyncio.get_running_loop()
            with Stopwatch() as watch:
                begun = loop.time()
                for number in range(self.operations):
                    await asyncio.sleep(max(0.0, begun + number / COMMANDS_PER_SECOND - loop.time()))
                    await commanding.execute(Tick(number=number), tenant=TENANT)
                    seen.committed[number] = time.perf_counter()
                await until_drained(working, seen.done)
        return watch, seen.latencies()
