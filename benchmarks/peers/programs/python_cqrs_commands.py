"""The whole flow with python-cqrs: so many commands in flight in one process. See the shop.

On SQLite the outbox's table is made by hand, as the example ``examples/outbox/fastapi_outbox.py`` does, and the pragmas
are ours (docs.sqlalchemy.org, SQLite dialect, *Foreign Key Support* shows the listener).
"""

from __future__ import annotations

import sqlite3
from decimal import Decimal

from cqrs.outbox.sqlalchemy import OutboxModel
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from benchmarks.loop import in_flight, run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve
from benchmarks.peers.programs.python_cqrs_shop import Base, PlaceOrder, mediator
from benchmarks.peers.programs.values import CUSTOMER, TOTAL

KINDS = {"orders": "orders", "payments": "payments", "outbox rows": "outbox"}
SQLITE_OUTBOX = """
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event_id BLOB NOT NULL, event_id_bin BLOB NOT NULL,
    event_status VARCHAR(12) NOT NULL, flush_counter SMALLINT NOT NULL DEFAULT 0, event_name VARCHAR(255) NOT NULL,
    topic VARCHAR(255) NOT NULL, created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, payload BLOB NOT NULL,
    CONSTRAINT event_id_unique_index UNIQUE (event_id_bin, event_name)
)
"""


async def place(asked: Asked) -> Measured:
    """So many orders."""
    engine = engine_on(asked)
    await make_tables(engine)
    # As in the example: objects are not read anew after the commit.
    shop = mediator(async_sessionmaker(engine, expire_on_commit=False))

    async def place_all(word: str, total: int) -> None:
        await in_flight(
            asked.in_flight,
            total,
            lambda number: shop.send(PlaceOrder(order_id=f"{word}-{number}", customer=CUSTOMER, total=Decimal(TOTAL))),
        )

    await place_all("warm-up", asked.in_flight * 2)
    before = await count(engine)
    with Stopwatch() as watch:
        await place_all("order", asked.operations)
    after = await count(engine)
    await engine.dispose()
    return watch.measured(asked.operations, {kind: after[kind] - before[kind] for kind in KINDS})


def engine_on(asked: Asked) -> AsyncEngine:
    """With as many connections as there are operations in flight."""
    if not asked.url.startswith("sqlite"):
        url = asked.url.replace("postgresql://", "postgresql+asyncpg://")
        return create_async_engine(url, pool_size=asked.in_flight, max_overflow=0)
    made = create_async_engine(asked.url.replace("sqlite://", "sqlite+aiosqlite://"), pool_size=1, max_overflow=0)

    @event.listens_for(made.sync_engine, "connect")
    def set_pragmas(connection: sqlite3.Connection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    return made


async def make_tables(engine: AsyncEngine) -> None:
    """Orders, payments and the outbox."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        if engine.dialect.name == "sqlite":
            await connection.execute(text(SQLITE_OUTBOX))
        else:
            await connection.run_sync(OutboxModel.metadata.create_all)


async def count(engine: AsyncEngine) -> dict[str, int]:
    """The rows of each kind."""
    async with engine.connect() as connection:
        return {
            kind: (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
            for kind, table in KINDS.items()
        }


def measure(asked: Asked) -> Measured:
    """So many orders, in a loop of its own."""
    return run(place(asked))


if __name__ == "__main__":
    serve(measure)
