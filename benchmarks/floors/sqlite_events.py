"""The event store on SQLite by hand: a loop, one commit per append; one SELECT per stream."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from benchmarks.floors.event_rows import HANDLER, NAME, TABLE, bodies, chain, ids, stream, sum_of
from benchmarks.measured import Stopwatch
from benchmarks.places.sqlite import connect
from benchmarks.subjects.accounts import TENANT

AT_MS = 4_102_444_800_000
SELECT = "SELECT body FROM events WHERE tenant = ? AND stream = ? ORDER BY version"


def bare(url: str, appends: int, events: int, in_flight: int) -> Stopwatch:
    """One table of events."""
    connection = connect(url)
    connection.execute(TABLE.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT"))
    return _loop(connection, appends, lambda number: _append_bare(connection, number, events))


def same_rows(url: str, appends: int, events: int, in_flight: int) -> Stopwatch:
    """Every row that duly writes, in its own tables, which are there already."""
    connection = connect(url)
    return _loop(connection, appends, lambda number: _append_same(connection, number, events))


def load(url: str, streams: int, events: int, operations: int) -> tuple[Stopwatch, int]:
    """Read streams, one after the other; what all of them come to."""
    connection = connect(url)
    connection.execute(TABLE.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT"))
    connection.execute("BEGIN")
    for number in range(streams):
        _append_bare(connection, number, events)
    connection.execute("COMMIT")
    total = 0
    try:
        with Stopwatch() as watch:
            for number in range(operations):
                rows = connection.execute(SELECT, (TENANT, stream(number % streams))).fetchall()
                total += sum_of([body for (body,) in rows])
    finally:
        connection.close()
    return watch, total


def _loop(connection: sqlite3.Connection, appends: int, append: Callable[[int], None]) -> Stopwatch:
    try:
        with Stopwatch() as watch:
            for number in range(appends):
                connection.execute("BEGIN IMMEDIATE")
                append(number)
                connection.execute("COMMIT")
    finally:
        connection.close()
    return watch


def _append_bare(connection: sqlite3.Connection, number: int, events: int) -> None:
    name = stream(number)
    connection.executemany(
        "INSERT INTO events (tenant, stream, version, name, body) VALUES (?, ?, ?, ?, ?)",
        [(TENANT, name, version, NAME, body) for version, body in enumerate(bodies(number, events), start=1)],
    )


def _append_same(connection: sqlite3.Connection, number: int, events: int) -> None:
    name = stream(number)
    connection.execute(
        "INSERT INTO duly_document (tenant, type, id, version, schema, body) VALUES (?, 'Account', ?, ?, 1, '')",
        (TENANT, f"account-{number}", events),
    )
    commit_id = connection.execute(
        "INSERT INTO duly_commit_log (tenant, events, first_position, at_ms) VALUES (?, ?, ?, ?)",
        (TENANT, events, number * events + 1, AT_MS),
    ).lastrowid
    cause = chain()
    connection.executemany(
        "INSERT INTO duly_message (commit_id, ordinal, id, tenant, kind, name, version, subject, stream, "
        "stream_version, handler, chain, body) VALUES (?, ?, ?, ?, 'event', ?, 1, ?, ?, ?, ?, ?, ?)",
        [
            (commit_id, at, event_id, TENANT, NAME, name, name, at + 1, HANDLER, cause, body)
            for at, (event_id, body) in enumerate(zip(ids(events), bodies(number, events), strict=True))
        ],
    )
