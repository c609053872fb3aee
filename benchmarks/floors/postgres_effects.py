"""A ledger on PostgreSQL by hand: one effect in flight, one round trip and commit before its call and one after it."""

from __future__ import annotations

import asyncpg

from benchmarks.floors.ledger_rows import TABLES, call_provider, requested
from benchmarks.loop import run
from benchmarks.measured import Stopwatch

BEGIN_ATTEMPT = """
WITH due AS (SELECT id FROM effect WHERE state = 'requested' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED),
     begun AS (UPDATE effect SET state = 'attempting' FROM due WHERE effect.id = due.id RETURNING effect.id, body),
     attempt AS (INSERT INTO attempt (effect_id, number, started) SELECT id, 1, extract(epoch FROM now()) FROM begun)
SELECT id, body FROM begun
"""
END_ATTEMPT = """
WITH ended AS (UPDATE effect SET state = 'accepted', provider_id = $2 WHERE id = $1)
UPDATE attempt SET ended = extract(epoch FROM now()), outcome = 'accepted' WHERE effect_id = $1 AND number = 1
"""


def fill(url: str, count: int) -> None:
    """Request *count* effects in a new database."""
    run(_fill(url, count))


def send(url: str) -> Stopwatch:
    """Send all of them."""
    return run(_send(url))


async def _fill(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        for table in TABLES:
            await connection.execute(table.format(serial="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"))
        columns = ["recipient", "body", "state"]
        await connection.copy_records_to_table("effect", records=requested(count), columns=columns)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def _send(url: str) -> Stopwatch:
    connection = await asyncpg.connect(url)
    try:
        begin, end = await connection.prepare(BEGIN_ATTEMPT), await connection.prepare(END_ATTEMPT)
        with Stopwatch() as watch:
            while (row := await begin.fetchrow()) is not None:
                await end.fetch(row["id"], call_provider(row["body"]))
    finally:
        await connection.close()
    return watch
