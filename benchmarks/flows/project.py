"""Read models: how fast a projection goes through a log that is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.floors.project_rows import WRITTEN
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.basket_lists import Listing, application, fill
from benchmarks.subjects.baskets import LINES_PER_BASKET
from benchmarks.subjects.waiting import until_drained
from benchmarks.targets import Target


@dataclass(kw_only=True)
class Project(Benchmark):
    """One projection, one table, a row for each event; both sides in batches of the same size."""

    work: ClassVar[str] = "A projection writes a row for each event of a log, checkpoint included."
    more: ClassVar[str] = (
        "Decodes each envelope and its event, calls a handler, checks the statement for its tenant, takes a lease; the "
        "start of the worker is in the time, and on PostgreSQL giving the events their positions."
    )
    place: Place
    fill_floor: Callable[[str, int], None]
    project_floor: Callable[[str], Stopwatch]
    target: Target
    _floor_full: str = field(init=False, default="")
    _ours_full: str = field(init=False, default="")

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=rate("events/s"), target=self.target),)

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        self.place.open()
        self.operations = max(1, self.operations // LINES_PER_BASKET) * LINES_PER_BASKET
        self._floor_full = self.place.create()
        self.fill_floor(self._floor_full, self.operations)
        self._ours_full = self.place.create()
        run(fill(self._ours_full, self.operations))

    def close(self) -> None:
        for url in filter(None, (self._floor_full, self._ours_full)):
            self.place.remove(url)

    def floor(self) -> Measured:
        url = self.place.create(copy_of=self._floor_full)
        watch = self.project_floor(url)
        written = self.place.count(url, WRITTEN)
        self.place.remove(url)
        return watch.measured(self.operations, {"rows written": written})

    def ours(self) -> Measured:
        url = self.place.create(copy_of=self._ours_full)
        listing = Listing(self.operations)
        watch = run(_project(url, listing))
        written = self.place.count(url, WRITTEN)
        position = self.place.count(url, "SELECT position FROM duly.projection")
        self.place.remove(url)
        if (listing.heard, position) != (self.operations, self.operations):
            raise RuntimeError(f"{self.key}: heard {listing.heard} of {self.operations}, and stands at {position}.")
        return watch.measured(self.operations, {"rows written": written})


async def _project(url: str, listing: Listing) -> Stopwatch:
    app = application(url, listing)
    with Stopwatch() as watch:
        await app.start()
        try:
            await until_drained(app, listing.done)
        except BaseException:
            await app.stop()
            raise
    await app.stop()
    return watch
