"""Leaving the building over HTTP: what the ledger adds to calls that go out over a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.floors.ledger_rows import DULY_COUNTS
from benchmarks.flows.effects import send
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.places.provider import ProviderPlace
from benchmarks.subjects.notices import SLOTS, Calls, HttpNotices, bodies, request
from benchmarks.targets import Target

CALLS = "calls taken"
IDS = "ids in hand"


@dataclass(kw_only=True)
class SendHttp(Benchmark):
    """A JSON gateway and a provider in another process, against the same requests without a ledger."""

    work: ClassVar[str] = (
        f"A worker posts requested effects to a provider on loopback, {SLOTS} at a time, a connection for each call."
    )
    more: ClassVar[str] = (
        "The floor makes the same requests, as many at a time, through the same transport, and keeps nothing. Ours has "
        "the ledger: an attempt committed before each call, its outcome after it, lease, token, idempotency key; and a "
        "classified answer, a breaker, time limits; the start of the worker is in the time."
    )
    place: Place
    target: Target
    _provider: ProviderPlace = field(init=False, default_factory=ProviderPlace)
    _full: str = field(init=False, default="")
    _slots: int = field(init=False, default=0)
    _bodies: list[bytes] = field(init=False, default_factory=list)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=rate("effects/s"), target=self.target),)

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        self.place.open()
        self._provider.open()
        gateway = HttpNotices(self._provider.url, Calls(0))
        self._slots = gateway.slots
        self._bodies = bodies(self.operations, gateway)
        self._full = self.place.create()
        run(request(self._full, self.operations, gateway))

    def close(self) -> None:
        self._provider.close()
        if self._full:
            self.place.remove(self._full)

    def floor(self) -> Measured:
        from benchmarks.floors.http_calls import call_all

        before = self._provider.made()
        watch, ids = call_all(self._provider.url, self._bodies, self._slots)
        return self._measured(watch, before, {IDS: ids})

    def ours(self) -> Measured:
        url = self.place.create(copy_of=self._full)
        calls, before = Calls(self.operations), self._provider.made()
        watch = run(send(url, HttpNotices(self._provider.url, calls), calls))
        rows = {kind: self.place.count(url, query) for kind, query in DULY_COUNTS.items()}
        rows[IDS] = self.place.count(url, "SELECT count(DISTINCT provider_id) FROM duly.effect")
        self.place.remove(url)
        return self._measured(watch, before, rows)

    def _measured(self, watch: Stopwatch, before: int, rows: dict[str, int]) -> Measured:
        return watch.measured(self.operations, {CALLS: self._provider.made() - before, **rows})
