"""Draining an outbox on SQLite by hand: claim 500 under a lease, commit, read them, delete them, commit."""

from __future__ import annotations

import json
import time

from benchmarks.floors.drain_rows import CLAIM_ROWS, LEASE_SECONDS, TABLES, payloads
from benchmarks.measured import Stopwatch
from benchmarks.places.sqlite import connect

CLAIM = """
UPDATE outbox SET owner = 'floor', until = ? WHERE id IN (SELECT id FROM outbox WHERE until < ? ORDER BY id LIMIT ?)
RETURNING id, payload
"""
DELETE = "DELETE FROM outbox WHERE owner = 'floor' AND id IN (SELECT value FROM json_each(?))"


def fill(url: str, count: int) -> None:
    """Put *count* rows into a new database."""
    connection = connect(url)
    try:
        for table in TABLES:
            connection.execute(table.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT"))
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO outbox (lane, payload) VALUES (?, ?)", payloads(count))
        connection.execute("COMMIT")
    finally:
        connection.close()


def drain(url: str) -> tuple[Stopwatch, int]:
    """Drain it; the time, and how many payloads were read."""
    connection = connect(url)
    read = 0
    try:
        with Stopwatch() as watch:
            while True:
                now = time.time()
                connection.execute("BEGIN IMMEDIATE")
                rows = connection.execute(CLAIM, (now + LEASE_SECONDS, now, CLAIM_ROWS)).fetchall()
                connection.execute("COMMIT")
                if not rows:
                    break
                read += sum(1 for _, payload in rows if payload)
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(DELETE, (json.dumps([row_id for row_id, _ in rows]),))
                connection.execute("COMMIT")
    finally:
        connection.close()
    return watch, read
