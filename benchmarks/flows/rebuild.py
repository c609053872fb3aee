"""Read models: how fast one is built anew from the first event on, and put in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.floors.project_rows import WRITTEN
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.basket_lists import Listing, application, fill
from benchmarks.subjects.baskets import LINES_PER_BASKET
from benchmarks.targets import Target

NAME: Final = "basket_list"


@dataclass(kw_only=True)
class Rebuild(Benchmark):
    """One projection, one table, a row for each event; each round builds all of it anew, in the same database."""

    work: ClassVar[str] = (
        "A table of a row for each event is built anew beside the one that is read, and takes its place."
    )
    more: ClassVar[str] = (
        "Decodes each envelope and its event, calls a handler, checks the statement for its tenant, keeps a checkpoint "
        "that another process could go on from, and looks at what depends on the table."
    )
    is_filled_once: ClassVar[bool] = True
    is_short: ClassVar[bool] = False
    place: Place
    events: int
    fill_floor: Callable[[str, int], None]
    rebuild_floor: Callable[[str], Stopwatch]
    target: Target
    _floor: str = field(init=False, default="")
    _ours: str = field(init=False, default="")

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=rate("events/s"), target=self.target),)

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        self.place.open()
        self.events = self.operations = max(1, self.events // LINES_PER_BASKET) * LINES_PER_BASKET
        self._floor = self.place.create()
        self.fill_floor(self._floor, self.events)
        self._ours = self.place.create()
        run(fill(self._ours, self.events))

    def close(self) -> None:
        for url in filter(None, (self._floor, self._ours)):
            self.place.remove(url)

    def floor(self) -> Measured:
        watch = self.rebuild_floor(self._floor)
        return watch.measured(self.events, {"rows written": self.place.count(self._floor, WRITTEN)})

    def ours(self) -> Measured:
        listing = Listing(self.events)
        watch = run(_rebuild(self._ours, listing))
        written = self.place.count(self._ours, WRITTEN)
        if listing.heard != self.events:
            raise RuntimeError(f"{self.key}: heard {listing.heard} of {self.events}.")
        return watch.measured(self.events, {"rows written": written})


async def _rebuild(url: str, listing: Listing) -> Stopwatch:
    async with application(url, listing, worker=False) as app:
        with Stopwatch() as watch:
            await app.rebuild(NAME)
    return watch
