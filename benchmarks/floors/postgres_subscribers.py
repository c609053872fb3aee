"""Promises on PostgreSQL by hand: an announcement and all its outbox rows in one round trip and one commit."""

from __future__ import annotations

import time

import asyncpg

from benchmarks.floors.subscriber_rows import TABLES, cycles
from benchmarks.loop import run
from benchmarks.measured import Stopwatch
from benchmarks.subjects.announcements import TENANT, TEXT

WRITE = """
WITH a AS (INSERT INTO announcement VALUES ($1, $2, $3))
INSERT INTO outbox (topic, key, payload) SELECT topic, $2, $4 FROM unnest($5::text[]) AS topic
"""


def announce(url: str, count: int) -> tuple[Stopwatch, list[float]]:
    """So many cycles, one announcement after the other; how long each took."""
    return run(_announce(url, count))


async def _announce(url: str, count: int) -> tuple[Stopwatch, list[float]]:
    connection = await asyncpg.connect(url)
    waits: list[float] = []
    try:
        for table in TABLES:
            await connection.execute(table.format(serial="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"))
        write = await connection.prepare(WRITE)
        with Stopwatch() as watch:
            for announcement, payload, topics in cycles(count):
                begun = time.perf_counter()
                await write.fetch(TENANT, announcement, TEXT, payload, topics)
                waits.append(time.perf_counter() - begun)
    finally:
        await connection.close()
    return watch, waits
