"""What a benchmark is: a key, a sentence, a target, and two or three sides that do the same work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar, Final

from benchmarks.figures import Figure
from benchmarks.measured import Measured
from benchmarks.targets import Target

OURS: Final = "ours"
FLOOR: Final = "floor"
SAME_ROWS: Final = "same rows"


COUNTED_MIN: Final = 1_000
"""How many operations are counted at least: so many that the start of a worker hardly shows in one of them."""


class NotRun(Exception):
    """A benchmark cannot run here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Ours against one floor, by one figure. *name* tells it from the other comparisons of its benchmark."""

    figure: Figure
    target: Target
    name: str = ""
    floor: str = FLOOR


@dataclass(kw_only=True)
class Benchmark(ABC):
    """One piece of work, written by hand and on duly.

    *operations* is how many are done by each side in one round. Each call of a side works on a fresh database.
    """

    key: str
    operations: int
    work: ClassVar[str]
    more: ClassVar[str]
    """What ours does that the floor does not."""

    is_filled_once: ClassVar[bool] = False
    """Whether what `open` makes is only read, and costs the same whatever *operations* is: the warm-up shares it."""

    is_short: ClassVar[bool] = True
    """Whether it has a part in a short run that does not name it: what must be filled first for long has none."""
    warm_up_min: ClassVar[int] = 10
    """How many operations the warm-up has at least."""

    @property
    def store(self) -> str | None:
        """``sqlite``, ``postgres``, or None when no database is in it."""
        return None

    def metered(self, *, counting: bool) -> AbstractContextManager[object]:
        """What a side runs in, so that its database is watched: *counting* what it is asked, else what it spends."""
        return nullcontext()

    @property
    @abstractmethod
    def comparisons(self) -> tuple[Comparison, ...]:
        """What is compared; the first is the one that the key stands for."""

    def open(self) -> None:  # noqa: B027 - many have nothing to make ready
        """Make ready, once before all rounds: what every round copies. Raises `NotRun`."""

    def close(self) -> None:  # noqa: B027
        """Throw away what `open` made, also when it failed half-way."""

    @abstractmethod
    def floor(self) -> Measured:
        """The work by hand."""

    @abstractmethod
    def ours(self) -> Measured:
        """The work on duly."""

    def same_rows(self) -> Measured | None:
        """Every row that ours writes, by hand; None where that is no other floor."""
        return None

    def sides(self) -> Mapping[str, Callable[[], Measured]]:
        """The sides of a round by name, in the order in which they take turns."""
        sides: dict[str, Callable[[], Measured]] = {FLOOR: self.floor, OURS: self.ours}
        if any(comparison.floor == SAME_ROWS for comparison in self.comparisons):
            sides[SAME_ROWS] = self._same_rows
        return sides

    def _same_rows(self) -> Measured:
        measured = self.same_rows()
        if measured is None:
            raise NotImplementedError(f"{self.key} compares with the same rows and has no floor that writes them")
        return measured
