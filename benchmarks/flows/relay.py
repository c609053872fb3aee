"""Keeping promises: how fast a worker drains an outbox that has filled up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar

from benchmarks.benchmark import COUNTED_MIN, Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.floors.drain_rows import LEFT
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.baskets import LINES_PER_BASKET, Packing, baskets, fill
from benchmarks.subjects.waiting import until_drained
from benchmarks.targets import Target
from duly import Duly

FLOOR_TIMES = 5
"""The floor is so much faster that it gets more rows, or its time would be too short to tell."""


@dataclass(kw_only=True)
class Drain(Benchmark):
    """One worker, one subscriber, as many lanes as there are baskets."""

    work: ClassVar[str] = "A worker drains a full outbox."
    more: ClassVar[str] = (
        "Decodes each message, runs a handler that writes one document in a transaction of its own, completes in that "
        "commit under a fencing token, keeps the order of each key; the start of the worker is in the time."
    )
    warm_up_min: ClassVar[int] = COUNTED_MIN
    place: Place
    fill_floor: Callable[[str, int], None]
    drain_floor: Callable[[str], tuple[Stopwatch, int]]
    target: Target
    _floor_full: str = field(init=False, default="")
    _ours_full: str = field(init=False, default="")

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=rate("messages/s"), target=self.target),)

    @property
    def store(self) -> str:
        return self.place.store

    def metered(self, *, counting: bool) -> AbstractContextManager[object]:
        return self.place.metered(counting=counting)

    def open(self) -> None:
        self.place.open()
        # Whole baskets, so that both sides know what to expect.
        self.operations = max(1, self.operations // LINES_PER_BASKET) * LINES_PER_BASKET
        self._floor_full = self.place.create()
        self.fill_floor(self._floor_full, self.operations * FLOOR_TIMES)
        self._ours_full = self.place.create()
        run(fill(self._ours_full, self.operations))

    def close(self) -> None:
        for url in filter(None, (self._floor_full, self._ours_full)):
            self.place.remove(url)

    def floor(self) -> Measured:
        url = self.place.create(copy_of=self._floor_full)
        watch, read = self.drain_floor(url)
        left = self.place.count(url, LEFT)
        self.place.remove(url)
        total = self.operations * FLOOR_TIMES
        return watch.measured(total, {"messages read": read, "outbox rows deleted": total - left})

    def ours(self) -> Measured:
        url = self.place.create(copy_of=self._ours_full)
        packing = Packing(self.operations)
        watch = run(drain(url, packing))
        left = self.place.count(url, "SELECT count(*) FROM duly.outbox")
        parcels = self.place.count(url, "SELECT count(*) FROM duly.document WHERE type = 'Parcel'")
        self.place.remove(url)
        if parcels != self.operations or packing.out_of_order:
            raise RuntimeError(
                f"{self.key}: {parcels} parcels of {self.operations}, {packing.out_of_order} messages out of order."
            )
        return watch.measured(
            self.operations,
            {"messages read": packing.heard, "outbox rows deleted": self.operations - left, "documents": parcels},
        )


async def drain(url: str, packing: Packing) -> Stopwatch:
    """Let a worker drain the outbox, until *packing* has heard all of it and everything is committed."""
    app = Duly(modules=[baskets(packing)], store=url)
    with Stopwatch() as watch:
        await app.start()
        try:
            await until_drained(app, packing.done)
        except BaseException:
            await app.stop()
            raise
    await app.stop()
    return watch
