"""A log on PostgreSQL: filled, and read by hand in pages, one prepared statement each."""

from __future__ import annotations

import asyncpg

from benchmarks.loop import run
from benchmarks.measured import Stopwatch
from benchmarks.places.filling import execute_all
from benchmarks.subjects.logged import (
    BY_HAND,
    BY_POSITION,
    EVENTS_PER_COMMIT,
    GOES_ON,
    MESSAGES,
    NUMBER,
    PAGE_EVENTS,
    POSTGRES_COMMITS,
    TABLE,
    postgres_numbers,
)

PAGE = BY_POSITION.format(first="$1", many="$2")


def fill(url: str, events: int) -> None:
    """Put *events* into a new database, as a person would."""
    execute_all(url, [TABLE, postgres_numbers(events) + BY_HAND, "VACUUM ANALYZE events", "CHECKPOINT"])


def fill_ours(url: str, events: int) -> None:
    """Put *events* into duly's tables, which are there, and number them."""
    numbers = postgres_numbers(events // EVENTS_PER_COMMIT)
    tables = [f"VACUUM ANALYZE duly.{table}" for table in ("message", "commit_log", "log_stretch", "sequencer")]
    execute_all(url, [numbers + MESSAGES, numbers + POSTGRES_COMMITS, GOES_ON, NUMBER, *tables, "CHECKPOINT"])


def read(url: str) -> tuple[Stopwatch, int]:
    """Read everything in pages; how many events there were."""
    return run(_read(url))


async def _read(url: str) -> tuple[Stopwatch, int]:
    connection = await asyncpg.connect(url)
    position = seen = 0
    try:
        page = await connection.prepare(PAGE)
        with Stopwatch() as watch:
            while rows := await page.fetch(position, PAGE_EVENTS):
                position = rows[-1][0]
                seen += len(rows)
        return watch, seen
    finally:
        await connection.close()
