"""What a promise costs when an event has one subscriber, ten, or a hundred."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import rate_of_every
from benchmarks.floors.subscriber_rows import COUNTS, DULY_COUNTS
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.announcements import CYCLE, SUBSCRIBERS, TENANT, Announce, application
from benchmarks.targets import Target
from duly import Duly

Announcing = Callable[[str, int], tuple[Stopwatch, list[float]]]
"""Makes so many cycles of announcements on a database; how long each announcement took."""


@dataclass(kw_only=True)
class Subscribers(Benchmark):
    """One operation is one command: a third of them for each number of subscribers, by turns, one in flight."""

    work: ClassVar[str] = (
        f"A command stores an aggregate and one event that is promised to 1 subscriber, to {SUBSCRIBERS[1]}, or to "
        f"{SUBSCRIBERS[2]}, by turns. The first row is of one subscriber; all are told per promise, so that they can "
        "be compared with each other."
    )
    more: ClassVar[str] = (
        "Runs a handler, keeps the event in the log, the command's receipt and, with each promise, its lane; by hand "
        "each outbox row has the message in it."
    )
    place: Place
    announce_floor: Announcing
    target: Target

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return tuple(
            Comparison(
                name=f"{count} subscribers" if at else "",
                figure=rate_of_every("promises/s", CYCLE, range(at, at + 1), each=count),
                target=self.target,
            )
            for at, count in enumerate(SUBSCRIBERS)
        )

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        self.place.open()

    @property
    def _cycles(self) -> int:
        return max(1, self.operations // CYCLE)

    def floor(self) -> Measured:
        url = self.place.create()
        return self._counted(url, *self.announce_floor(url, self._cycles), COUNTS)

    def ours(self) -> Measured:
        url = self.place.create()
        run(application(url).migrate())
        return self._counted(url, *run(self._announce(url)), DULY_COUNTS)

    async def _announce(self, url: str) -> tuple[Stopwatch, list[float]]:
        async with application(url) as app:
            await _cycle(app, 0, "warm-up")
            waits: list[float] = []
            with Stopwatch() as watch:
                for number in range(self._cycles):
                    waits += await _cycle(app, number, TENANT)
        return watch, waits

    def _counted(self, url: str, watch: Stopwatch, waits: list[float], counts: dict[str, str]) -> Measured:
        rows = {kind: self.place.count(url, query) for kind, query in counts.items()}
        self.place.remove(url)
        return watch.measured(len(waits), rows, waits)


async def _cycle(app: Duly, number: int, tenant: str) -> list[float]:
    waits: list[float] = []
    for subscribers in SUBSCRIBERS:
        begun = time.perf_counter()
        await app.execute(Announce(number=number, subscribers=subscribers), tenant=tenant)
        waits.append(time.perf_counter() - begun)
    return waits
