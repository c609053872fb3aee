"""The whole flow on PostgreSQL by hand: one prepared statement, one round trip and one commit per command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from benchmarks.floors.shop_rows import BARE_TABLES, CUSTOMER, TENANT, TOTAL, bare_row, same_row
from benchmarks.loop import run
from benchmarks.measured import Stopwatch

BARE = """
WITH o AS (INSERT INTO orders VALUES ($1, $2, $3, $4)),
     p AS (INSERT INTO payments VALUES ($1, $2, $4))
INSERT INTO outbox (topic, key, payload) VALUES ('order_placed', $2, $5), ('payment_requested', $2, $6)
"""
SAME_ROWS = """
WITH i AS (INSERT INTO duly.inbox (tenant, id, name, digest, token, result, expires_ms)
           VALUES ($1, $3, 'PlaceOrder', $4, $5, 'null', 4102444800000)),
     d AS (INSERT INTO duly.document (tenant, type, id, version, schema, body)
           VALUES ($1, 'Order', $2, 1, 1, $6), ($1, 'Payment', $2, 1, 1, $7)),
     c AS (INSERT INTO duly.commit_log (tenant, events, at_ms) VALUES ($1, 2, 4102444800000) RETURNING id),
     m AS (INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, subject, stream,
                                     stream_version, handler, chain, body)
           SELECT c.id, v.ordinal, v.id, $1, 'event', v.name, 1, v.stream, v.stream, 1, v.handler, v.chain, v.body
             FROM c, (VALUES (0, $8, 'OrderPlaced', $9, 'shop.place_order', $10, $11),
                             (1, $12, 'PaymentRequested', $13, 'shop.request_payment', $14, $15))
                     AS v (ordinal, id, name, stream, handler, chain, body))
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
SELECT v.subscriber, $16::integer, v.lane, c.id, v.ordinal
  FROM c, (VALUES (1, $17, 0), (2, $18, 1)) AS v (subscriber, lane, ordinal)
"""

Arguments = Callable[[int], tuple[object, ...]]


def bare(url: str, operations: int, in_flight: int) -> Stopwatch:
    """Order, payment and 2 outbox rows, over *in_flight* connections."""
    tables = [table.format(serial="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY") for table in BARE_TABLES]
    return run(_place(url, operations, in_flight, BARE, _bare_arguments, ";".join(tables)))


def _bare_arguments(number: int) -> tuple[object, ...]:
    row = bare_row(number)
    return TENANT, row.order_id, CUSTOMER, TOTAL, row.placed, row.requested


def same_rows(url: str, operations: int, in_flight: int) -> Stopwatch:
    """Every row that duly writes, in its own tables, which are there already, over *in_flight* connections."""
    return run(_place(url, operations, in_flight, SAME_ROWS, _same_arguments, ""))


def _same_arguments(number: int) -> tuple[object, ...]:
    row = same_row(number)
    return (
        *(TENANT, row.order_id, row.command_id, row.digest, row.token, row.order, row.payment),
        *(row.placed_id, row.placed_stream, row.placed_chain, row.placed),
        *(row.requested_id, row.requested_stream, row.requested_chain, row.requested),
        *(row.bucket, f"{TENANT}/{row.placed_stream}", f"{TENANT}/{row.requested_stream}"),
    )


async def _place(
    url: str, operations: int, in_flight: int, statement: str, arguments: Arguments, tables: str
) -> Stopwatch:
    connections = [await asyncpg.connect(url) for _ in range(in_flight)]
    try:
        if tables:
            await connections[0].execute(tables)
        prepared = [await connection.prepare(statement) for connection in connections]
        numbers = iter(range(operations))

        async def one_connection(place: asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]) -> None:
            for number in numbers:
                await place.fetch(*arguments(number))

        with Stopwatch() as watch:
            async with asyncio.TaskGroup() as group:
                for place in prepared:
                    group.create_task(one_connection(place))
        return watch
    finally:
        for connection in connections:
            await connection.close()
