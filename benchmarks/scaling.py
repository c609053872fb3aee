"""How something grows: curves of points, each measured in every round. There is no floor in it."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from benchmarks.measured import Measured


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen at *x*: the median of the rounds and their ends, and what one operation spent."""

    x: int
    value: float
    min: float
    max: float
    wal_bytes: float | None
    client_cpu_us: float
    server_cpu_us: float | None


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """*unit* by *of*: ``commands/s`` by ``command processes``."""

    name: str
    of: str
    unit: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One thing that grows. *opened* makes ready what `measure` of each of *xs* needs, and throws it away again."""

    name: str
    of: str
    unit: str
    xs: tuple[int, ...]
    opened: Callable[[], AbstractContextManager[Callable[[int], Measured]]]


@dataclass(kw_only=True)
class Scaling(ABC):
    """A benchmark without a floor. It takes minutes, and so has no part in the short form."""

    key: str
    work: ClassVar[str]
    is_short: ClassVar[bool] = False

    @property
    @abstractmethod
    def store(self) -> str | None:
        """``sqlite``, ``postgres``, or None when no database is in it."""

    @abstractmethod
    def open(self) -> None:
        """Make ready. Raises `NotRun`."""

    @abstractmethod
    def metered(self) -> AbstractContextManager[object]:
        """What measurements run in, so that their database is watched."""

    @abstractmethod
    def axes(self) -> Sequence[Axis]:
        """What grows, one after the other."""


Told = Callable[[int, str, Measured], None]
"""Hears the number of the round, from 1, which point it is, and what was measured."""


def curve_of(scaling: Scaling, axis: Axis, rounds: int, told: Told) -> Curve:
    """Measure all points by turns, so that a slow minute of the machine is slow for all of them."""
    seen: dict[int, list[Measured]] = {x: [] for x in axis.xs}
    with axis.opened() as measure:
        for number in range(1, rounds + 1):
            for x in axis.xs:
                with scaling.metered():
                    seen[x].append(measure(x))
                told(number, f"{axis.name}, {x:,} {axis.of}", seen[x][-1])
    points = tuple(_point(x, measured) for x, measured in seen.items())
    return Curve(name=axis.name, of=axis.of, unit=axis.unit, points=points)


def _point(x: int, rounds: Sequence[Measured]) -> Point:
    rates = [one.rate for one in rounds]
    wal = [one.spent.wal_bytes / one.operations for one in rounds if one.spent.wal_bytes is not None]
    server = [one.spent.server_cpu_seconds for one in rounds if one.spent.server_cpu_seconds is not None]
    operations = sum(one.operations for one in rounds)
    return Point(
        x=x,
        value=statistics.median(rates),
        min=min(rates),
        max=max(rates),
        wal_bytes=statistics.median(wal) if wal else None,
        client_cpu_us=statistics.median(one.cpu_us for one in rounds),
        server_cpu_us=sum(server) / operations * 1e6 if len(server) == len(rounds) else None,
    )
