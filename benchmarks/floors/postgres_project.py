"""A projection on PostgreSQL by hand: read 500 events, upsert a row for each, move the checkpoint; one transaction."""

from __future__ import annotations

import json

import asyncpg

from benchmarks.floors.project_rows import EVENTS_PER_BATCH, TABLES, payloads
from benchmarks.loop import run
from benchmarks.measured import Stopwatch

READ = "SELECT position, tenant, payload FROM event WHERE position > $1 ORDER BY position LIMIT $2"
UPSERT = """
INSERT INTO basket_line (tenant, basket_id, line, article, position) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, basket_id, line) DO UPDATE SET article = excluded.article, position = excluded.position
"""
MOVE = "UPDATE checkpoint SET position = $1 WHERE name = 'basket_list' AND position = $2"


def fill(url: str, count: int) -> None:
    """Put *count* events into a new database."""
    run(_fill(url, count))


def project(url: str) -> Stopwatch:
    """Project all events."""
    return run(_project(url))


async def _fill(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        for table in TABLES:
            await connection.execute(table.format(serial="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"))
        await connection.copy_records_to_table("event", records=payloads(count), columns=["tenant", "payload"])
        await connection.execute("ANALYZE event")
    finally:
        await connection.close()


async def _project(url: str) -> Stopwatch:
    connection = await asyncpg.connect(url)
    position = 0
    try:
        with Stopwatch() as watch:
            while rows := await connection.fetch(READ, position, EVENTS_PER_BATCH):
                values = []
                for at, tenant, payload in rows:
                    event = json.loads(payload)
                    values.append((tenant, event["basket_id"], event["line"], event["article"], at))
                async with connection.transaction():
                    await connection.execute(MOVE, rows[-1][0], position)
                    await connection.executemany(UPSERT, values)
                position = rows[-1][0]
    finally:
        await connection.close()
    return watch
