"""Promises on SQLite by hand: an announcement and all its outbox rows in one commit."""

from __future__ import annotations

import time

from benchmarks.floors.subscriber_rows import TABLES, cycles
from benchmarks.measured import Stopwatch
from benchmarks.places.sqlite import connect
from benchmarks.subjects.announcements import TENANT, TEXT


def announce(url: str, count: int) -> tuple[Stopwatch, list[float]]:
    """So many cycles, one announcement after the other; how long each took."""
    connection = connect(url)
    waits: list[float] = []
    try:
        for table in TABLES:
            connection.execute(table.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT"))
        with Stopwatch() as watch:
            for announcement, payload, topics in cycles(count):
                begun = time.perf_counter()
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO announcement VALUES (?, ?, ?)", (TENANT, announcement, TEXT))
                connection.executemany(
                    "INSERT INTO outbox (topic, key, payload) VALUES (?, ?, ?)",
                    [(topic, announcement, payload) for topic in topics],
                )
                connection.execute("COMMIT")
                waits.append(time.perf_counter() - begun)
    finally:
        connection.close()
    return watch, waits
