"""A ledger on SQLite by hand: one effect in flight, a commit before its call and a commit after it."""

from __future__ import annotations

import time

from benchmarks.floors.ledger_rows import TABLES, call_provider, requested
from benchmarks.measured import Stopwatch
from benchmarks.places.sqlite import connect


def fill(url: str, count: int) -> None:
    """Request *count* effects in a new database."""
    connection = connect(url)
    try:
        for table in TABLES:
            connection.execute(table.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT"))
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO effect (recipient, body, state) VALUES (?, ?, ?)", requested(count))
        connection.execute("COMMIT")
    finally:
        connection.close()


def send(url: str) -> Stopwatch:
    """Send all of them."""
    connection = connect(url)
    try:
        with Stopwatch() as watch:
            while True:
                connection.execute("BEGIN IMMEDIATE")
                row = connection.execute(
                    "SELECT id, body FROM effect WHERE state = 'requested' ORDER BY id LIMIT 1"
                ).fetchone()
                if row is None:
                    connection.execute("COMMIT")
                    break
                effect_id, body = row
                connection.execute("UPDATE effect SET state = 'attempting' WHERE id = ?", (effect_id,))
                connection.execute(
                    "INSERT INTO attempt (effect_id, number, started) VALUES (?, 1, ?)", (effect_id, time.time())
                )
                connection.execute("COMMIT")
                provider_id = call_provider(body)
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(
                    "UPDATE effect SET state = 'accepted', provider_id = ? WHERE id = ?", (provider_id, effect_id)
                )
                connection.execute(
                    "UPDATE attempt SET ended = ?, outcome = 'accepted' WHERE effect_id = ? AND number = 1",
                    (time.time(), effect_id),
                )
                connection.execute("COMMIT")
    finally:
        connection.close()
    return watch
