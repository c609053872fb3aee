"""The section *Peers* of the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.peers.records import PeerMeasured, PeerNotRun, PeerRecord
from benchmarks.table import number

COLUMNS = ("key", "peer", "figure", "unit", "ratio to floor", "min–max", "IQR", "ours / peer", "CPU µs")

NOT_RUN = "not run: "

ABOUT = """\
Each runs in a virtual environment and a process of its own, as its own documentation says, and takes its turn in the
rounds of ours: floor, ours, peer, peer, …; its ratio is to the floor of the same rounds. *ours / peer* compares the
figures: of a rate more is better, of a time less. Durability is the same; what a peer does less or more stands below
the table. Starting a peer's process is not in its time.

    make bench-peers
"""


def peer_rows(key: str, records: Iterable[PeerRecord]) -> Iterator[tuple[str, ...]]:
    """A row for each figure of each peer, in `COLUMNS`."""
    for record in records:
        match record:
            case PeerNotRun(reason=reason):
                yield key, _label(record), f"{NOT_RUN}{reason}", *[""] * (len(COLUMNS) - 3)
            case PeerMeasured():
                yield from _figures(key, record)


def is_not_run(row: tuple[str, ...]) -> bool:
    """Whether the row says why there are no figures."""
    return row[2].startswith(NOT_RUN)


def best(records: Iterable[PeerRecord]) -> PeerMeasured | None:
    """The peer that comes nearest to our target."""
    measured = [record for record in records if isinstance(record, PeerMeasured)]
    return max(measured, key=lambda record: record.main.score, default=None)


def peer_notes(key: str, records: Sequence[PeerRecord]) -> Iterator[str]:
    """What each does less or more."""
    for record in records:
        if isinstance(record, PeerMeasured):
            rows = ", ".join(f"{count:,} {kind}" for kind, count in record.rows.items())
            yield (
                f"- `{key}`, {_label(record)}: {record.differs} {record.operations:,} operations a "
                f"round, {record.rounds} rounds, {record.measured_at}; in the last round {rows}."
            )


def _label(record: PeerRecord) -> str:
    """``procrastinate 3.10.0, tuned``."""
    library, comma, variant = record.name.partition(", ")
    return f"{library} {record.version}{comma}{variant}"


def _figures(key: str, record: PeerMeasured) -> Iterator[tuple[str, ...]]:
    for place, seen in enumerate(record.figures):
        yield (
            f"{key}, {seen.name}" if seen.name and place else key,
            _label(record),
            number(seen.figure),
            seen.unit,
            number(seen.ratio),
            f"{number(seen.spread.min)}–{number(seen.spread.max)}",
            number(seen.spread.iqr),
            number(seen.ours),
            "" if place else number(record.cpu_us),
        )
