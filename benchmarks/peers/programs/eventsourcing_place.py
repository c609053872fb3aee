"""eventsourcing on a database of the benchmarks.

Documentation: eventsourcing.readthedocs.io, "persistence", sections SQLite and PostgreSQL (environment variables of the
modules), and "Aggregates and DCB", which runs with ``POSTGRES_ENABLE_DB_FUNCTIONS`` and a pool as large as its clients.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Callable

SQLITE = "sqlite:///"
FULL = 2


def settings(url: str, in_flight: int, *, is_tuned: bool) -> dict[str, str]:
    """The environment of an application on this database; SQLite's is checked to sync in full."""
    if url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        _check_syncs(path)
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path}
    from psycopg.conninfo import conninfo_to_dict

    parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts["dbname"],
        "POSTGRES_HOST": parts["host"],
        "POSTGRES_USER": parts["user"],
        "POSTGRES_PASSWORD": parts.get("password", "unused"),
        "POSTGRES_POOL_SIZE": str(in_flight),
        "POSTGRES_MAX_OVERFLOW": "0",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "y" if is_tuned else "n",
    }


def topics(url: str, table: str) -> dict[str, int]:
    """How many events of each kind are stored in *table*, by the last word of their topic."""
    query = f"SELECT topic, count(*) FROM {table} GROUP BY topic"
    if url.startswith(SQLITE):
        connection = sqlite3.connect(url.removeprefix(SQLITE))
        found = connection.execute(query).fetchall()
        connection.close()
    else:
        import psycopg

        with psycopg.connect(url) as client:
            found = client.execute(query).fetchall()
    return {str(topic).rpartition(".")[2]: int(count) for topic, count in found}


def in_threads(count: int, total: int, once: Callable[[int], object]) -> None:
    """Call *once* with 0 … *total* - 1 from *count* threads, which may share an application; its calls block."""
    if count == 1:
        for number in range(total):
            once(number)
        return
    numbers, troubles = itertools.count(), list[BaseException]()

    def work() -> None:
        try:
            while (number := next(numbers)) < total:
                once(number)
        except BaseException as trouble:
            troubles.append(trouble)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if troubles:
        raise troubles[0]


def _check_syncs(path: str) -> None:
    """The library sets WAL and leaves ``synchronous`` as SQLite was built: FULL, unless somebody changed it."""
    connection = sqlite3.connect(path)
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    connection.close()
    if synchronous != FULL:
        raise RuntimeError(f"This SQLite syncs less than ours does: synchronous is {synchronous}.")
