"""The whole flow on SQLite by hand: a loop, one commit per command.

There is one writer, so several commands in flight gain nothing by hand: a plain loop is the fastest way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from benchmarks.floors.shop_rows import BARE_TABLES, CUSTOMER, TENANT, TOTAL, bare_row, same_row
from benchmarks.measured import Stopwatch
from benchmarks.places.sqlite import connect

EXPIRES_MS = 4_102_444_800_000


def bare(url: str, operations: int, in_flight: int) -> Stopwatch:
    """Order, payment and 2 outbox rows, in tables of its own."""
    tables = [table.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT") for table in BARE_TABLES]
    return _loop(url, operations, _place_bare, tables)


def same_rows(url: str, operations: int, in_flight: int) -> Stopwatch:
    """Every row that duly writes, in its own tables, which are there already."""
    return _loop(url, operations, _place_same, ())


def _loop(
    url: str, operations: int, place: Callable[[sqlite3.Connection, int], None], tables: Sequence[str]
) -> Stopwatch:
    connection = connect(url)
    try:
        for table in tables:
            connection.execute(table)
        with Stopwatch() as watch:
            for number in range(operations):
                connection.execute("BEGIN IMMEDIATE")
                place(connection, number)
                connection.execute("COMMIT")
    finally:
        connection.close()
    return watch


def _place_bare(connection: sqlite3.Connection, number: int) -> None:
    row = bare_row(number)
    connection.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", (TENANT, row.order_id, CUSTOMER, TOTAL))
    connection.execute("INSERT INTO payments VALUES (?, ?, ?)", (TENANT, row.order_id, TOTAL))
    connection.execute(
        "INSERT INTO outbox (topic, key, payload) VALUES (?, ?, ?), (?, ?, ?)",
        ("order_placed", row.order_id, row.placed, "payment_requested", row.order_id, row.requested),
    )


def _place_same(connection: sqlite3.Connection, number: int) -> None:
    row = same_row(number)
    connection.execute(
        "INSERT INTO duly_inbox (tenant, id, name, digest, token, result, expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (TENANT, row.command_id, "PlaceOrder", row.digest, row.token, "null", EXPIRES_MS),
    )
    connection.execute(
        "INSERT INTO duly_document (tenant, type, id, version, schema, body) VALUES (?, ?, ?, 1, 1, ?), "
        "(?, ?, ?, 1, 1, ?)",
        (TENANT, "Order", row.order_id, row.order, TENANT, "Payment", row.order_id, row.payment),
    )
    commit_id = connection.execute(
        "INSERT INTO duly_commit_log (tenant, events, first_position, at_ms) VALUES (?, 2, ?, ?)",
        (TENANT, number * 2 + 1, EXPIRES_MS),
    ).lastrowid
    connection.execute(
        "INSERT INTO duly_message (commit_id, ordinal, id, tenant, kind, name, version, subject, stream, "
        "stream_version, handler, chain, body) "
        "VALUES (?, 0, ?, ?, 'event', 'OrderPlaced', 1, ?, ?, 1, 'shop.place_order', ?, ?), "
        "(?, 1, ?, ?, 'event', 'PaymentRequested', 1, ?, ?, 1, 'shop.request_payment', ?, ?)",
        (
            *(commit_id, row.placed_id, TENANT, row.placed_stream, row.placed_stream, row.placed_chain, row.placed),
            *(commit_id, row.requested_id, TENANT, row.requested_stream, row.requested_stream),
            *(row.requested_chain, row.requested),
        ),
    )
    connection.execute(
        "INSERT INTO duly_outbox (subscriber_no, bucket, lane, commit_id, ordinal) VALUES (1, ?, ?, ?, 0), "
        "(2, ?, ?, ?, 1)",
        (
            *(row.bucket, f"{TENANT}/{row.placed_stream}", commit_id),
            *(row.bucket, f"{TENANT}/{row.requested_stream}", commit_id),
        ),
    )
