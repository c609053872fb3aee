"""From commit to handler on PostgreSQL by hand: NOTIFY inside the transaction, and a listener that fetches the rows."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from benchmarks.loop import run
from benchmarks.measured import Stopwatch

TABLE = "CREATE TABLE outbox (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number INTEGER NOT NULL)"
INSERT = "WITH o AS (INSERT INTO outbox (number) VALUES ($1)) SELECT pg_notify('outbox', '')"
SELECT = "SELECT id, number FROM outbox WHERE id > $1 ORDER BY id"


def notified(url: str, operations: int, interval: float) -> tuple[Stopwatch, list[float]]:
    """A commit every *interval* seconds; each wait in seconds."""
    return run(_notified(url, operations, interval))


async def _notified(url: str, operations: int, interval: float) -> tuple[Stopwatch, list[float]]:
    writer, reader = await asyncpg.connect(url), await asyncpg.connect(url)
    woken = asyncio.Event()
    handled: dict[int, float] = {}
    committed: dict[int, float] = {}

    async def handle_all() -> None:
        last_id = 0
        while len(handled) < operations:
            await woken.wait()
            woken.clear()
            for row in await select.fetch(last_id):
                handled[row["number"]] = time.perf_counter()
                last_id = row["id"]

    try:
        await writer.execute(TABLE)
        # Prepared before it listens: a notification amid asyncpg's Parse and Describe leaves it waiting for ever.
        select, insert = await reader.prepare(SELECT), await writer.prepare(INSERT)
        await reader.add_listener("outbox", lambda *_: woken.set())
        loop = asyncio.get_running_loop()
        with Stopwatch() as watch:
            handling = asyncio.create_task(handle_all())
            begun = loop.time()
            for number in range(operations):
                await asyncio.sleep(max(0.0, begun + number * interval - loop.time()))
                await insert.fetch(number)
                committed[number] = time.perf_counter()
            await handling
    finally:
        await reader.close()
        await writer.close()
    return watch, [max(0.0, handled[number] - at) for number, at in committed.items()]
