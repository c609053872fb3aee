"""From a commit to the read model that shows it, at 200 commands a second."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import latency
from benchmarks.flows.latency import COMMANDS_PER_SECOND, LatencyFloor
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.ticked_lists import application
from benchmarks.subjects.ticks import TENANT, Tick
from benchmarks.targets import Target


@dataclass(kw_only=True)
class ProjectLatency(Benchmark):
    """Each command is waited for by its token, as a page does that shows people what they have just done."""

    work: ClassVar[str] = "Commands at 200/s; the wait from each commit until a projection has committed its row."
    more: ClassVar[str] = (
        "The floor's wait ends where its reader sees the row of an outbox. Ours goes on: the event gets its position, "
        "a batch is handled and committed with its checkpoint, and whoever waits looks at that."
    )
    place: Place
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
        return watch.measured(self.operations, {"committed": committed, "seen": len(waits)}, waits)

    def ours(self) -> Measured:
        url = self.place.create()
        watch, waits = run(self._tick(url))
        committed = self.place.count(url, "SELECT count(*) FROM duly.message")
        seen = self.place.count(url, "SELECT count(*) FROM ticked")
        self.place.remove(url)
        return watch.measured(self.operations, {"committed": committed, "seen": seen}, waits)

    async def _tick(self, url: str) -> tuple[Stopwatch, list[float]]:
        await application(url).migrate()
        waits: list[float] = []
        async with application(url) as app:
            loop = asyncio.get_running_loop()

            async def wait(token: str) -> None:
                committed = time.perf_counter()
                await app.wait_until(token)
                waits.append(time.perf_counter() - committed)

            with Stopwatch() as watch:
                begun = loop.time()
                async with asyncio.TaskGroup() as waiting:
                    for number in range(self.operations):
                        await asyncio.sleep(max(0.0, begun + number / COMMANDS_PER_SECOND - loop.time()))
                        done = await app.execute_tracked(Tick(number=number), tenant=TENANT)
                        waiting.create_task(wait(done.token))
        return watch, waits
