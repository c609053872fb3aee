"""The records as rows of text, for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.results import Failed, NotRunHere, Record, Records, Result, Scaled
from benchmarks.scaling import Curve
from benchmarks.series import Compared

COLUMNS = ("key", "ours", "floor", "unit", "ratio", "min–max", "IQR", "target", "CPU µs ours/floor", "sync µs")

COST_COLUMNS = ("key", "side", "statements", "round trips", "WAL bytes", "client CPU µs", "server CPU µs")


def rows(records: Records) -> Iterator[tuple[str, ...]]:
    """A row for each comparison, in `COLUMNS`."""
    for key, record in records.items():
        yield from _rows(key, record)


def cost_rows(records: Records) -> Iterator[tuple[str, ...]]:
    """A row for each side whose operations were looked at, in `COST_COLUMNS`."""
    for key, record in records.items():
        if isinstance(record, Result):
            for side, costs in record.costs.items():
                seen = (costs.statements, costs.round_trips, costs.wal_bytes, costs.client_cpu_us, costs.server_cpu_us)
                yield key, side, *("" if value is None else number(value) for value in seen)


def curve_columns(curve: Curve) -> tuple[str, ...]:
    """The columns of `curve_rows`."""
    return (curve.of, curve.unit, "min–max", "of the first", "WAL bytes", "client CPU µs", "server CPU µs")


def curve_rows(curve: Curve) -> Iterator[tuple[str, ...]]:
    """A row for each point of a curve."""
    first = curve.points[0].value
    for point in curve.points:
        spent = (point.wal_bytes, point.client_cpu_us, point.server_cpu_us)
        yield (
            f"{point.x:,}",
            number(point.value),
            f"{number(point.min)}–{number(point.max)}",
            f"{number(point.value / first)} ×",
            *("" if value is None else number(value) for value in spent),
        )


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _rows(key: str, record: Record) -> Iterator[tuple[str, ...]]:
    match record:
        case NotRunHere(reason=reason):
            yield key, f"not run: {reason}", *[""] * (len(COLUMNS) - 2)
        case Failed(error=error):
            yield key, f"failed: {error}", *[""] * (len(COLUMNS) - 2)
        case Scaled():
            return
        case Result():
            cpu = f"{number(record.ours_cpu_us)} / {number(record.floor_cpu_us)}"
            syncs = record.syncs
            wide = "" if syncs.is_steady else f" ({number(syncs.min_us)}–{number(syncs.max_us)})"
            yield *_compared(key, main_of(record)), cpu, f"{number(syncs.median_us)}{wide}"
            for other in record.also:
                yield *_compared(f"{key}, {other.name}", other), "", ""


def main_of(record: Result) -> Compared:
    """The comparison that the key stands for."""
    return Compared(
        name="",
        unit=record.unit,
        ours=record.ours,
        floor=record.floor,
        ratio=record.ratio,
        spread=record.spread,
        target=record.target,
        score=record.score,
        met=record.met,
        settled=record.settled,
    )


def _compared(label: str, seen: Compared) -> tuple[str, ...]:
    return (
        label,
        number(seen.ours),
        number(seen.floor),
        seen.unit,
        number(seen.ratio),
        f"{number(seen.spread.min)}–{number(seen.spread.max)}",
        number(seen.spread.iqr),
        f"{seen.target} {'✓' if seen.met else '✗'}{'' if seen.settled else ' ?'}",
    )
