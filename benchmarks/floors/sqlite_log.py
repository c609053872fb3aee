"""A log on SQLite: filled, and read by hand in pages."""

from __future__ import annotations

from benchmarks.measured import Stopwatch
from benchmarks.places.sqlite import connect
from benchmarks.subjects.logged import (
    BY_HAND,
    BY_POSITION,
    EVENTS_PER_COMMIT,
    MESSAGES,
    PAGE_EVENTS,
    SQLITE_COMMITS,
    TABLE,
    sqlite_numbers,
)

PAGE = BY_POSITION.format(first="?", many="?")


def fill(url: str, events: int) -> None:
    """Put *events* into a new database, as a person would."""
    _run(url, [TABLE, sqlite_numbers(events) + BY_HAND])


def fill_ours(url: str, events: int) -> None:
    """Put *events* into duly's tables, which are there."""
    numbers = sqlite_numbers(events // EVENTS_PER_COMMIT)
    _run(url, [numbers + statement.replace("duly.", "duly_") for statement in (MESSAGES, SQLITE_COMMITS)])


def read(url: str) -> tuple[Stopwatch, int]:
    """Read everything in pages; how many events there were."""
    connection = connect(url)
    position = seen = 0
    try:
        with Stopwatch() as watch:
            while rows := connection.execute(PAGE, (position, PAGE_EVENTS)).fetchall():
                position = rows[-1][0]
                seen += len(rows)
    finally:
        connection.close()
    return watch, seen


def _run(url: str, statements: list[str]) -> None:
    connection = connect(url)
    try:
        connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    finally:
        connection.close()
