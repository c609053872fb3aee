"""One measurement: how much was done, in which time, and what it left behind."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from benchmarks.spending import Spent, current_meter

NOTHING: Final = Spent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one side did in one round.

    *rows* counts by name what was written (or handled), read back afterwards. *latencies* are in seconds, where single
    waits are what is measured. *cpu_seconds* is that of this process, all threads; a database server's is in *spent*,
    where a meter was read.
    """

    operations: int
    seconds: float
    cpu_seconds: float
    rows: Mapping[str, int] = field(default_factory=dict)
    latencies: tuple[float, ...] = ()
    spent: Spent = NOTHING

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU per operation."""
        return self.cpu_seconds / self.operations * 1e6


class Stopwatch:
    """Times a block, garbage of earlier work collected before it begins. The meter is read outside of the time."""

    seconds = 0.0
    cpu_seconds = 0.0
    spent = NOTHING

    def __enter__(self) -> Self:
        gc.collect()
        self._meter = current_meter()
        if self._meter is not None:
            self._meter.begin()
        self._cpu_begun = time.process_time()
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begun
        self.cpu_seconds = time.process_time() - self._cpu_begun
        if self._meter is not None:
            self.spent = self._meter.end()

    def measured(self, operations: int, rows: Mapping[str, int], latencies: Sequence[float] = ()) -> Measured:
        """The block as a measurement."""
        return Measured(
            operations=operations,
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
            rows=dict(rows),
            latencies=tuple(latencies),
            spent=self.spent,
        )
