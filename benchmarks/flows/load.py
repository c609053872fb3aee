"""The event store: what it costs to load an aggregate of a hundred events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.accounts import TENANT, Balance, Fill, application
from benchmarks.targets import Target

STREAMS: Final = 50
EVENTS: Final = 100

LoadFloor = Callable[[str, int, int, int], tuple[Stopwatch, int]]
"""Makes so many streams of so many events, reads streams so many times; what they come to."""


@dataclass(kw_only=True)
class Load(Benchmark):
    """One operation is one aggregate."""

    work: ClassVar[str] = f"The balance of an account is read from its {EVENTS} events, one account after the other."
    more: ClassVar[str] = (
        "Answers a query with a repository: events become typed objects, their methods are called, the stream is "
        "checked for holes, personal fields are joined."
    )
    place: Place
    load_floor: LoadFloor
    target: Target

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=rate("aggregates/s"), target=self.target),)

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        self.place.open()

    def floor(self) -> Measured:
        url = self.place.create()
        watch, total = self.load_floor(url, STREAMS, EVENTS, self.operations)
        self.place.remove(url)
        return watch.measured(self.operations, {"money counted": total})

    def ours(self) -> Measured:
        url = self.place.create()
        watch, total = run(self._load(url))
        self.place.remove(url)
        return watch.measured(self.operations, {"money counted": total})

    async def _load(self, url: str) -> tuple[Stopwatch, int]:
        await application(url).migrate()
        total = 0
        async with application(url) as app:
            for number in range(STREAMS):
                await app.execute(Fill(account=f"account-{number}", events=EVENTS), tenant=TENANT)
            await app.ask(Balance(account="account-0"), tenant=TENANT)
            with Stopwatch() as watch:
                for number in range(self.operations):
                    total += await app.ask(Balance(account=f"account-{number % STREAMS}"), tenant=TENANT)
        return watch, total
