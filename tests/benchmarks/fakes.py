"""A benchmark that measures nothing: each side says what it was told to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from benchmarks.benchmark import SAME_ROWS, Benchmark, Comparison, NotRun
from benchmarks.figures import rate
from benchmarks.measured import Measured
from benchmarks.targets import at_least


def measured(operations: int = 10, seconds: float = 1.0, rows: Mapping[str, int] | None = None) -> Measured:
    """A measurement; one row per operation unless *rows* says otherwise."""
    written = {"rows": operations} if rows is None else rows
    return Measured(operations=operations, seconds=seconds, cpu_seconds=seconds / 2, rows=written)


@dataclass(kw_only=True)
class Fake(Benchmark):
    """*written* is by side what it wrote per operation; *log* hears in which order things happen."""

    key: str = "fake"
    operations: int = 100
    work: ClassVar[str] = "Nothing."
    more: ClassVar[str] = "Nothing either."
    refusal: str | None = None
    error: Exception | None = None
    our_seconds: float = 2.0
    has_same_rows: bool = False
    written: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        figure = rate("things/s")
        main = Comparison(figure=figure, target=at_least(0.4))
        same = Comparison(figure=figure, target=at_least(0.7), name=SAME_ROWS, floor=SAME_ROWS)
        return (main, same) if self.has_same_rows else (main,)

    def open(self) -> None:
        self.log.append("open")
        if self.refusal is not None:
            raise NotRun(self.refusal)

    def close(self) -> None:
        self.log.append("close")

    def floor(self) -> Measured:
        return self._side("floor", 1.0)

    def ours(self) -> Measured:
        if self.error is not None:
            raise self.error
        return self._side("ours", self.our_seconds)

    def same_rows(self) -> Measured:
        return self._side(SAME_ROWS, 1.5)

    def _side(self, name: str, seconds: float) -> Measured:
        self.log.append(f"{name} {self.operations}")
        return measured(self.operations, seconds, {"rows": self.written.get(name, 1) * self.operations})
