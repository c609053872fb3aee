"""Up to which row of the outbox all is decided, on PostgreSQL, and that its writers keep to the terms."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest

from duly.messages.identity import BUCKETS, bucket_of
from duly.ports.change import Later, Promise
from duly.ports.store import Look, Mark, Notice, Seen, Subscription
from duly.stores.outbox_looks import LOOK
from duly.stores.placeholders import bind_numbered
from duly.stores.postgres import PostgresStore
from duly.stores.postgres.address import Connection
from duly.stores.script import for_postgres
from duly.testing.store_exam import TENANT, change, due_rows, event, own_all, said

INSERT = """
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
SELECT subscriber_no, bucket, 'acme/late', commit_id, ordinal FROM duly.outbox ORDER BY id LIMIT 1
"""
BACKLOG = """
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
SELECT 1, n % 32, 'acme/backlog', 1, 0 FROM generate_series(1, 20000) AS n
"""
WATCH = """
CREATE FUNCTION duly.refuse_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        RAISE EXCEPTION 'a row of the outbox is about to be numbered by no transaction';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER refuse_number BEFORE INSERT ON duly.outbox FOR EACH STATEMENT EXECUTE FUNCTION duly.refuse_number()
"""


UNWATCH = "DROP FUNCTION duly.refuse_number() CASCADE"


@pytest.fixture
async def watched(other: Connection) -> AsyncIterator[None]:
    """The database refuses rows that are numbered by nobody."""
    await other.execute(WATCH)
    yield
    await other.execute(UNWATCH)


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[Connection]:
    """Somebody else's connection."""
    connection: Connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    opened = PostgresStore(postgres_url)
    await opened.open()
    yield opened
    await opened.close()


async def seen_with(store: PostgresStore, mark: Mark) -> Seen:
    return await store.look(Look(buckets=range(BUCKETS), subscribers=(1,), rows_max=100, mark=mark))


async def test_a_row_is_not_decided_while_the_transaction_is_open_that_has_numbered_it(
    store: PostgresStore, other: Connection
) -> None:
    await store.commit(said("acme/a"))
    late = other.transaction()
    await late.start()
    await other.execute(INSERT)
    await store.commit(said("acme/b"))
    mark = await store.mark()
    for _ in range(3):
        await store.commit(said("acme/c"))
        assert not (await seen_with(store, mark)).is_decided
    await late.commit()
    seen = await seen_with(store, mark)
    assert seen.is_decided
    assert [due.lane for due in seen.rows if due.row <= mark.last] == ["acme/a", "acme/late", "acme/b"]


async def test_a_row_that_is_taken_back_is_decided_too(store: PostgresStore, other: Connection) -> None:
    await store.commit(said("acme/a"))
    late = other.transaction()
    await late.start()
    await other.execute(INSERT)
    mark = await store.mark()
    assert not (await seen_with(store, mark)).is_decided
    await late.rollback()
    seen = await seen_with(store, mark)
    assert (seen.is_decided, len(seen.rows)) == (True, 1)


async def test_a_transaction_that_began_after_the_mark_holds_nothing_up(
    store: PostgresStore, other: Connection
) -> None:
    await store.commit(said("acme/a"))
    mark = await store.mark()
    later = other.transaction()
    await later.start()
    await other.execute(INSERT)
    assert (await seen_with(store, mark)).is_decided
    await later.rollback()


async def test_whoever_numbered_rows_before_it_began_a_transaction_would_be_overlooked(
    store: PostgresStore, other: Connection
) -> None:
    """Why the next test is there: the mark passes a row that appears later."""
    await store.commit(said("acme/a"))
    late = other.transaction()
    await late.start()
    row = await other.fetchval("SELECT nextval('duly.outbox_id_seq')")
    mark = await store.mark()
    assert mark.last == row
    assert (await seen_with(store, mark)).is_decided, "and so the floor rises beyond the row"
    await other.execute(
        INSERT.replace("INTO duly.outbox (", "INTO duly.outbox (id, ").replace(
            "SELECT sub", f"OVERRIDING SYSTEM VALUE SELECT {row}, sub"
        )
    )
    await late.commit()
    seen = await seen_with(store, mark)
    assert [due.row for due in seen.rows if due.lane == "acme/late"] == [row]


async def test_everybody_who_writes_to_the_outbox_has_begun_a_transaction_before(
    store: PostgresStore, other: Connection, watched: None
) -> None:
    with pytest.raises(asyncpg.RaiseError, match="numbered by no transaction"):
        await other.execute(INSERT)
    number = (await store.subscribe([Subscription("shop.text")]))["shop.text"]
    await store.commit(said("acme/a", "acme/b", subscriber=number))
    later = Promise(0, number, "acme/l", bucket_of("acme/l"), Later(id="later-1"))
    await store.commit(change(messages=(event(),), events=1, promises=(later,)))
    assert await store.promote(10) == 1
    first, second, _ = await due_rows(store, (number,))
    tokens = await own_all(store)
    notice = Notice(envelope=event(), subscriber=number, lane="acme/n", bucket=bucket_of("acme/n"))
    assert await store.park(first, tokens.tokens[first.bucket], attempts=1, reason="no", notice=notice)
    assert await store.park(second, tokens.tokens[second.bucket], attempts=1, reason="no")
    for parked in await store.parked(TENANT, 10):
        assert await store.unpark(TENANT, parked.id)
    async with store.begin() as transaction:
        await transaction.write(said("acme/t", subscriber=number))
        await transaction.commit()
    assert len(await due_rows(store, (number,))) == 5


async def test_a_quick_look_costs_what_it_did_however_much_was_delivered_under_a_snapshot_that_is_held(
    store: PostgresStore, other: Connection
) -> None:
    await store.commit(said("acme/a"))
    snapshot = other.transaction(isolation="repeatable_read")
    await snapshot.start()
    await other.fetch("SELECT 1 FROM duly.outbox")
    async with store.begin() as transaction:
        await transaction.execute(BACKLOG, {})
        await transaction.execute("DELETE FROM duly.outbox WHERE lane = 'acme/backlog'", {})
        await transaction.commit()
    mark = await store.mark()
    assert await pages(store, 0) > 100, "what is dead lies in the way of whoever begins at the first row"
    assert await pages(store, mark.last) < 15
    await snapshot.rollback()


async def pages(store: PostgresStore, after: int) -> int:
    """How many pages a look behind a row touches."""
    text = bind_numbered(for_postgres(LOOK)).statement
    arguments: tuple[object, ...] = (0, 0, after, list(range(BUCKETS)), [1], [], [], 100)
    async with store._postgres.pool.lend() as connection:
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", *arguments)
    plan = msgspec.json.decode(rows[0][0])[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
