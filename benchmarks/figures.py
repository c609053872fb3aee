"""What is read off a measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.measured import Measured

CLOCK_SECONDS: Final = 1e-6
"""A handler may run before its committer is told; a wait of nothing would make any ratio to it infinite."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with a unit. Ratios are ours divided by the floor's, of this number."""

    unit: str
    read: Callable[[Measured], float]


def rate(unit: str) -> Figure:
    """How many operations in a second; *unit* says of what, such as ``commands/s``."""
    return Figure(unit, lambda measured: measured.rate)


def rate_of_every(unit: str, cycle: int, places: range, *, each: int = 1) -> Figure:
    """How many in a second of those whose waits stand at *places* of each *cycle* of `Measured.latencies`.

    Each of them counts as *each* of the *unit*.
    """

    def read(measured: Measured) -> float:
        waits = [wait for at, wait in enumerate(measured.latencies) if at % cycle in places]
        return each * len(waits) / sum(waits)

    return Figure(unit, read)


def milliseconds_each(unit: str = "ms") -> Figure:
    """How long one operation takes."""
    return Figure(unit, lambda measured: measured.seconds / measured.operations * 1e3)


def latency(quantile: float) -> Figure:
    """The wait that the share *quantile* of all waits does not exceed, in milliseconds; a microsecond at least."""
    return Figure("ms", lambda measured: max(quantile_of(measured.latencies, quantile), CLOCK_SECONDS) * 1e3)


def quantile_of(samples: tuple[float, ...], quantile: float) -> float:
    """The sample at *quantile* (0 to 1) by nearest rank. Raises `ValueError` when there is none."""
    if not samples:
        raise ValueError("There are no samples.")
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]
