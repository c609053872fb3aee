"""What a claim costs when much is kept that is finished, against a database that is almost empty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import rate_of_every
from benchmarks.loop import run
from benchmarks.measured import Measured
from benchmarks.places.place import Place
from benchmarks.subjects.claims import RELAY_ROWS, SENDER_SLOTS, WAITING, application, claim_all, promise, request
from benchmarks.targets import Target

FINISHED: Final = 5_000_000
FINISHED_QUICK: Final = 20_000
KINDS: Final = ("", "sender")
"""A relay's claim, for which the key stands, and a sender's: they take turns."""


@dataclass(kw_only=True)
class GrownClaim(Benchmark):
    """One operation is one claim: half of them are a relay's."""

    work: ClassVar[str] = (
        f"A relay claims {RELAY_ROWS} of {WAITING:,} messages that wait, and a sender {SENDER_SLOTS} effects that are "
        "due, by turns. What the sender claimed is ended between the claims, outside of what is measured."
    )
    more: ClassVar[str] = (
        "Both sides are duly's: ours where as many messages and as many effects are kept that are finished as it says "
        "below, the floor where nothing is kept. Finished messages are in the log, finished effects in the ledger."
    )
    is_filled_once: ClassVar[bool] = True
    is_short: ClassVar[bool] = False
    place: Place
    finished: int
    fill_messages: Callable[[str, int], None]
    fill_effects: Callable[[str, int], None]
    target: Target
    _empty: str = field(init=False, default="")
    _grown: str = field(init=False, default="")

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return tuple(
            Comparison(name=kind, figure=rate_of_every("claims/s", len(KINDS), range(at, at + 1)), target=self.target)
            for at, kind in enumerate(KINDS)
        )

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        self.place.open()
        self._empty = self._migrated()
        run(promise(self._empty))
        self._grown = self._migrated()
        self.fill_messages(self._grown, self.finished)
        self.fill_effects(self._grown, self.finished)
        run(promise(self._grown))

    def close(self) -> None:
        for url in filter(None, (self._empty, self._grown)):
            self.place.remove(url)

    def floor(self) -> Measured:
        return self._claim(self._empty)

    def ours(self) -> Measured:
        return self._claim(self._grown)

    def _migrated(self) -> str:
        url = self.place.create()
        run(application(url).migrate())
        return url

    def _claim(self, url: str) -> Measured:
        claims = max(1, self.operations // len(KINDS))
        run(request(url, claims * SENDER_SLOTS))
        watch, waits, messages, effects = run(claim_all(url, claims))
        if (messages, effects) != (claims * RELAY_ROWS, claims * SENDER_SLOTS):
            raise RuntimeError(f"{self.key}: {claims} claims brought {messages} messages and {effects} effects.")
        rows = {
            "messages claimed": messages,
            "effects claimed": effects,
            "messages in the log": self.place.count(url, "SELECT count(*) FROM duly.message"),
            "effects in the ledger": self.place.count(url, "SELECT count(*) FROM duly.effect"),
        }
        return watch.measured(len(waits), rows, waits)
