"""A peer's program that does what it is asked: a row for each operation, counted in the database where there is one."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve


def fill(asked: Asked) -> None:
    with closing(sqlite3.connect(asked.url.removeprefix("sqlite:///"))) as connection:
        connection.execute("CREATE TABLE work (number INTEGER)")
        connection.executemany("INSERT INTO work VALUES (?)", [(number,) for number in range(asked.operations)])
        connection.commit()


def measure(asked: Asked) -> Measured:
    with Stopwatch() as watch:
        rows = drain(asked.url) if asked.url else asked.operations
    print("what a library may say meanwhile")
    return watch.measured(asked.operations, {"rows": rows})


def drain(url: str) -> int:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        drained = connection.execute("DELETE FROM work").rowcount
        connection.commit()
        return drained


if __name__ == "__main__":
    serve(measure, fill)
