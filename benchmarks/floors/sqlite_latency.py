"""From commit to handler on SQLite by hand.

`polled`: another connection asks ``PRAGMA data_version`` every 5 ms. `told`: the writer's own process passes the word
on through an event of its loop, and a reader thread fetches the row.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.loop import run
from benchmarks.measured import Stopwatch
from benchmarks.places.sqlite import connect

TABLE = "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL)"
POLL_SECONDS = 0.005
Handled = dict[int, float]


def polled(url: str, operations: int, interval: float) -> tuple[Stopwatch, list[float]]:
    """A commit every *interval* seconds; each wait in seconds."""
    connect(url).execute(TABLE).connection.close()
    writer, handled, committed = connect(url), Handled(), Handled()
    reader = threading.Thread(target=_poll, args=(url, operations, handled))
    reader.start()
    with Stopwatch() as watch:
        begun = time.perf_counter()
        for number in range(operations):
            time.sleep(max(0.0, begun + number * interval - time.perf_counter()))
            _insert(writer, number)
            committed[number] = time.perf_counter()
        reader.join()
    writer.close()
    return watch, [max(0.0, handled[number] - at) for number, at in committed.items()]


def _poll(url: str, expected: int, handled: Handled) -> None:
    reader = connect(url)
    version, last_id = -1, 0
    while len(handled) < expected:
        (seen,) = reader.execute("PRAGMA data_version").fetchone()
        if seen == version:
            time.sleep(POLL_SECONDS)
            continue
        version = seen
        for row_id, number in _rows(reader, last_id):
            handled[number] = time.perf_counter()
            last_id = row_id
    reader.close()


def told(url: str, operations: int, interval: float) -> tuple[Stopwatch, list[float]]:
    """A commit every *interval* seconds; each wait in seconds."""
    return run(_told(url, operations, interval))


async def _told(url: str, operations: int, interval: float) -> tuple[Stopwatch, list[float]]:
    loop = asyncio.get_running_loop()
    writer = connect(url)
    writer.execute(TABLE)
    reader, woken, handled, committed = connect(url), asyncio.Event(), Handled(), Handled()

    async def handle_all(threads: ThreadPoolExecutor) -> None:
        last_id = 0
        while len(handled) < operations:
            await woken.wait()
            woken.clear()
            for row_id, number in await loop.run_in_executor(threads, _rows, reader, last_id):
                handled[number] = time.perf_counter()
                last_id = row_id

    with ThreadPoolExecutor(1) as writing, ThreadPoolExecutor(1) as reading, Stopwatch() as watch:
        handling = asyncio.create_task(handle_all(reading))
        begun = loop.time()
        for number in range(operations):
            await asyncio.sleep(max(0.0, begun + number * interval - loop.time()))
            await loop.run_in_executor(writing, _insert, writer, number)
            committed[number] = time.perf_counter()
            woken.set()
        await handling
    writer.close()
    reader.close()
    return watch, [max(0.0, handled[number] - at) for number, at in committed.items()]


def _insert(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO outbox (number) VALUES (?)", (number,))
    connection.execute("COMMIT")


def _rows(connection: sqlite3.Connection, after: int) -> list[tuple[int, int]]:
    return connection.execute("SELECT id, number FROM outbox WHERE id > ? ORDER BY id", (after,)).fetchall()
