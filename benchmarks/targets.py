"""Where we want to be. A score of 1 or more says that we are there; it is what the chart draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """*score* takes the ratio and our own figure."""

    text: str
    score: Callable[[float, float], float]


def at_least(ratio: float) -> Target:
    """Ours has at least this share of the floor's rate."""
    return Target(f"≥ {ratio:g}", lambda seen, _: seen / ratio)


def at_most(ratio: float) -> Target:
    """Ours takes at most so many times what the floor takes."""
    return Target(f"≤ {ratio:g} ×", lambda seen, _: ratio / seen if seen > 0 else float("inf"))


def within(limit: float, unit: str) -> Target:
    """Ours is at most this, whatever the floor does."""
    return Target(f"≤ {limit:g} {unit}", lambda _, ours: limit / ours if ours > 0 else float("inf"))
