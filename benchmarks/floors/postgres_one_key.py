"""A hot key on PostgreSQL by hand: read a page, then a round trip and a commit for each message, one by one."""

from __future__ import annotations

import asyncpg

from benchmarks.floors.one_key_rows import PAGE_ROWS, TABLES, parcel, payloads
from benchmarks.loop import run
from benchmarks.measured import Stopwatch

READ = "SELECT id, payload FROM outbox ORDER BY id LIMIT $1"
HANDLE = """
WITH handled AS (DELETE FROM outbox WHERE id = $1)
INSERT INTO parcel (tenant, id, version, body) VALUES ($2, $3, 1, $4)
"""


def fill(url: str, count: int) -> None:
    """Put *count* rows into a new database."""
    run(_fill(url, count))


def drain(url: str) -> tuple[Stopwatch, int]:
    """Drain it; the time, and how many payloads were read."""
    return run(_drain(url))


async def _fill(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        for table in TABLES:
            await connection.execute(table.format(serial="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"))
        await connection.copy_records_to_table("outbox", records=payloads(count), columns=["lane", "payload"])
        await connection.execute("ANALYZE outbox")
    finally:
        await connection.close()


async def _drain(url: str) -> tuple[Stopwatch, int]:
    connection = await asyncpg.connect(url)
    seen = 0
    try:
        read, handle = await connection.prepare(READ), await connection.prepare(HANDLE)
        with Stopwatch() as watch:
            while rows := await read.fetch(PAGE_ROWS):
                for row in rows:
                    await handle.fetch(row["id"], *parcel(row["id"], row["payload"]))
                    seen += 1
    finally:
        await connection.close()
    return watch, seen
