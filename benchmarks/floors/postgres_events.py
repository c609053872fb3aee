"""The event store on PostgreSQL by hand: one prepared statement, one round trip and one commit per append."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from benchmarks.floors.event_rows import HANDLER, NAME, TABLE, bodies, chain, ids, stream, sum_of
from benchmarks.loop import run
from benchmarks.measured import Stopwatch
from benchmarks.subjects.accounts import TENANT

SERIAL = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
BARE = """
INSERT INTO events (tenant, stream, version, name, body)
SELECT $1, $2, e.version, $3, e.body FROM unnest($4::text[]) WITH ORDINALITY AS e (body, version)
"""
SAME_ROWS = """
WITH d AS (INSERT INTO duly.document (tenant, type, id, version, schema, body) VALUES ($1, 'Account', $2, $3, 1, '')),
     c AS (INSERT INTO duly.commit_log (tenant, events, at_ms) VALUES ($1, $3, 4102444800000) RETURNING id)
INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, subject, stream, stream_version, handler,
                          chain, body)
SELECT c.id, e.version - 1, e.id, $1, 'event', $4, 1, $5, $5, e.version, $6, $7, e.body
  FROM c, unnest($8::text[], $9::text[]) WITH ORDINALITY AS e (id, body, version)
"""
SELECT = "SELECT body FROM events WHERE tenant = $1 AND stream = $2 ORDER BY version"

Arguments = Callable[[int, int], tuple[object, ...]]


def bare(url: str, appends: int, events: int, in_flight: int) -> Stopwatch:
    """One table of events, over *in_flight* connections."""
    return run(_append(url, appends, events, in_flight, BARE, _bare_arguments, TABLE.format(serial=SERIAL)))


def same_rows(url: str, appends: int, events: int, in_flight: int) -> Stopwatch:
    """Every row that duly writes, in its own tables, which are there already."""
    return run(_append(url, appends, events, in_flight, SAME_ROWS, _same_arguments, ""))


def load(url: str, streams: int, events: int, operations: int) -> tuple[Stopwatch, int]:
    """Read streams, one after the other; what all of them come to."""
    return run(_load(url, streams, events, operations))


def _bare_arguments(number: int, events: int) -> tuple[object, ...]:
    return TENANT, stream(number), NAME, bodies(number, events)


def _same_arguments(number: int, events: int) -> tuple[object, ...]:
    account = f"account-{number}"
    return TENANT, account, events, NAME, stream(number), HANDLER, chain(), ids(events), bodies(number, events)


async def _append(
    url: str, appends: int, events: int, in_flight: int, statement: str, arguments: Arguments, table: str
) -> Stopwatch:
    connections = [await asyncpg.connect(url) for _ in range(in_flight)]
    try:
        if table:
            await connections[0].execute(table)
        prepared = [await connection.prepare(statement) for connection in connections]
        numbers = iter(range(appends))

        async def one_connection(append: asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]) -> None:
            for number in numbers:
                await append.fetch(*arguments(number, events))

        with Stopwatch() as watch:
            async with asyncio.TaskGroup() as group:
                for append in prepared:
                    group.create_task(one_connection(append))
        return watch
    finally:
        for connection in connections:
            await connection.close()


async def _load(url: str, streams: int, events: int, operations: int) -> tuple[Stopwatch, int]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(TABLE.format(serial=SERIAL))
        for number in range(streams):
            await connection.fetch(BARE, *_bare_arguments(number, events))
        read = await connection.prepare(SELECT)
        total = 0
        with Stopwatch() as watch:
            for number in range(operations):
                rows = await read.fetch(TENANT, stream(number % streams))
                total += sum_of([row[0] for row in rows])
        return watch, total
    finally:
        await connection.close()
