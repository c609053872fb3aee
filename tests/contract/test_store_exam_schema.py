"""The exam of every keeper: its schema, and databases that are not as they should be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from duly.errors import SchemaMissing, SchemaOutdated, SchemaTooNew, StoreReadOnly, StoreUnavailable, UserSqlError
from duly.ports.change import Done
from duly.stores.memory import MemoryStore
from duly.stores.postgres import PostgresStore
from duly.stores.schema_version import NEWEST, migrations
from duly.stores.sqlite import SqliteStore
from duly.testing.postgres_server import PostgresServer
from duly.testing.store_exam import ORDER, TENANT, Candidate, ExaminedStore, change, claim, document, intent


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Candidate:
    """A keeper on a database that nobody has migrated."""
    match request.param:
        case "memory":
            return Candidate(name="memory", make=MemoryStore, schema="duly_", is_shared=False)
        case "sqlite":
            return Candidate(name="sqlite", make=lambda: SqliteStore(str(tmp_path / "bare.db")), schema="duly_")
        case _:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            url = server.create_database()
            return Candidate(name="postgres", make=lambda: PostgresStore(url), schema="duly.")


async def opened(candidate: Candidate) -> ExaminedStore:
    """A store on the candidate's database."""
    store = candidate.make()
    await store.open()
    return store


async def test_a_new_database_has_no_schema_until_it_is_migrated(bare: Candidate) -> None:
    store = await opened(bare)
    assert await store.is_empty() is (bare.name != "postgres")
    with pytest.raises(SchemaMissing, match="duly migrate"):
        await store.check_schema()
    assert await store.migrate([]) == [f"duly schema version {migration.number}" for migration in migrations("sqlite")]
    await store.check_schema()
    assert await store.is_empty() is False
    await store.close()


async def test_a_statement_of_a_module_runs_once_and_the_start_misses_one_that_did_not(bare: Candidate) -> None:
    store = await opened(bare)
    own = "CREATE TABLE IF NOT EXISTS stock (name TEXT)"
    await store.migrate([])
    with pytest.raises(SchemaOutdated, match="stock"):
        await store.check_schema([own])
    assert await store.migrate([own]) == [own]
    await store.check_schema([own])
    await store.commit(change(documents=(document(),)))
    assert await store.migrate([own, own]) == []
    assert await store.document(TENANT, ORDER, "o-1") is not None
    assert await store.select("SELECT * FROM stock", {}) == []
    await store.close()


async def test_a_module_statement_that_fails_is_quoted_and_none_of_them_is_kept(bare: Candidate) -> None:
    store = await opened(bare)
    with pytest.raises(UserSqlError, match="CREATE TABL worse"):
        await store.migrate(["CREATE TABLE stock (name TEXT)", "CREATE TABL worse (name TEXT)"])
    with pytest.raises(UserSqlError, match="stock"):
        await store.select("SELECT * FROM stock", {})
    await store.migrate(["CREATE TABLE stock (name TEXT)"])
    await store.close()


@pytest.mark.parametrize("bare", ["sqlite", "postgres"], indirect=True)
async def test_two_migrations_at_once_do_the_work_once(bare: Candidate) -> None:
    stores = [await opened(bare) for _ in range(4)]
    done = await asyncio.gather(*(store.migrate(["CREATE TABLE IF NOT EXISTS stock (n INTEGER)"]) for store in stores))
    assert sorted(len(lines) for lines in done) == [0, 0, 0, NEWEST + 1]
    for store in stores:
        await store.check_schema()
        await store.close()


@pytest.mark.parametrize(("version", "error"), [(NEWEST - 1, SchemaOutdated), (NEWEST + 1, SchemaTooNew)])
async def test_a_schema_of_another_version_is_refused(
    store: ExaminedStore, candidate: Candidate, version: int, error: type[Exception]
) -> None:
    async with store.begin() as transaction:
        await transaction.execute(f"UPDATE {candidate.table('schema')} SET version = :version", {"version": version})
        await transaction.commit()
    with pytest.raises(error, match=str(version)):
        await store.check_schema()
    if version > NEWEST:
        with pytest.raises(error):
            await store.migrate([])


def test_both_databases_have_the_same_versions() -> None:
    assert [one.number for one in migrations("sqlite")] == [one.number for one in migrations("postgres")]


@pytest.fixture
def make_read_only(
    candidate: Candidate, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[ExaminedStore], None]]:
    """Makes the candidate's database refuse writes, while nobody has it open."""
    if candidate.name != "postgres":

        def make_file(store: ExaminedStore) -> None:
            # A file whose write version is unknown may only be read. Source: sqlite.org/fileformat.html, 1.3.3
            with (tmp_path / "exam.db").open("r+b") as file:
                file.seek(18)
                file.write(b"\x03")

        yield make_file
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    database = urlsplit(request.getfixturevalue("postgres_url")).path.removeprefix("/")

    def make_database(store: ExaminedStore) -> None:
        server.run_sql(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')

    yield make_database
    server.run_sql(f'ALTER DATABASE "{database}" RESET ALL')


@pytest.mark.parametrize("candidate", ["sqlite", "postgres"], indirect=True)
async def test_a_database_that_takes_no_writes_says_so_and_can_be_read(
    candidate: Candidate, make_read_only: Callable[[ExaminedStore], None]
) -> None:
    store = await opened(candidate)
    await store.migrate([])
    await store.commit(change(documents=(document(),), intents=(intent(),)))
    await store.close()
    make_read_only(store)
    store = await opened(candidate)
    with pytest.raises(StoreReadOnly):
        await store.commit(change(documents=(document(expected=1),)))
    with pytest.raises(StoreReadOnly):
        await claim(store)
    with pytest.raises(StoreReadOnly):
        async with store.begin() as transaction:
            await transaction.execute(f"DELETE FROM {candidate.table('document')}", {})
    assert await store.document(TENANT, ORDER, "o-1") is not None
    assert len(await store.effects(TENANT, state=None, channel=None, after=None, rows_max=9)) == 1
    await store.close()


async def test_a_closed_store_says_so(candidate: Candidate) -> None:
    store = await opened(candidate)
    await store.migrate([])
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.commit(change(documents=(document(),)))
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.document(TENANT, ORDER, "o-1")


async def test_a_store_can_be_opened_again(candidate: Candidate) -> None:
    store = await opened(candidate)
    await store.migrate([])
    await store.commit(change(documents=(document(),)))
    await store.close()
    store = await opened(candidate)
    if candidate.is_shared:
        assert await store.commit(change(documents=(document(expected=1),))) == Done()
    await store.close()
