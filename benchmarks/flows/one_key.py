"""Keeping promises of one key alone: there is nothing that could be done side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.floors.one_key_rows import LEFT, WRITTEN
from benchmarks.flows.relay import drain
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.baskets import Packing, fill_one
from benchmarks.targets import Target


@dataclass(kw_only=True)
class OneKey(Benchmark):
    """One worker, one subscriber, one lane."""

    work: ClassVar[str] = (
        "A worker drains an outbox in which all messages have one key: one after the other, each handled by writing a "
        "document, in a commit that also deletes its row."
    )
    more: ClassVar[str] = (
        "Decodes each message, runs a handler in a unit of work, completes under a fencing token; the start of the "
        "worker is in the time. The floor claims nothing: nobody else may run."
    )
    warm_up_min: ClassVar[int] = 200
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
        self._floor_full = self.place.create()
        self.fill_floor(self._floor_full, self.operations)
        self._ours_full = self.place.create()
        run(fill_one(self._ours_full, self.operations))

    def close(self) -> None:
        for url in filter(None, (self._floor_full, self._ours_full)):
            self.place.remove(url)

    def floor(self) -> Measured:
        url = self.place.create(copy_of=self._floor_full)
        watch, read = self.drain_floor(url)
        return self._counted(url, watch, read, LEFT, WRITTEN)

    def ours(self) -> Measured:
        url = self.place.create(copy_of=self._ours_full)
        packing = Packing(self.operations)
        watch = run(drain(url, packing))
        if packing.out_of_order:
            raise RuntimeError(f"{self.key}: {packing.out_of_order} messages out of order.")
        parcels = "SELECT count(*) FROM duly.document WHERE type = 'Parcel'"
        return self._counted(url, watch, packing.heard, "SELECT count(*) FROM duly.outbox", parcels)

    def _counted(self, url: str, watch: Stopwatch, read: int, left: str, written: str) -> Measured:
        rows = {
            "messages read": read,
            "outbox rows deleted": self.operations - self.place.count(url, left),
            "documents": self.place.count(url, written),
        }
        self.place.remove(url)
        return watch.measured(self.operations, rows)
