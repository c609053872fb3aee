"""Leaving the building: how fast the sender works off a ledger of requested effects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar

from benchmarks.benchmark import COUNTED_MIN, Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.floors.ledger_rows import COUNTS, DULY_COUNTS
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.subjects.notices import Calls, application, in_process, request
from benchmarks.subjects.waiting import until_drained
from benchmarks.targets import Target
from duly.ports.gateway import Gateway


@dataclass(kw_only=True)
class Send(Benchmark):
    """One gateway with 32 slots that answers at once, against a ledger with one call in flight."""

    work: ClassVar[str] = "A worker attempts requested effects, with a commit before and after each call."
    more: ClassVar[str] = (
        "32 slots: attempts that begin or end together share a commit. Leases, tokens, evidence and keys with each "
        "attempt; a time limit on each call; the start of the worker is in the time."
    )
    warm_up_min: ClassVar[int] = COUNTED_MIN
    place: Place
    fill_floor: Callable[[str, int], None]
    send_floor: Callable[[str], Stopwatch]
    target: Target
    _floor_full: str = field(init=False, default="")
    _ours_full: str = field(init=False, default="")

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=rate("effects/s"), target=self.target),)

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
        run(request(self._ours_full, self.operations, in_process(Calls(0))))

    def close(self) -> None:
        for url in filter(None, (self._floor_full, self._ours_full)):
            self.place.remove(url)

    def floor(self) -> Measured:
        url = self.place.create(copy_of=self._floor_full)
        return self._counted(url, self.send_floor(url), COUNTS)

    def ours(self) -> Measured:
        url = self.place.create(copy_of=self._ours_full)
        calls = Calls(self.operations)
        return self._counted(url, run(send(url, in_process(calls), calls)), DULY_COUNTS)

    def _counted(self, url: str, watch: Stopwatch, counts: dict[str, str]) -> Measured:
        rows = {kind: self.place.count(url, query) for kind, query in counts.items()}
        self.place.remove(url)
        return watch.measured(self.operations, rows)


async def send(url: str, gateway: Gateway, calls: Calls) -> Stopwatch:
    """Let a worker send what is in the ledger, until *calls* has heard of all of it and the outcomes are committed."""
    app = application(url, gateway, worker=True)
    with Stopwatch() as watch:
        await app.start()
        try:
            await until_drained(app, calls.done)
        except BaseException:
            await app.stop()
            raise
    await app.stop()
    return watch
