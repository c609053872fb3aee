"""The exam of every keeper: savepoints in a transaction held open for a handler."""

from __future__ import annotations

import pytest

from duly.errors import StoreError, StoreUnavailable, UserSqlError
from duly.ports.change import Conflict, Done
from duly.ports.store import OpenTransaction
from duly.testing.store_exam import (
    ORDER,
    TENANT,
    Candidate,
    ExaminedStore,
    change,
    command,
    document,
    event,
    index,
    intent,
)

TABLE = "CREATE TABLE stock (name TEXT PRIMARY KEY)"
ADD = "INSERT INTO stock (name) VALUES (:name)"


@pytest.fixture
async def stock(store: ExaminedStore) -> ExaminedStore:
    """The store, with a table of the user's own."""
    await store.migrate([TABLE])
    return store


async def add(transaction: OpenTransaction, *names: str) -> None:
    for name in names:
        await transaction.execute(ADD, {"name": name})


async def names(store: ExaminedStore) -> list[object]:
    return [row["name"] for row in await store.select("SELECT name FROM stock ORDER BY name", {})]


async def test_what_was_done_since_a_savepoint_is_taken_back_and_the_rest_is_committed(
    stock: ExaminedStore, candidate: Candidate
) -> None:
    async with stock.begin() as transaction:
        assert await transaction.write(change(documents=(document("o-1"),))) == Done()
        await add(transaction, "before")
        await transaction.savepoint("duly_1")
        since = change(
            documents=(document("o-1", 1), document("o-2")),
            entries_added=(index("city", "Oslo", "o-2"),),
            messages=(event(),),
            intents=(intent(),),
        )
        assert await transaction.write(since) == Done()
        await add(transaction, "since")
        await transaction.rollback_to("duly_1")
        assert await transaction.document(TENANT, ORDER, "o-2") is None
        again = await transaction.document(TENANT, ORDER, "o-1")
        assert again is not None
        assert again.version == 1
        await add(transaction, "since", "after")
        assert await transaction.write(change(inbox=command(), documents=(document("o-1", 1),))) == Done()
        await transaction.commit()
    assert await names(stock) == ["after", "before", "since"]
    counts = await candidate.row_counts(stock)
    assert [counts[name] for name in ("document", "inbox", "entry", "message", "effect")] == [1, 1, 0, 0, 0]


async def test_a_statement_that_failed_is_over_with_its_savepoint(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        await add(transaction, "cup")
        for wrong in ("INSERT INTO stock (name) VALUES ('cup')", "SELECT * FROM no_such_table", "SELEC 1"):
            await transaction.savepoint("duly_1")
            await add(transaction, "since")
            with pytest.raises(UserSqlError):
                await transaction.execute(wrong, {})
            await transaction.rollback_to("duly_1")
        await add(transaction, "pot")
        assert await transaction.write(change(documents=(document(),))) == Done()
        await transaction.commit()
    assert await names(stock) == ["cup", "pot"]


async def test_what_is_released_belongs_to_the_savepoint_around_it(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        await transaction.savepoint("duly_1")
        await add(transaction, "outer")
        await transaction.savepoint("duly_2")
        await add(transaction, "inner")
        await transaction.release("duly_2")
        await transaction.rollback_to("duly_1")
        await transaction.savepoint("duly_1")
        await add(transaction, "kept")
        await transaction.savepoint("duly_2")
        await add(transaction, "inner")
        await transaction.rollback_to("duly_2")
        await transaction.release("duly_1")
        await transaction.commit()
    assert await names(stock) == ["kept"]


async def test_a_savepoint_that_is_not_there_ends_the_transaction(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        await add(transaction, "cup")
        await transaction.savepoint("duly_1")
        await transaction.release("duly_1")
        with pytest.raises(StoreError):
            await transaction.rollback_to("duly_1")
        with pytest.raises(StoreError, match="has ended"):
            await add(transaction, "pot")
    assert await names(stock) == []
    assert await stock.commit(change(documents=(document(),))) == Done()


async def test_after_a_refused_write_there_is_nothing_to_go_back_to(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        await transaction.savepoint("duly_1")
        assert await transaction.write(change(documents=(document("o-1", 7),))) == Conflict(ORDER, "o-1")
        for attempt in (transaction.rollback_to, transaction.release, transaction.savepoint):
            with pytest.raises(StoreError, match="has ended"):
                await attempt("duly_1")
    assert await names(stock) == []


@pytest.mark.parametrize("candidate", ["memory", "sqlite"], indirect=True)
async def test_a_statement_that_ends_the_transaction_of_sqlite_leaves_no_savepoint(stock: ExaminedStore) -> None:
    """PostgreSQL has no such clause."""
    async with stock.begin() as transaction:
        await add(transaction, "cup")
        await transaction.savepoint("duly_1")
        with pytest.raises(UserSqlError):
            await transaction.execute("INSERT OR ROLLBACK INTO stock (name) VALUES ('cup')", {})
        with pytest.raises(StoreError, match="no such savepoint"):
            await transaction.rollback_to("duly_1")
        with pytest.raises(StoreError, match="has ended"):
            await add(transaction, "pot")
    assert await names(stock) == []


@pytest.mark.parametrize("candidate", ["postgres"], indirect=True)
async def test_a_connection_that_is_lost_takes_back_more_than_the_savepoint(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        await add(transaction, "cup")
        await transaction.savepoint("duly_1")
        with pytest.raises(StoreError):
            await transaction.execute("SELECT pg_terminate_backend(pg_backend_pid())", {})
        with pytest.raises(StoreUnavailable):
            await transaction.rollback_to("duly_1")
        with pytest.raises(StoreError, match="has ended"):
            await transaction.commit()
    assert await names(stock) == []
