"""The exam of every keeper: transactions held open for a handler, and the user's own SQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from duly.errors import StoreError, UserSqlError
from duly.ports.change import Conflict, Done, Repeat, Taken
from duly.ports.store import SqlValue
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
    unique,
)
from tests.contract.cancelling import at_await

TABLE = "CREATE TABLE stock (name TEXT PRIMARY KEY, pieces INTEGER NOT NULL, note TEXT)"
ADD = "INSERT INTO stock (name, pieces, note) VALUES (:name, :pieces, :note)"


@pytest.fixture
async def stock(store: ExaminedStore) -> ExaminedStore:
    """The store, with a table of the user's own."""
    await store.migrate([TABLE])
    return store


async def pieces(store: ExaminedStore) -> dict[object, object]:
    """What is in stock, as others see it."""
    rows = await store.select("SELECT name, pieces FROM stock", {})
    return {row["name"]: row["pieces"] for row in rows}


async def test_what_a_transaction_writes_is_seen_inside_and_only_after_its_commit_outside(
    stock: ExaminedStore, candidate: Candidate
) -> None:
    async with stock.begin() as transaction:
        part = change(documents=(document(),), entries_added=(index("city", "Oslo", "o-1"),))
        assert await transaction.write(part) == Done()
        assert await transaction.execute(ADD, {"name": "cup", "pieces": 3, "note": None}) == 1
        seen = await transaction.document(TENANT, ORDER, "o-1")
        assert seen is not None
        assert seen.version == 1
        assert [one.id for one in await transaction.documents_by(TENANT, ORDER, "city", "Oslo", 9)] == ["o-1"]
        assert await transaction.fetch("SELECT pieces FROM stock WHERE name = :name", {"name": "cup"}) == [
            {"pieces": 3}
        ]
        if candidate.is_shared:  # in memory a reader waits until the transaction ends
            assert await stock.document(TENANT, ORDER, "o-1") is None
            assert await pieces(stock) == {}
        rest = change(inbox=command(), documents=(document(expected=1),), messages=(event(),), intents=(intent(),))
        assert await transaction.write(rest) == Done()
        await transaction.commit()
    found = await stock.document(TENANT, ORDER, "o-1")
    assert found is not None
    assert found.version == 2
    assert await pieces(stock) == {"cup": 3}
    assert isinstance(await stock.inbox_row(TENANT, "click-1"), Repeat)


@pytest.mark.parametrize("ending", ["rollback", "leave", "raise", "cancel"])
async def test_a_transaction_that_does_not_commit_takes_back_everything(
    stock: ExaminedStore, candidate: Candidate, ending: str
) -> None:
    counts = await candidate.row_counts(stock)
    entered = asyncio.Event()

    async def handle() -> None:
        async with stock.begin() as transaction:
            everything = change(inbox=command(), documents=(document(),), messages=(event(),), intents=(intent(),))
            assert await transaction.write(everything) == Done()
            await transaction.execute(ADD, {"name": "cup", "pieces": 3, "note": None})
            entered.set()
            match ending:
                case "rollback":
                    await transaction.rollback()
                case "raise":
                    raise LookupError
                case "cancel":
                    await asyncio.Event().wait()
                case _:
                    pass

    task = asyncio.create_task(handle())
    await entered.wait()
    if ending == "cancel":
        task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), isinstance(None if task.cancelled() else task.exception(), LookupError)) == (
        ending == "cancel",
        ending == "raise",
    )
    assert await candidate.row_counts(stock) == counts
    assert await pieces(stock) == {}
    assert await stock.commit(change(inbox=command(), documents=(document(),))) == Done()


async def test_a_refused_write_ends_the_transaction_with_nothing_written(
    stock: ExaminedStore, candidate: Candidate
) -> None:
    await stock.commit(change(documents=(document("o-1"),), entries_added=(unique("email", "a@b", "o-1"),)))
    counts = await candidate.row_counts(stock)
    for refused, verdict in (
        (change(documents=(document("o-1", 7),)), Conflict(ORDER, "o-1")),
        (
            change(documents=(document("o-2"),), entries_added=(unique("email", "a@b", "o-2"),)),
            Taken(ORDER, "email", "a@b"),
        ),
    ):
        async with stock.begin() as transaction:
            assert await transaction.write(change(documents=(document("o-3"),))) == Done()
            await transaction.execute(ADD, {"name": "cup", "pieces": 3, "note": None})
            assert await transaction.write(refused) == verdict
            with pytest.raises(StoreError, match="has ended"):
                await transaction.fetch("SELECT 1 AS one", {})
            with pytest.raises(StoreError, match="has ended"):
                await transaction.commit()
        assert await candidate.row_counts(stock) == counts
        assert await pieces(stock) == {}


async def test_after_its_end_a_transaction_does_nothing_more(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        await transaction.commit()
        with pytest.raises(StoreError, match="has ended"):
            await transaction.execute(ADD, {"name": "cup", "pieces": 3, "note": None})
        with pytest.raises(StoreError, match="has ended"):
            await transaction.write(change(documents=(document(),)))
        with pytest.raises(StoreError, match="has ended"):
            await transaction.document(TENANT, ORDER, "o-1")
        await transaction.rollback()
    assert await pieces(stock) == {}


async def test_statements_that_overlap_in_one_transaction_wait_for_each_other(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        added = [transaction.execute(ADD, {"name": str(one), "pieces": one, "note": None}) for one in range(9)]
        assert await asyncio.gather(*added) == [1] * 9
        await transaction.commit()
    assert len(await pieces(stock)) == 9


async def test_a_statement_tells_how_many_rows_it_changed(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        for name in ("cup", "pot", "pan"):
            await transaction.execute(ADD, {"name": name, "pieces": 1, "note": None})
        assert await transaction.execute("UPDATE stock SET pieces = pieces + :more", {"more": 2}) == 3
        assert await transaction.execute("UPDATE stock SET pieces = 9 WHERE name = :name", {"name": "no"}) == 0
        assert await transaction.execute("DELETE FROM stock WHERE name <> :name", {"name": "cup"}) == 2
        assert await transaction.execute("SELECT * FROM stock", {}) == 0
        assert await transaction.execute("CREATE TABLE another (n INTEGER)", {}) == 0
        assert await transaction.fetch("DELETE FROM stock RETURNING name, pieces", {}) == [{"name": "cup", "pieces": 3}]
        await transaction.commit()


async def test_a_parameter_may_be_used_twice_and_lookalikes_are_none(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        statement = """
            INSERT INTO stock (name, pieces, note) -- not :a parameter
            VALUES (:name, :pieces, 'at 12:30 :name ''quoted'' :x' || :name) /* :nor this */
        """
        assert await transaction.execute(statement, {"name": "cup", "pieces": 1}) == 1
        (row,) = await transaction.fetch('SELECT note AS ":y" FROM stock WHERE name = :name', {"name": "cup"})
        assert row == {":y": "at 12:30 :name 'quoted' :xcup"}


@pytest.mark.parametrize("candidate", ["postgres"], indirect=True)
async def test_a_cast_is_no_parameter(stock: ExaminedStore) -> None:
    """SQLite has no such casts."""
    assert await stock.select(
        "SELECT '5'::integer + :n::integer AS sum, now()::date - now()::date AS days", {"n": 2}
    ) == [{"sum": 7, "days": 0}]


NOON = datetime(2026, 2, 28, 12, 0, 0, 123_456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "value", "in_sqlite"),
    [
        ("TEXT", "Grüße, 世界 ' :x", ...),
        ("TEXT", "", ...),
        ("TEXT", None, ...),
        ("INTEGER", None, ...),
        ("BIGINT", 2**62, ...),
        ("INTEGER", True, 1),
        ("DOUBLE PRECISION", 0.1, ...),
        ("BYTEA", b"\x00\xff", ...),
        ("BYTEA", b"", ...),
        ("BOOLEAN", True, 1),
        ("BOOLEAN", None, ...),
        ("NUMERIC(9, 2)", Decimal("12.50"), 12.5),
        ("TEXT", Decimal("12.50"), "12.50"),
        ("TIMESTAMPTZ", NOON, "2026-02-28T12:00:00.123456+00:00"),
        ("TEXT", NOON, "2026-02-28T12:00:00.123456+00:00"),
    ],
)
async def test_values_come_back_as_they_went_in_or_as_sqlite_keeps_them(
    store: ExaminedStore, candidate: Candidate, column: str, value: SqlValue, in_sqlite: object
) -> None:
    await store.migrate([f"CREATE TABLE kept (value {column})"])
    async with store.begin() as transaction:
        await transaction.execute("INSERT INTO kept (value) VALUES (:value)", {"value": value})
        await transaction.commit()
    (row,) = await store.select("SELECT value FROM kept", {})
    as_text = column == "TEXT" and isinstance(value, (Decimal, datetime))
    expected = in_sqlite if in_sqlite is not ... and (candidate.name != "postgres" or as_text) else value
    assert row["value"] == expected


async def test_a_missing_parameter_is_named(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        with pytest.raises(UserSqlError, match=":note that was not passed"):
            await transaction.execute(ADD, {"name": "cup", "pieces": 1})
    with pytest.raises(UserSqlError, match=":n that was not passed"):
        await stock.select("SELECT :n", {})


@pytest.mark.parametrize(
    "statement",
    [
        "SELEC 1",
        "SELECT * FROM no_such_table",
        "INSERT INTO stock (name, pieces) VALUES ('cup', NULL)",
        "INSERT INTO stock (name, pieces) VALUES ('a', 1), ('a', 2)",
        "DELETE FROM stock; DELETE FROM stock",
        "COMMIT",
        "  /* now */ rollback",
        "BEGIN",
        "SAVEPOINT x",
    ],
)
async def test_a_statement_that_fails_is_the_users_error_and_quoted(stock: ExaminedStore, statement: str) -> None:
    async with stock.begin() as transaction:
        await transaction.execute(ADD, {"name": "before", "pieces": 1, "note": None})
        with pytest.raises(UserSqlError) as caught:
            await transaction.execute(statement, {})
        assert statement in str(caught.value)
    assert await pieces(stock) == {}


@pytest.mark.parametrize("candidate", ["postgres"], indirect=True)
async def test_a_value_that_does_not_fit_is_the_users_error_without_the_value(stock: ExaminedStore) -> None:
    """SQLite takes any value for any column."""
    async with stock.begin() as transaction:
        with pytest.raises(UserSqlError, match=":pieces does not fit") as caught:
            await transaction.execute(ADD, {"name": "cup", "pieces": "secret", "note": None})
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


async def test_select_reads_with_parameters(stock: ExaminedStore) -> None:
    async with stock.begin() as transaction:
        await transaction.execute(ADD, {"name": "cup", "pieces": 3, "note": "blue"})
        await transaction.commit()
    found = await stock.select(
        "SELECT pieces, note FROM stock WHERE name = :name AND pieces > :n", {"name": "cup", "n": 1}
    )
    assert found == [{"pieces": 3, "note": "blue"}]
    assert await stock.select("SELECT 1 AS one WHERE 1 = 0", {}) == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO stock (name, pieces) VALUES ('cup', 1)",
        "UPDATE stock SET pieces = 0 WHERE name = 'pot' RETURNING name",
        "DELETE FROM stock",
        "CREATE TABLE worse (n INTEGER)",
        "DROP TABLE stock",
        "COMMIT",
    ],
)
async def test_select_refuses_to_write(stock: ExaminedStore, statement: str) -> None:
    async with stock.begin() as transaction:
        await transaction.execute(ADD, {"name": "pot", "pieces": 3, "note": None})
        await transaction.commit()
    with pytest.raises(UserSqlError):
        await stock.select(statement, {})
    assert await pieces(stock) == {"pot": 3}
    assert await stock.commit(change(documents=(document(),))) == Done()


@pytest.mark.parametrize("candidate", ["sqlite", "postgres"], indirect=True)
async def test_the_inbox_decides_between_two_open_transactions_of_one_command(
    stock: ExaminedStore, second: ExaminedStore
) -> None:
    async def execute(keeper: ExaminedStore, order: str) -> object:
        async with keeper.begin() as transaction:
            await transaction.execute(ADD, {"name": order, "pieces": 1, "note": None})
            verdict = await transaction.write(change(inbox=command(), documents=(document(order),)))
            if verdict == Done():
                await transaction.commit()
            return verdict

    verdicts = await asyncio.gather(execute(stock, "o-1"), execute(second, "o-2"))
    assert sorted(type(verdict).__name__ for verdict in verdicts) == ["Done", "Repeat"]
    assert len(await pieces(stock)) == 1


async def test_a_transaction_hands_out_the_drivers_connection(stock: ExaminedStore, candidate: Candidate) -> None:
    async with stock.begin() as transaction:
        module = type(transaction.raw).__module__.partition(".")[0]
    assert module == ("asyncpg" if candidate.name == "postgres" else "sqlite3")


async def test_many_transactions_one_after_another_leave_the_store_as_it_was(stock: ExaminedStore) -> None:
    for number in range(30):
        async with stock.begin() as transaction:
            await transaction.execute(ADD, {"name": str(number), "pieces": number, "note": None})
            if number % 3:
                await transaction.commit()
    assert len(await pieces(stock)) == 20
    assert timedelta(0) == await _lag(stock)


async def _lag(store: ExaminedStore) -> timedelta:
    """Nothing is left open: the next commit goes through at once."""
    assert await store.commit(change(documents=(document(),))) == Done()
    return timedelta(0)


async def test_a_transaction_that_is_cancelled_at_any_await_is_there_whole_or_not_at_all(stock: ExaminedStore) -> None:
    async def add(name: str) -> None:
        async with stock.begin() as transaction:
            await transaction.execute(ADD, {"name": name, "pieces": 1, "note": None})
            assert await transaction.write(change(documents=(document(name),))) == Done()
            await transaction.commit()

    is_cancelled, number = True, 0
    while is_cancelled:
        number += 1
        task = asyncio.ensure_future(at_await(number, add(f"o-{number}")))
        await asyncio.wait([task])
        is_cancelled = task.cancelled()
        assert await stock.commit(change(documents=(document(f"after-{number}"),))) == Done()
        found = await stock.document(TENANT, ORDER, f"o-{number}")
        assert (found is not None) == (f"o-{number}" in await pieces(stock))
    assert number > 4
    assert f"o-{number}" in await pieces(stock)
