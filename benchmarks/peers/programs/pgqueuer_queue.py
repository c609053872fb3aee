"""pgqueuer's queue in a database of the benchmarks.

Documentation: pgqueuer.readthedocs.io, *Quick Start* (a `PgQueuer` on one asyncpg connection; `Queries.enqueue`),
*Performance Tuning* (``batch_size`` for short jobs, ``pgq autovac``, a connection for the worker and another for the
producer, durability ``durable``, which is the default).
"""

from __future__ import annotations

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.queries import Queries

BATCH_TUNED = 500
BATCH_DEFAULT = 10


async def install(url: str, *, is_tuned: bool) -> None:
    """Make the tables: ``pgq install`` and, tuned, ``pgq autovac``."""
    connection = await asyncpg.connect(url)
    try:
        queries = Queries.from_asyncpg_connection(connection)
        await queries.install()
        if is_tuned:
            await queries.optimize_autovacuum()
    finally:
        await connection.close()


async def consumer(url: str) -> PgQueuer:
    """A consumer with a connection of its own."""
    return PgQueuer.from_asyncpg_connection(await asyncpg.connect(url))


async def producer(url: str) -> Queries:
    """A producer with a connection of its own."""
    return Queries.from_asyncpg_connection(await asyncpg.connect(url))


def batch_size(*, is_tuned: bool) -> int:
    """How many jobs are fetched at a time."""
    return BATCH_TUNED if is_tuned else BATCH_DEFAULT
