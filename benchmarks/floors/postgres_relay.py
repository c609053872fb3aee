"""Draining an outbox on PostgreSQL by hand: claim 500 under a lease, read them, delete them; two statements."""

from __future__ import annotations

import asyncpg

from benchmarks.floors.drain_rows import CLAIM_ROWS, LEASE_SECONDS, TABLES, payloads
from benchmarks.loop import run
from benchmarks.measured import Stopwatch

CLAIM = """
UPDATE outbox SET owner = 'floor', until = extract(epoch FROM now()) + $2
 WHERE id IN (SELECT id FROM outbox WHERE until < extract(epoch FROM now()) ORDER BY id LIMIT $1
                FOR UPDATE SKIP LOCKED)
RETURNING id, payload
"""
DELETE = "DELETE FROM outbox WHERE owner = 'floor' AND id = ANY($1::bigint[])"


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
    read = 0
    try:
        claim, delete = await connection.prepare(CLAIM), await connection.prepare(DELETE)
        with Stopwatch() as watch:
            while rows := await claim.fetch(CLAIM_ROWS, LEASE_SECONDS):
                read += sum(1 for row in rows if row["payload"])
                await delete.fetch([row["id"] for row in rows])
    finally:
        await connection.close()
    return watch, read
