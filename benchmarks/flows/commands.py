"""The whole flow: what one command costs, alone and with others in flight."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.benchmark import COUNTED_MIN, SAME_ROWS, Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.floors.shop_rows import BARE_COUNTS, DULY_COUNTS
from benchmarks.loop import in_flight, run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects import shop
from benchmarks.targets import Target
from duly import Duly

CommandFloor = Callable[[str, int, int], Stopwatch]
"""Runs so many operations on a database, so many of them in flight."""


@dataclass(kw_only=True)
class Commands(Benchmark):
    """A command, two aggregates, a handler inside the transaction, two promises."""

    work: ClassVar[str] = "A command places an order and its payment and promises two messages, in one transaction."
    more: ClassVar[str] = (
        "Runs two handlers on domain objects, encodes messages, stores both events in the log with their causes, "
        "checks versions, keeps the command's receipt."
    )
    warm_up_min: ClassVar[int] = COUNTED_MIN
    place: Place
    in_flight: int
    bare: CommandFloor
    same: CommandFloor
    target: Target
    same_target: Target

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        figure = rate("commands/s")
        return (
            Comparison(figure=figure, target=self.target),
            Comparison(name=SAME_ROWS, figure=figure, target=self.same_target, floor=SAME_ROWS),
        )

    @property
    def store(self) -> str:
        return self.place.store

    def metered(self, *, counting: bool) -> AbstractContextManager[object]:
        return self.place.metered(counting=counting)

    def open(self) -> None:
        self.place.open()

    def floor(self) -> Measured:
        url = self.place.create()
        watch = self.bare(url, self.operations, self.in_flight)
        return self._counted(url, watch, BARE_COUNTS)

    def same_rows(self) -> Measured:
        url = self.place.create()
        run(shop.application(url).migrate())
        watch = self.same(url, self.operations, self.in_flight)
        return self._counted(url, watch, DULY_COUNTS)

    def ours(self) -> Measured:
        url = self.place.create()
        watch = run(self._execute(url))
        return self._counted(url, watch, DULY_COUNTS)

    async def _execute(self, url: str) -> Stopwatch:
        await shop.application(url).migrate()
        async with shop.application(url) as app:
            # Threads and connections are begun by the first commands; the floors open theirs before the clock runs.
            await self._place(app, self.in_flight * 2, "warm-up")
            with Stopwatch() as watch:
                await self._place(app, self.operations, shop.TENANT)
        return watch

    async def _place(self, app: Duly, total: int, tenant: str) -> None:
        await in_flight(self.in_flight, total, lambda number: app.execute(shop.order(number), tenant=tenant))

    def _counted(self, url: str, watch: Stopwatch, counts: dict[str, str]) -> Measured:
        rows = {kind: self.place.count(url, query) for kind, query in counts.items()}
        self.place.remove(url)
        return watch.measured(self.operations, rows)
