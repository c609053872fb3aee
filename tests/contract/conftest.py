"""The keepers that sit the exam, each with a database of its own per test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from duly.stores.memory import MemoryStore
from duly.stores.postgres import PostgresStore
from duly.stores.schema_version import NEWEST
from duly.stores.sqlite import SqliteStore
from duly.testing.postgres_server import PostgresServer
from duly.testing.store_exam import TABLES, Candidate, ExaminedStore

OF_TENANTS = (
    "effect_key",
    "look_up",
    "receipt",
    "suppression",
    "pause",
    "breaker",
    "allowance",
    "audit",
    "message_left",
    "archived_stream",
    "archived_event",
    "projection",
    "read_model",
    "read_entry",
)
EMPTIED = ", ".join(
    f"duly.{table}" for table in (*TABLES, *OF_TENANTS, "worker", "subscriber", "backfill", "module_table")
)

Another = Callable[[], Awaitable[ExaminedStore]]


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    """A database with duly's schema, which the tests use one after another."""
    url = postgres_server.create_database()

    async def migrate() -> None:
        store = PostgresStore(url)
        await store.open()
        await store.migrate([])
        await store.close()

    with ThreadPoolExecutor(1) as thread:  # with a loop of its own
        thread.submit(asyncio.run, migrate()).result()
    return url


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def candidate(request: pytest.FixtureRequest, tmp_path: Path) -> Candidate:
    """One of the keepers, on a database with duly's schema (SQLite's come without it)."""
    match request.param:
        case "memory":
            return Candidate(name="memory", make=MemoryStore, schema="duly_", is_shared=False)
        case "sqlite":
            return Candidate(name="sqlite", make=lambda: SqliteStore(str(tmp_path / "exam.db")), schema="duly_")
        case _:
            return Candidate(name="postgres", make=request.getfixturevalue("make_postgres"), schema="duly.")


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, migrated_database: str) -> str:
    """A PostgreSQL database with nothing but duly's schema; emptied, which is quicker than a new one."""
    name = urlsplit(migrated_database).path.removeprefix("/")
    postgres_server.run_sql(
        f"""
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid();
        SELECT pg_stat_reset();
        DROP SCHEMA public CASCADE;
        CREATE SCHEMA public;
        TRUNCATE {EMPTIED} RESTART IDENTITY;
        UPDATE duly.bucket SET owner = NULL, token = NULL, until_ms = 0;
        TRUNCATE duly.sequencer, duly.log_stretch;
        INSERT INTO duly.sequencer DEFAULT VALUES;
        DELETE FROM duly.fact WHERE name <> 'recipient_hash_key';
        UPDATE duly.schema SET version = {NEWEST};
        """,
        database=name,
    )
    return migrated_database


@pytest.fixture
def make_postgres(postgres_url: str) -> Callable[[], PostgresStore]:
    """Makes stores on this test's PostgreSQL database."""
    return lambda: PostgresStore(postgres_url)


@pytest.fixture
async def another(candidate: Candidate) -> AsyncIterator[Another]:
    """Opens stores on the test's database, as other processes would; they are closed when the test ends."""
    async with AsyncExitStack() as stack:

        async def open_one() -> ExaminedStore:
            store = candidate.make()
            await store.open()
            stack.push_async_callback(store.close)
            return store

        yield open_one


@pytest.fixture
async def store(another: Another) -> ExaminedStore:
    """The store, open and migrated."""
    opened = await another()
    await opened.migrate([])
    return opened


@pytest.fixture
async def second(another: Another, store: ExaminedStore) -> ExaminedStore:
    """A second store on the same database; a database in memory has one only."""
    return await another()
