"""What can go wrong around PostgreSQL, and what the user is told to do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from duly.errors import (
    SchemaMissing,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    StoreUrlInvalid,
    UserSqlError,
)
from duly.ports.change import Done
from duly.stores.postgres import PostgresStore, pool
from duly.stores.postgres.failures import store_error
from duly.testing.postgres_server import PostgresServer
from duly.testing.store_exam import ORDER, TENANT, change, command, document, unique
from tests.contract.waiting import sessions, until


@pytest.fixture
async def store(make_postgres: Callable[[], PostgresStore]) -> AsyncIterator[PostgresStore]:
    opened = make_postgres()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def narrow(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store with one connection."""
    opened = PostgresStore(postgres_url, connections_max=1)
    await opened.open()
    yield opened
    await opened.close()


# The URL and the driver.


@pytest.mark.parametrize(
    "url", ["mysql://host/shop", "postgresql+asyncpg://host/shop", "shop.db", "", "postgresql://[::1/x"]
)
def test_a_url_that_is_none_of_postgresql_is_refused_with_the_form_of_one(url: str) -> None:
    with pytest.raises(StoreUrlInvalid):
        PostgresStore(url)


async def test_a_url_with_a_wrong_port_is_refused() -> None:
    with pytest.raises(StoreUrlInvalid, match="Write postgresql://"):
        await PostgresStore("postgresql://host:port/shop").open()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:s3cret@db:5432/shop", "postgresql://ann@db:5432/shop"),
        ("postgres://ann:a%40b:c@db/shop?sslmode=require", "postgres://ann@db/shop?sslmode=require"),
        ("postgresql://db/shop?user=ann&password=s3cret", "postgresql://db/shop?user=ann"),
        ("postgresql://ann@/shop?host=/run/a b", "postgresql://ann@/shop?host=/run/a%20b"),
    ],
)
def test_a_store_shows_its_url_without_the_password(url: str, shown: str) -> None:
    assert PostgresStore(url).url == shown


def test_without_its_driver_the_store_says_what_to_install() -> None:
    program = """
        import sys
        sys.modules["asyncpg"] = None
        import duly, duly.errors
        try:
            import duly.stores.postgres
        except duly.errors.StoreUrlInvalid as error:
            print(error)
    """
    said = _python(program)
    assert "pip install 'duly[postgres]'" in said


def test_importing_duly_imports_no_driver() -> None:
    assert _python("import sys, duly, duly.runtime.application; print('asyncpg' in sys.modules)").strip() == "False"


def _python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (asyncpg.DiskFullError("could not extend file"), StoreFull),
        (asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT"), StoreReadOnly),
        (asyncpg.LockNotAvailableError("canceling statement"), StoreBusy),
        (asyncpg.QueryCanceledError("statement timeout"), StoreBusy),
        (asyncpg.SerializationError("could not serialize"), StoreBusy),
        (asyncpg.DeadlockDetectedError("deadlock detected"), StoreBusy),
        (asyncpg.AdminShutdownError("terminating connection"), StoreUnavailable),
        (asyncpg.CannotConnectNowError("starting up"), StoreUnavailable),
        (asyncpg.ConnectionDoesNotExistError("closed in the middle"), StoreUnavailable),
        (asyncpg.InterfaceError("connection is closed"), StoreUnavailable),
        (asyncpg.TooManyConnectionsError("too many clients"), StoreUnavailable),
        (asyncpg.OutOfMemoryError("out of memory"), StoreUnavailable),
        (asyncpg.PostgresIOError("could not read"), StoreUnavailable),
        (asyncpg.DataCorruptedError("invalid page"), StoreUnavailable),
        (asyncpg.InvalidPasswordError("authentication failed"), StoreUnavailable),
        (asyncpg.UndefinedTableError("relation"), SchemaMissing),
        (ConnectionResetError("reset by peer"), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (asyncpg.NotNullViolationError("null value"), StoreError),
    ],
)
def test_every_failure_has_an_error_of_ours_that_says_what_to_do(error: Exception, ours: type[StoreError]) -> None:
    found = store_error(error, "postgresql://db/shop")
    assert type(found) is ours
    assert "postgresql://db/shop" in str(found)


# Connecting.


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="Check that the server runs"):
        await PostgresStore("postgresql://ann:s3cret@127.0.0.1:1/shop").open()
    with pytest.raises(StoreUnavailable, match="Check that the server runs"):
        await PostgresStore(f"postgresql://ann@/shop?host={tmp_path}").open()


async def test_a_database_that_does_not_exist_is_named(postgres_server: PostgresServer) -> None:
    with pytest.raises(StoreUnavailable, match="Create the database") as caught:
        await PostgresStore(postgres_server.url("no_such_shop")).open()
    assert "no_such_shop" in str(caught.value)


async def test_a_wrong_password_is_told_and_not_shown(postgres_server: PostgresServer, postgres_url: str) -> None:
    access = postgres_server.folder / "data" / "pg_hba.conf"
    rules = access.read_text()
    postgres_server.run_sql("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    try:
        access.write_text(f"local all guarded scram-sha-256\n{rules}")
        postgres_server.run_sql("SELECT pg_reload_conf()")
        url = postgres_url.replace("postgres@", "guarded:wr0ng@")

        async def is_asked_for_a_password() -> bool:
            try:
                connection = await asyncpg.connect(url)
            except asyncpg.InvalidPasswordError:
                return True
            await connection.close()
            return False

        await until(is_asked_for_a_password, "the new rules")
        with pytest.raises(StoreUnavailable, match="Check user, password and pg_hba.conf") as caught:
            await PostgresStore(url).open()
        assert "wr0ng" not in str(caught.value)
    finally:
        access.write_text(rules)
        postgres_server.run_sql("SELECT pg_reload_conf()")


async def test_a_role_without_rights_is_told_to_ask_for_them(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    postgres_server.run_sql("CREATE ROLE stranger LOGIN")
    store = PostgresStore(postgres_url.replace("postgres@", "stranger@"))
    await store.open()
    with pytest.raises(StoreError, match="Grant it the rights"):
        await store.commit(change(documents=(document(),)))
    await store.close()


async def test_without_a_schema_a_commit_says_to_migrate(postgres_server: PostgresServer) -> None:
    store = PostgresStore(postgres_server.create_database())
    await store.open()
    with pytest.raises(SchemaMissing, match="duly migrate"):
        await store.commit(change(documents=(document(),)))
    with pytest.raises(SchemaMissing, match="duly migrate"):
        await store.document(TENANT, ORDER, "o-1")
    await store.close()


async def test_sessions_are_named_after_duly_and_keep_to_their_limits(store: PostgresStore) -> None:
    names = ("application_name", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
    (row,) = await store.select("SELECT " + ", ".join(f"current_setting('{name}') AS {name}" for name in names), {})
    assert list(row.values()) == ["duly", "5s", "1min", "read committed"]


async def test_the_databases_own_isolation_level_does_not_matter(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    name = urlsplit(url).path.removeprefix("/")
    postgres_server.run_sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    store = PostgresStore(url)
    await store.open()
    level = await store.select("SELECT current_setting('transaction_isolation') AS level", {})
    assert level == [{"level": "read committed"}]
    await store.close()


# The pool.


async def test_no_more_connections_are_opened_than_allowed(postgres_url: str, store: PostgresStore) -> None:
    small = PostgresStore(f"{postgres_url}&application_name=small", connections_max=3)
    await small.open()
    reads = (small.document(TENANT, ORDER, f"o-{number}") for number in range(40))  # commits would share them
    assert await asyncio.gather(*reads) == [None] * 40
    (row,) = await store.select("SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'small'", {})
    assert row == {"n": 3}
    await small.close()


async def test_a_pool_that_stays_exhausted_is_busy(narrow: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECTION_WAIT_SECONDS_MAX", 0.05)
    async with narrow.begin():
        with pytest.raises(StoreBusy, match="connections_max"):
            await narrow.commit(change(documents=(document(),)))
    assert await narrow.commit(change(documents=(document(),))) == Done()


async def test_a_server_without_a_free_connection_is_unavailable(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    name = urlsplit(postgres_url).path.removeprefix("/")
    postgres_server.run_sql(f"CREATE ROLE clerk LOGIN; GRANT ALL ON DATABASE {name} TO clerk")
    postgres_server.run_sql("ALTER ROLE clerk CONNECTION LIMIT 0")
    with pytest.raises(StoreUnavailable, match="connections_max"):
        await PostgresStore(postgres_url.replace("postgres@", "clerk@")).open()


async def test_sessions_that_the_server_ended_while_they_were_idle_are_replaced(
    store: PostgresStore, postgres_server: PostgresServer
) -> None:
    await asyncio.gather(*(store.document(TENANT, ORDER, "o-1") for _ in range(5)))
    postgres_server.run_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'duly'")
    assert await store.document(TENANT, ORDER, "o-1") is None
    assert await store.commit(change(documents=(document(),))) == Done()


async def test_a_forked_child_is_told_to_open_a_store_of_its_own(narrow: PostgresStore) -> None:
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads: this is the test
        pid = os.fork()
    if pid == 0:
        told = "nothing"
        try:
            narrow.commit(change(documents=(document(),))).send(None)
        except StoreUnavailable as error:
            told = str(error)
            with contextlib.suppress(StopIteration):
                narrow.close().send(None)
        finally:
            os.write(write_end, told.encode())
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        assert "Open a store of its own after the fork" in answer.read()
    await asyncio.to_thread(os.waitpid, pid, 0)
    assert await narrow.commit(change(documents=(document(),))) == Done()


# Cancellation, and connections in other hands.


async def idle_in_transaction(store: PostgresStore) -> int:
    return await sessions(store, "state LIKE 'idle in transaction%'")


async def test_a_cancelled_handler_leaves_no_open_transaction_and_no_lock(
    store: PostgresStore, narrow: PostgresStore
) -> None:
    async def handle(entered: asyncio.Event, *, in_database: bool) -> None:
        async with narrow.begin() as transaction:
            await transaction.write(change(inbox=command(), documents=(document(),)))
            entered.set()
            if in_database:
                await transaction.fetch("SELECT pg_sleep(60)", {})
            await asyncio.Event().wait()

    for in_database in (False, True):
        entered = asyncio.Event()
        task = asyncio.create_task(handle(entered, in_database=in_database))
        await entered.wait()
        if in_database:

            async def is_asleep() -> bool:
                return await sessions(store, "query LIKE '%pg_sleep(60)%' AND state = 'active'") == 1

            await until(is_asleep, "the statement")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def is_gone() -> bool:
            return await sessions(store, "query LIKE '%pg_sleep(60)%' OR state LIKE 'idle in transaction%'") == 0

        await until(is_gone, "the end of the session")
    assert await narrow.commit(change(inbox=command(), documents=(document(),))) == Done()


async def test_commits_cancelled_at_any_moment_leave_the_pool_usable(
    store: PostgresStore, narrow: PostgresStore
) -> None:
    for number in range(60):
        commit = asyncio.create_task(narrow.commit(change(documents=(document(f"o-{number}"),))))
        for _ in range(number % 12):
            await asyncio.sleep(0)
        commit.cancel()
        await asyncio.wait([commit])
    assert await narrow.commit(change(documents=(document("last"),))) == Done()
    assert await idle_in_transaction(store) == 0


async def test_what_a_user_sets_in_a_session_is_gone_for_the_next_one(narrow: PostgresStore) -> None:
    async with narrow.begin() as transaction:
        await transaction.execute("SET search_path = duly", {})
        await transaction.execute("SET lock_timeout = 7", {})
        await transaction.fetch("SELECT pg_advisory_lock(1)", {})
        await transaction.commit()
    (row,) = await narrow.select(
        "SELECT current_setting('search_path') AS path, current_setting('lock_timeout') AS wait, "
        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks",
        {},
    )
    assert row == {"path": '"$user", public', "wait": "5s", "locks": 0}


async def test_a_shifted_clock_stays_shifted_after_a_users_session(narrow: PostgresStore) -> None:
    (before,) = await narrow.select("SELECT duly.now_ms() AS now", {})
    narrow.shift_clock(3_600_000)
    async with narrow.begin() as transaction:
        await transaction.execute("SET duly.clock_shift_ms = 0", {})
        await transaction.commit()
    (after,) = await narrow.select("SELECT duly.now_ms() AS now", {})
    assert int(str(after["now"])) - int(str(before["now"])) >= 3_600_000


async def test_a_raw_connection_may_nest_its_own_transactions(store: PostgresStore) -> None:
    async with store.begin() as transaction:
        raw = transaction.raw
        assert isinstance(raw, asyncpg.Connection)
        await raw.execute("CREATE TABLE stock (n integer)")
        with contextlib.suppress(ZeroDivisionError):
            async with raw.transaction():
                await raw.execute("INSERT INTO stock VALUES (1)")
                raise ZeroDivisionError
        async with raw.transaction():
            await raw.execute("INSERT INTO stock VALUES (2)")
        await transaction.commit()
    assert await store.select("SELECT n FROM stock", {}) == [{"n": 2}]


async def test_a_failure_on_the_raw_connection_that_was_swallowed_is_no_silent_rollback(store: PostgresStore) -> None:
    async with store.begin() as transaction:
        await transaction.write(change(documents=(document(),)))
        raw = transaction.raw
        assert isinstance(raw, asyncpg.Connection)
        with pytest.raises(asyncpg.PostgresError):
            await raw.execute("SELECT 1 / 0")
        with pytest.raises(StoreError):
            await transaction.commit()
    assert await store.document(TENANT, ORDER, "o-1") is None


async def test_a_failed_statement_that_was_swallowed_is_no_silent_rollback(store: PostgresStore) -> None:
    async with store.begin() as transaction:
        await transaction.write(change(documents=(document(),)))
        with pytest.raises(UserSqlError):
            await transaction.execute("SELECT 1 / 0", {})
        with pytest.raises(StoreError, match="An earlier statement of this transaction failed"):
            await transaction.commit()
    assert await store.document(TENANT, ORDER, "o-1") is None


async def test_a_value_that_was_never_sent_spoils_no_transaction(store: PostgresStore) -> None:
    async with store.begin() as transaction:
        await transaction.write(change(documents=(document(),)))
        with pytest.raises(UserSqlError):
            await transaction.fetch("SELECT :n::integer AS n", {"n": "seven"})
        await transaction.commit()
    assert await store.document(TENANT, ORDER, "o-1") is not None


async def test_a_value_too_large_for_an_index_is_told_so(store: PostgresStore) -> None:
    large = "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FFF), k=4_000)))
    with pytest.raises(StoreError, match="Shorten keys and indexed values"):
        await store.commit(change(documents=(document(),), entries_added=(unique("email", large, "o-1"),)))
    assert await store.document(TENANT, ORDER, "o-1") is None


async def test_a_constraint_that_is_checked_at_the_end_refuses_the_commit(store: PostgresStore) -> None:
    await store.migrate(["CREATE TABLE stock (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED)"])
    async with store.begin() as transaction:
        await transaction.write(change(documents=(document(),)))
        await transaction.execute("INSERT INTO stock VALUES (1), (1)", {})
        with pytest.raises(UserSqlError, match="refused the commit"):
            await transaction.commit()
    assert await store.document(TENANT, ORDER, "o-1") is None
    assert await store.commit(change(documents=(document(),))) == Done()


async def test_a_refused_change_without_conflicts_stands_in_no_server_log(
    store: PostgresStore, postgres_server: PostgresServer
) -> None:
    await store.commit(change(inbox=command(), documents=(document("logged"),)))
    size = (postgres_server.folder / "log").stat().st_size
    await store.commit(change(inbox=command(), documents=(document("logged", 1),)))
    await store.commit(change(documents=(document("logged", 7),)))
    await store.commit(change(inbox=command("another"), documents=(document("logged", 7),)))
    assert (postgres_server.folder / "log").stat().st_size == size
