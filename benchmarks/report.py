"""``REPORT.md``, written by the harness from the records alone."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers.table import ABOUT, peer_notes, peer_rows
from benchmarks.peers.table import COLUMNS as PEER_COLUMNS
from benchmarks.results import Failed, NotRunHere, Records, Result, Scaled
from benchmarks.shortfalls import SHORTFALLS
from benchmarks.table import COLUMNS, COST_COLUMNS, cost_rows, curve_columns, curve_rows, rows

CHART_NAME = "ratios.svg"
SCALE_NAME = "scale.svg"

METHOD = """\
## Method

Each row sets duly beside the same work written by hand: the *floor*. Both run in one process, take turns (floor, ours,
floor, ours, …) after a short warm-up that does not count, each time on a fresh database, with the same durability:
SQLite in WAL mode with `synchronous = FULL`, PostgreSQL with fsync and `synchronous_commit` on. A ratio is taken within
each round; the table gives the median of these ratios and how far they lie apart, and the medians of the figures.
What is only read (most of `growth_…`) is filled once, and read by all rounds. Where one worker process is set beside
two, both run all the time, on databases of their own.
**Only ratios mean anything**: the machine is shared, and what a sync costs changes what is measured. The last column is
an fdatasync of one page, measured after each side of each round; a range stands there when the disk was not steady, and
such a row should be measured again; so should one with a question mark, whose rounds do not agree about the target.

After each measurement the rows that it left are counted. A benchmark in which ours wrote less than a floor fails;
*same rows* is a second floor that writes every row that duly writes, into duly's own tables, and must match exactly.
CPU is that of the client process, all its threads, per operation, and where processes of their own do the work, that of
those; a PostgreSQL server's is not in it.

What an operation asks is counted at the driver in the warm-up, which is not timed: statements that the client says
(BEGIN and COMMIT among them, not those inside a function of the database) and answers that it waits for. What is said
at the start of a worker is in it, and so are NOTIFYs behind the commits. What the server spends is read before and
after each timed block: WAL by `pg_current_wal_insert_lsn`, the median of the rounds; processor time of all its
processes (`/proc`), of all rounds together, autovacuum and checkpoints included.

    python -m benchmarks [--quick] [--only KEY] [--rounds N] [--store sqlite|postgres] [--finished N]
                         [--peers] [--json FILE]

Each key keeps the record of its latest run, short (`--quick`) or full. What takes long to fill (`growth_…`,
`rebuild_…`) and what scales have a part in a short run only when they are named.

What scales has no floor: each point is measured in every round, by turns with the others. Its WAL is that of a server
whose last checkpoint was after the filling: a page that is changed for the first time since goes into the log whole.
"""


def report(records: Records) -> str:
    """The report as Markdown."""
    parts = ["# Benchmarks\n", "Written by `python -m benchmarks`; do not edit.\n", METHOD]
    parts += [
        "## Results\n",
        f"![How far each target is reached]({CHART_NAME})\n",
        _table(records),
        *_troubles(records),
        *_shortfalls(records),
        *_costs(records),
        *_curves(records),
        *_peers(records),
    ]
    parts += ["## What is measured\n", *_subjects(records)]
    return "\n".join(parts)


def _table(records: Records) -> str:
    found = []
    for row in rows(records):
        if row[1].startswith(("not run", "failed")):
            row = (row[0], row[1].partition(":")[0], *row[2:])
        found.append(row)
    return _lines(COLUMNS, found)


def _peers(records: Records) -> list[str]:
    """The section on peers; nothing where none was ever asked for."""
    with_peers = {key: record.peers for key, record in records.items() if isinstance(record, Result) and record.peers}
    if not with_peers:
        return []
    found = [row for key, peers in with_peers.items() for row in peer_rows(key, peers)]
    notes = [note for key, peers in with_peers.items() for note in peer_notes(key, peers)]
    return ["## Peers\n", ABOUT, _lines(PEER_COLUMNS, found), *notes, ""]


def _lines(columns: tuple[str, ...], found: Sequence[tuple[str, ...]]) -> str:
    return "\n".join([_line(columns), _line(("---",) * len(columns)), *map(_line, found), ""])


def _costs(records: Records) -> list[str]:
    found = [_line(row) for row in cost_rows(records)]
    if not found:
        return []
    return ["## What an operation costs\n", _line(COST_COLUMNS), _line(("---",) * len(COST_COLUMNS)), *found, ""]


def _curves(records: Records) -> list[str]:
    parts: list[str] = []
    for key, record in records.items():
        if not isinstance(record, Scaled):
            continue
        parts += [f"## How it scales: `{key}`\n", f"![Each curve from nothing to its highest point]({SCALE_NAME})\n"]
        for curve in record.curves:
            columns = curve_columns(curve)
            table = [_line(columns), _line(("---",) * len(columns)), *map(_line, curve_rows(curve))]
            parts += [f"### {curve.name.capitalize()}: {curve.unit} by {curve.of}\n", *table, ""]
    return parts


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _troubles(records: Records) -> list[str]:
    found: list[str] = []
    for key, record in records.items():
        match record:
            case NotRunHere(reason=reason):
                found.append(f"- `{key}` was not run: {reason}.")
            case Failed(error=error):
                found.append(f"- `{key}` failed: {error}")
            case Result() | Scaled():
                pass
    return [*found, ""] if found else []


def missed(records: Records) -> list[str]:
    """The keys of which a target is not reached."""
    return [
        key
        for key, record in records.items()
        if isinstance(record, Result) and not (record.met and all(other.met for other in record.also))
    ]


def _shortfalls(records: Records) -> list[str]:
    keys = missed(records)
    if not keys:
        return []
    found = [f"- `{key}`: {SHORTFALLS.get(key, 'nobody has looked yet.')}" for key in keys]
    return [
        "## What stands between\n",
        "Of what misses a target, where the time goes, and what was tried.\n",
        *found,
        "",
    ]


def _subjects(records: Records) -> list[str]:
    lines: list[str] = []
    for key, record in records.items():
        lines.append(f"**`{key}`**: {record.work}")
        if isinstance(record, Result):
            mode = "short form" if record.quick else "full form"
            lines += [
                f"Ours does more: {record.more}",
                f"{record.operations:,} operations a round, {record.rounds} rounds, {mode}, {record.measured_at}.",
                f"Written in the last round: {_written(record)}.",
                f"Machine: {record.machine}; load {record.load:.1f}.",
            ]
        if isinstance(record, Scaled):
            lines += [
                f"{record.rounds} rounds, {record.measured_at}.",
                f"Machine: {record.machine}; load {record.load:.1f}.",
            ]
        lines.append("")
    return lines


def _written(record: Result) -> str:
    return "; ".join(
        f"{side}: " + ", ".join(f"{count:,} {kind}" for kind, count in rows_of_side.items())
        for side, rows_of_side in record.rows.items()
    )
