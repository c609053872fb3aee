"""The event log: how fast it is read, and what a page costs when it has grown."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from benchmarks.benchmark import Benchmark, Comparison, NotRun
from benchmarks.figures import rate
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.logged import EVENTS_PER_COMMIT, PAGE_EVENTS
from benchmarks.targets import Target
from duly.runtime.store_url import store_from_url

FEW: Final = 10_000
"""How many events a log holds that has not grown."""
GROWN: Final = 1_000_000
GROWN_QUICK: Final = 100_000
SMALL_PAGE: Final = 100


@dataclass(kw_only=True)
class LogRead(Benchmark):
    """One operation is one event."""

    work: ClassVar[str] = f"A log is read from its first event to its last, in pages of {PAGE_EVENTS:,}."
    more: ClassVar[str] = (
        "Finds positions by commits, joins each event with its row, its personal fields, its causes and its commit's "
        "time, and makes a record of it; by hand, plain rows without causes come from one table."
    )
    place: Place
    fill_floor: Callable[[str, int], None]
    fill_ours: Callable[[str, int], None]
    read_floor: Callable[[str], tuple[Stopwatch, int]]
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
        self.operations = max(1, self.operations // EVENTS_PER_COMMIT) * EVENTS_PER_COMMIT
        self._floor_full = self.place.create()
        self.fill_floor(self._floor_full, self.operations)
        self._ours_full = self.place.create()
        run(_migrate(self._ours_full))
        self.fill_ours(self._ours_full, self.operations)

    def close(self) -> None:
        for url in filter(None, (self._floor_full, self._ours_full)):
            self.place.remove(url)

    def floor(self) -> Measured:
        watch, seen = self.read_floor(self._floor_full)
        return watch.measured(self.operations, {"events read": seen})

    def ours(self) -> Measured:
        watch, seen = run(_read(self._ours_full))
        return watch.measured(self.operations, {"events read": seen})


@dataclass(kw_only=True)
class GrownLog(Benchmark):
    """One operation is one page of 100, from all over the log."""

    work: ClassVar[str] = f"Pages of {SMALL_PAGE} are read from all over a log."
    more: ClassVar[str] = f"Both sides are duly's: ours reads a log that has grown, the floor one of {FEW:,} events."
    is_filled_once: ClassVar[bool] = True
    is_short: ClassVar[bool] = False
    place: Place
    events: int
    fill_ours: Callable[[str, int], None]
    target: Target
    _few: str = field(init=False, default="")
    _many: str = field(init=False, default="")

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=rate("pages/s"), target=self.target),)

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        if self.events < SMALL_PAGE:
            raise NotRun(f"a log of {self.events:,} events has no page: say --finished {SMALL_PAGE} or more")
        self.place.open()
        self._few = self._filled(min(FEW, self.events))
        self._many = self._filled(self.events)

    def close(self) -> None:
        for url in filter(None, (self._few, self._many)):
            self.place.remove(url)

    def floor(self) -> Measured:
        return self._pages(self._few, min(FEW, self.events))

    def ours(self) -> Measured:
        return self._pages(self._many, self.events)

    def _filled(self, events: int) -> str:
        url = self.place.create()
        run(_migrate(url))
        self.fill_ours(url, events)
        return url

    def _pages(self, url: str, events: int) -> Measured:
        watch, waits, seen = run(_pages(url, events, self.operations))
        return watch.measured(len(waits), {"events read": seen}, waits)


async def _migrate(url: str) -> None:
    store = store_from_url(url)
    await store.open()
    await store.migrate([])
    await store.close()


async def _read(url: str) -> tuple[Stopwatch, int]:
    store = store_from_url(url)
    await store.open()
    position = seen = 0
    try:
        with Stopwatch() as watch:
            while (page := await store.read_log(position, PAGE_EVENTS)).through > position:
                position = page.through
                seen += len(page.events)
        return watch, seen
    finally:
        await store.close()


async def _pages(url: str, events: int, pages: int) -> tuple[Stopwatch, list[float], int]:
    """Read so many pages, evenly spread and not one after the other; how long each took, and how many events came."""
    store = store_from_url(url)
    await store.open()
    waits: list[float] = []
    seen = 0
    last = events - SMALL_PAGE
    try:
        for after in (0, last):
            await store.read_log(after, SMALL_PAGE)
        with Stopwatch() as watch:
            for number in range(pages):
                begun = time.perf_counter()
                page = await store.read_log(number * 7_919_317 % (last + 1), SMALL_PAGE)
                waits.append(time.perf_counter() - begun)
                seen += len(page.events)
        return watch, waits, seen
    finally:
        await store.close()
