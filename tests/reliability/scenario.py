"""What a scenario is: a fault, how often, on which store, from which seed; and what a run of it shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import Final, Protocol, TypeAlias

import msgspec

from duly.testing.history import History

STORES: Final = ("sqlite", "postgres")
NO_STORE: Final = ("none",)
"""For what is shown without a database."""


class NewDatabase(Protocol):
    """Makes databases of one kind."""

    def __call__(self) -> str:
        """The URL of a new, empty one."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Everything that is drawn by lot is drawn from *seed*."""

    store: str
    new_database: NewDatabase
    folder: Path
    seed: int
    counts: Mapping[str, int]
    bug: str = ""
    """The bug that is put back, for processes that the scenario starts."""

    def random(self, about: str = "") -> Random:
        """A source of lots of its own, the same for the same seed."""
        return Random(f"{self.seed} {about}")

    def history(self, name: str = "history") -> History:
        """A history of this run, in a file of its own."""
        return History(self.folder / f"{name}.jsonl")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has shown."""

    faults: int
    """How many faults were injected. None at all shows nothing."""
    figures: Mapping[str, str]
    violations: tuple[str, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the run did not show what it should; empty when it did."""
        return self.violations if self.faults else ("no fault was injected", *self.violations)


Scene: TypeAlias = Callable[[Run], Awaitable[Told]]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the scorecard. *tier_1* are the smallest counts that still inject a fault.

    Each of *bugs*, put back, must make a run with the counts of *revert* fail (those of tier 1, if there are none).
    """

    id: str
    title: str
    scene: Scene
    tier_1: Mapping[str, int]
    tier_2: Mapping[str, int]
    bugs: tuple[str, ...]
    revert: Mapping[str, int] | None = None
    stores: tuple[str, ...] = STORES
    only_tier_2: bool = False
    """Whether tier 1 has its tests elsewhere."""
