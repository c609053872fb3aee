"""The event store: what a commit of one or several events of one aggregate costs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Final

from benchmarks.benchmark import COUNTED_MIN, SAME_ROWS, Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.floors.event_rows import BARE_COUNTS, DULY_COUNTS
from benchmarks.loop import in_flight, run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.accounts import EventStore, application
from benchmarks.targets import Target
from duly.runtime.store_url import store_from_url

IN_FLIGHT: Final = 8

AppendFloor = Callable[[str, int, int, int], Stopwatch]
"""Appends so many times so many events on a database, so many of them in flight."""


@dataclass(kw_only=True)
class Append(Benchmark):
    """One operation is one event; *events* of them share a commit."""

    work: ClassVar[str] = f"Streams of events are begun, each in one commit, {IN_FLIGHT} in flight."
    more: ClassVar[str] = (
        "Runs a handler with an event-sourced aggregate that applies each event, keeps its cause and its place in the "
        "log, checks the version."
    )
    warm_up_min: ClassVar[int] = COUNTED_MIN
    place: Place
    events: int
    bare: AppendFloor
    same: AppendFloor
    target: Target

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        figure = rate("events/s")
        return (
            Comparison(figure=figure, target=self.target),
            Comparison(name=SAME_ROWS, figure=figure, target=self.target, floor=SAME_ROWS),
        )

    @property
    def store(self) -> str:
        return self.place.store

    def metered(self, *, counting: bool) -> AbstractContextManager[object]:
        return self.place.metered(counting=counting)

    def open(self) -> None:
        self.place.open()

    @property
    def _appends(self) -> int:
        return max(1, self.operations // self.events)

    def floor(self) -> Measured:
        url = self.place.create()
        return self._counted(url, self.bare(url, self._appends, self.events, IN_FLIGHT), BARE_COUNTS)

    def same_rows(self) -> Measured:
        url = self.place.create()
        run(application(url).migrate())
        return self._counted(url, self.same(url, self._appends, self.events, IN_FLIGHT), DULY_COUNTS)

    def ours(self) -> Measured:
        url = self.place.create()
        return self._counted(url, run(self._append(url)), DULY_COUNTS)

    async def _append(self, url: str) -> Stopwatch:
        await application(url).migrate()
        store = store_from_url(url)
        await store.open()
        try:
            accounts = EventStore(store)
            # Threads and connections are begun first, as those of the floors are.
            await in_flight(IN_FLIGHT, IN_FLIGHT * 2, lambda number: store.document("acme", "Account", f"{number}"))
            with Stopwatch() as watch:
                await in_flight(
                    IN_FLIGHT, self._appends, lambda number: accounts.append(f"account-{number}", self.events)
                )
        finally:
            await store.close()
        return watch

    def _counted(self, url: str, watch: Stopwatch, counts: dict[str, str]) -> Measured:
        rows = {kind: self.place.count(url, query) for kind, query in counts.items()}
        self.place.remove(url)
        return watch.measured(self._appends * self.events, rows)
