"""What a page of the ledger costs when there are many finished effects, against a ledger that is almost empty."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from benchmarks.benchmark import Benchmark, Comparison, NotRun
from benchmarks.figures import rate, rate_of_every
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.finished import PAGE_ROWS, TENANT, VARIANTS, asked
from benchmarks.subjects.notices import Calls, application, in_process
from benchmarks.targets import Target
from duly import EffectFilter, TenantLedger

FEW: Final = 3_000
"""How many effects an almost empty ledger holds: enough for two full pages of everything that is asked for."""
FINISHED: Final = 1_000_000
FINISHED_QUICK: Final = 50_000
PAGES: Final = 2
"""How many pages of each are read, one after the other."""
KINDS: Final = tuple(asked(FEW, 0))


class PageNotFull(Exception):
    """A page shows less than it should: what is measured is not what is meant."""


@dataclass(kw_only=True)
class LedgerPage(Benchmark):
    """One operation is one page of 50, read through the tenant's own view."""

    work: ClassVar[str] = (
        "Pages of 50 of a tenant's effects, with each of several filters, the first page and the second."
    )
    more: ClassVar[str] = (
        "Both sides are duly's, reading the same pages: ours from a ledger with many finished effects, the floor from "
        f"one with {FEW:,}. What is asked for is asked for again, so that it lies in memory on both sides."
    )
    is_filled_once: ClassVar[bool] = True
    is_short: ClassVar[bool] = False
    place: Place
    finished: int
    fill: Callable[[str, int], None]
    target: Target
    _few: str = field(init=False, default="")
    _many: str = field(init=False, default="")

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (
            Comparison(figure=rate("pages/s"), target=self.target),
            *(
                Comparison(
                    name=kind,
                    figure=rate_of_every("pages/s", PAGES * len(KINDS), range(PAGES * at, PAGES * (at + 1))),
                    target=self.target,
                )
                for at, kind in enumerate(KINDS)
            ),
        )

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        if self.finished < FEW:
            raise NotRun(f"a ledger of {self.finished:,} effects has not grown: say --finished {FEW:,} or more")
        self.place.open()
        self._few = self._filled(FEW)
        self._many = self._filled(self.finished)

    def close(self) -> None:
        for url in filter(None, (self._few, self._many)):
            self.place.remove(url)

    def floor(self) -> Measured:
        return self._read(self._few, FEW)

    def ours(self) -> Measured:
        return self._read(self._many, self.finished)

    def _filled(self, rows: int) -> str:
        url = self.place.create()
        run(application(url, in_process(Calls(0)), worker=False).migrate())
        self.fill(url, rows)
        return url

    def _read(self, url: str, rows: int) -> Measured:
        watch, waits, shown = run(_pages(url, rows, self.operations))
        held = self.place.count(url, "SELECT count(*) FROM duly.effect")
        return watch.measured(len(waits), {"effects shown": shown, "effects in the ledger": held}, waits)


async def _pages(url: str, rows: int, operations: int) -> tuple[Stopwatch, list[float], int]:
    """Read whole rounds of all kinds, at least *operations* pages; how long each took, and how many effects came."""
    waits: list[float] = []
    rounds = -(-operations // (PAGES * len(KINDS)))
    async with application(url, in_process(Calls(0)), worker=False) as app:
        ledger, shown = app.ledger(TENANT), 0
        for variant in range(VARIANTS):
            await _each(ledger, rows, variant, [])
        with Stopwatch() as watch:
            for variant in range(rounds):
                shown += await _each(ledger, rows, variant, waits)
    return watch, waits, shown


async def _each(ledger: TenantLedger, rows: int, variant: int, waits: list[float]) -> int:
    return sum([await _first_pages(ledger, wanted, waits) for wanted in asked(rows, variant).values()])


async def _first_pages(ledger: TenantLedger, wanted: EffectFilter, waits: list[float]) -> int:
    after: str | None = None
    for number in range(PAGES):
        begun = time.perf_counter()
        page = await ledger.page(wanted, after=after, rows_max=PAGE_ROWS)
        waits.append(time.perf_counter() - begun)
        if len(page.effects) != PAGE_ROWS:
            raise PageNotFull(
                f"Page {number + 1} of {wanted} shows {len(page.effects)} effects. Ask for what is there."
            )
        after = page.next
    return PAGES * PAGE_ROWS
