"""Counts exactly what a store asks of its database: statements on both, and on PostgreSQL round trips as well."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from duly.stores.postgres import PostgresStore
from duly.stores.sqlite import SqliteStore
from duly.stores.sqlite.connection import connect
from duly.testing.store_exam import ExaminedStore
from tests.contract.cutting_proxy import CuttingProxy


class Asked(NamedTuple):
    """*statements* are those that the client says, BEGIN and COMMIT among them; *round_trips* how often it waits.

    What a function of the database runs inside is in neither. SQLite runs in this process: there are no round trips.
    """

    statements: int
    round_trips: int

    def __add__(self, other: object) -> Asked:
        assert isinstance(other, Asked)
        return Asked(self.statements + other.statements, self.round_trips + other.round_trips)

    def __sub__(self, other: Asked) -> Asked:
        return Asked(self.statements - other.statements, self.round_trips - other.round_trips)

    def times(self, count: int) -> Asked:
        """So often."""
        return Asked(self.statements * count, self.round_trips * count)


class CountedStore:
    """A store, and what it has asked."""

    def __init__(self, name: str, store: ExaminedStore, asked: Callable[[], Asked]) -> None:
        self.name = name
        self.store = store
        self._asked = asked

    async def of(self, call: Callable[[], Awaitable[object]]) -> Asked:
        """What *call* asks."""
        await asyncio.sleep(0)  # asyncpg tells its loggers one turn of the loop later
        before = self._asked()
        await call()
        await asyncio.sleep(0)
        return self._asked() - before


@asynccontextmanager
async def counted_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, connections_max: int = 1
) -> AsyncIterator[CountedStore]:
    """The store that ``request.param`` names, not open yet. PostgreSQL also prepares what it is asked first."""
    if request.param == "sqlite":
        heard = _heard_by_sqlite(monkeypatch)
        yield CountedStore("sqlite", SqliteStore(str(tmp_path / "counted.db")), lambda: Asked(len(heard), 0))
        return
    server, url = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_url")
    said = _said_to_postgresql(monkeypatch)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(CuttingProxy(server.folder))
        store = PostgresStore(proxy.url(url), connections_max=connections_max)
        yield CountedStore("postgres", store, lambda: Asked(len(said), proxy.heard))


def _heard_by_sqlite(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that SQLite is asked from now on, on any connection."""
    heard: list[str] = []

    def traced(path: str, *, read_only: bool, clock_shift_ms: Callable[[], int]) -> sqlite3.Connection:
        connection = connect(path, read_only=read_only, clock_shift_ms=clock_shift_ms)
        connection.set_trace_callback(heard.append)
        return connection

    monkeypatch.setattr("duly.stores.sqlite.engine.connect", traced)
    return heard


def _said_to_postgresql(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that asyncpg says from now on; several that share a round trip are several."""
    said: list[str] = []
    connect_really = asyncpg.connect

    async def logged(*arguments: Any, **options: Any) -> asyncpg.Connection[asyncpg.Record]:
        connection: asyncpg.Connection[asyncpg.Record] = await connect_really(*arguments, **options)
        connection.add_query_logger(lambda query: said.extend(part for part in query.query.split(";") if part.strip()))
        return connection

    monkeypatch.setattr(asyncpg, "connect", logged)
    return said
