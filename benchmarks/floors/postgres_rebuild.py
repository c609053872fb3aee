"""A rebuild on PostgreSQL by hand: a shadow, filled in batches with its checkpoint, renamed; the old one is dropped."""

from __future__ import annotations

import json

import asyncpg

from benchmarks.floors import rebuild_rows
from benchmarks.floors.postgres_project import MOVE, READ, UPSERT
from benchmarks.loop import run
from benchmarks.measured import Stopwatch

WRITE = UPSERT.replace("basket_line", "basket_line_new", 1)
MOVE_NEW = MOVE.replace("basket_list", "basket_list_new")


def rebuild(url: str) -> Stopwatch:
    """Build the table of all events anew."""
    return run(_rebuild(url))


async def _rebuild(url: str) -> Stopwatch:
    connection = await asyncpg.connect(url)
    position = 0
    try:
        with Stopwatch() as watch:
            for statement in rebuild_rows.BEGIN:
                await connection.execute(statement)
            while rows := await connection.fetch(READ, position, rebuild_rows.EVENTS_PER_BATCH):
                values = []
                for at, tenant, payload in rows:
                    event = json.loads(payload)
                    values.append((tenant, event["basket_id"], event["line"], event["article"], at))
                async with connection.transaction():
                    await connection.execute(MOVE_NEW, rows[-1][0], position)
                    await connection.executemany(WRITE, values)
                position = rows[-1][0]
            async with connection.transaction():
                for statement in rebuild_rows.SWAP:
                    await connection.execute(statement)
            await connection.execute(rebuild_rows.END)
    finally:
        await connection.close()
    return watch
