"""Fills a ledger by SQL: with its indexes away and without syncs, for only what is read from it is measured."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from benchmarks.loop import run
from benchmarks.places.sqlite import PREFIX
from benchmarks.subjects.finished import POSTGRES, SQLITE, TABLES, statements

if TYPE_CHECKING:
    import asyncpg

CACHE_KIB: Final = 1_000_000
FILL_SECONDS_MAX: Final = 3_600
MAINTENANCE: Final = "512MB"
INDEXES: Final = """
SELECT indexname, indexdef FROM pg_indexes
 WHERE schemaname = 'duly' AND tablename = ANY($1)
   AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE connamespace = 'duly'::regnamespace)
"""


def fill_sqlite(url: str, rows: int) -> None:
    """Put *rows* finished effects into a migrated file that nobody has open."""
    connection = sqlite3.connect(url.removeprefix(PREFIX), isolation_level=None)
    try:
        connection.create_function("md5", 1, lambda n: hashlib.md5(b"%d" % n).hexdigest(), deterministic=True)
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        marks = ", ".join("?" * len(TABLES))
        indexes = connection.execute(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({marks})",
            [f"duly_{table}" for table in TABLES],
        ).fetchall()
        connection.execute("BEGIN")
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        for statement in statements(SQLITE, rows):
            connection.execute(statement.replace("duly.", "duly_"))
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def fill_postgres(url: str, rows: int) -> None:
    """Put *rows* finished effects into a migrated database, and let it be as autovacuum leaves it."""
    indexes = run(_without_indexes(url))
    vacuumed = (f"VACUUM ANALYZE duly.{table}" for table in TABLES)
    execute_all(url, [*statements(POSTGRES, rows), *indexes, *vacuumed, "CHECKPOINT"])


def execute_all(url: str, texts: Sequence[str]) -> None:
    """Run statements on PostgreSQL, one after the other, each in its own time."""
    for text in texts:
        run(_execute(url, text), seconds_max=FILL_SECONDS_MAX)


async def _without_indexes(url: str) -> list[str]:
    connection = await _connected(url)
    try:
        found = await connection.fetch(INDEXES, list(TABLES))
        for row in found:
            await connection.execute(f"DROP INDEX duly.{row['indexname']}")
        return [row["indexdef"] for row in found]
    finally:
        await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await _connected(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _connected(url: str) -> asyncpg.Connection[asyncpg.Record]:
    import asyncpg

    settings = {"maintenance_work_mem": MAINTENANCE, "synchronous_commit": "off"}
    return await asyncpg.connect(url, server_settings=settings)
