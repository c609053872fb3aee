"""A hot key on SQLite by hand: read a page, then a commit for each message, one after the other."""

from __future__ import annotations

from benchmarks.floors.one_key_rows import PAGE_ROWS, TABLES, parcel, payloads
from benchmarks.measured import Stopwatch
from benchmarks.places.sqlite import connect

READ = "SELECT id, payload FROM outbox ORDER BY id LIMIT ?"
DELETE = "DELETE FROM outbox WHERE id = ?"
WRITE = "INSERT INTO parcel (tenant, id, version, body) VALUES (?, ?, 1, ?)"


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
    seen = 0
    try:
        with Stopwatch() as watch:
            while rows := connection.execute(READ, (PAGE_ROWS,)).fetchall():
                for row_id, payload in rows:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute(DELETE, (row_id,))
                    connection.execute(WRITE, parcel(row_id, payload))
                    connection.execute("COMMIT")
                    seen += 1
    finally:
        connection.close()
    return watch, seen
