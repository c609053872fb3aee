"""From rounds to medians and spreads: pure arithmetic."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from benchmarks.benchmark import FLOOR, OURS, SAME_ROWS, Comparison
from benchmarks.measured import Measured

Round = Mapping[str, Measured]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How far the rounds lie apart: the ends, the quartiles and their distance."""

    min: float
    max: float
    q1: float
    q3: float
    iqr: float


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Ours and one floor: medians over the rounds. *ratio* is the median of the rounds' own ratios."""

    name: str
    unit: str
    ours: float
    floor: float
    ratio: float
    spread: Spread
    target: str
    score: float
    met: bool
    settled: bool
    """Whether every round says so too; else it should be measured again, in a quieter hour."""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What one operation of a side costs; None is what was not looked at, or cannot be seen."""

    statements: float | None
    round_trips: float | None
    wal_bytes: float | None
    client_cpu_us: float
    server_cpu_us: float | None


class WroteLess(Exception):
    """Ours did less than its floor: whatever it measured says nothing."""


def spread_of(values: Sequence[float]) -> Spread:
    """The spread of at least one value; quartiles between the values where they fall between."""
    if len(values) == 1:
        return Spread(min=values[0], max=values[0], q1=values[0], q3=values[0], iqr=0.0)
    q1, _, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(min=min(values), max=max(values), q1=q1, q3=q3, iqr=q3 - q1)


def compared(comparison: Comparison, rounds: Sequence[Round]) -> Compared:
    """One comparison over all rounds."""
    read = comparison.figure.read
    ours = [read(one[OURS]) for one in rounds]
    floor = [read(one[comparison.floor]) for one in rounds]
    ratios = [mine / theirs for mine, theirs in zip(ours, floor, strict=True)]
    ratio, our_median = statistics.median(ratios), statistics.median(ours)
    score_of = comparison.target.score
    score = score_of(ratio, our_median)
    verdicts = {score_of(one, mine) >= 1 for one, mine in zip(ratios, ours, strict=True)}
    return Compared(
        name=comparison.name,
        unit=comparison.figure.unit,
        ours=our_median,
        floor=statistics.median(floor),
        ratio=ratio,
        spread=spread_of(ratios),
        target=comparison.target.text,
        score=score,
        met=score >= 1,
        settled=len(verdicts) == 1,
    )


def check_work(key: str, sides: Round) -> None:
    """Raises `WroteLess` unless ours wrote, per operation, at least what every floor wrote of each kind of row.

    The floor of the same rows must have written exactly what ours did.
    """
    ours = sides[OURS]
    for name, floor in sides.items():
        if name == OURS:
            continue
        for kind, theirs in floor.rows.items():
            mine = ours.rows.get(kind, 0)
            # Cross-multiplied: sides may do different numbers of operations.
            if mine * floor.operations < theirs * ours.operations:
                raise WroteLess(
                    f"{key}: ours wrote {mine:,} {kind} in {ours.operations:,} operations, the {name} "
                    f"{theirs:,} in {floor.operations:,}. A benchmark that does less than its floor is a defect: "
                    "make ours do the work, or take it out of the floor."
                )
            if name == SAME_ROWS and mine * floor.operations != theirs * ours.operations:
                raise WroteLess(
                    f"{key}: the {SAME_ROWS} floor wrote {theirs:,} {kind}, ours {mine:,}. Bring it up to "
                    "what duly writes now, or it flatters ours."
                )
        if not floor.rows:
            raise WroteLess(f"{key}: the {name} counted nothing, so nothing can be compared. Count what it wrote.")


def median_cpu_us(rounds: Sequence[Round], side: str = FLOOR) -> float:
    """Microseconds of this process's CPU per operation of *side*."""
    return statistics.median(one[side].cpu_us for one in rounds)


def costs_of(counted: Round, rounds: Sequence[Round]) -> dict[str, Costs]:
    """By side, from the round in which everything was counted, and from those that were timed.

    Nothing of a benchmark that no meter watched. A server's processor time is that of all rounds together: some systems
    tell it in large steps.
    """
    return {
        side: Costs(
            statements=_each(measured.spent.statements, measured),
            round_trips=_each(measured.spent.round_trips, measured),
            wal_bytes=_median(_each(one[side].spent.wal_bytes, one[side]) for one in rounds),
            client_cpu_us=median_cpu_us(rounds, side),
            server_cpu_us=_server_cpu_us([one[side] for one in rounds]),
        )
        for side, measured in counted.items()
        if measured.spent.statements is not None
    }


def _each(total: int | None, measured: Measured) -> float | None:
    return None if total is None else total / measured.operations


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _server_cpu_us(measured: Sequence[Measured]) -> float | None:
    seconds = [one.spent.server_cpu_seconds for one in measured]
    known = [second for second in seconds if second is not None]
    if not known or len(known) < len(seconds):
        return None
    return sum(known) / sum(one.operations for one in measured) * 1e6
