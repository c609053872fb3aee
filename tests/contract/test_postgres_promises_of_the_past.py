"""Promises of messages of the past, and whoever takes messages away at the same moment: PostgreSQL only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import asyncpg
import pytest

from duly.messages.envelope import Kind
from duly.messages.identity import bucket_of
from duly.ports.replay import Backfill, Past, PastPromise
from duly.ports.store import Subscription
from duly.stores import archive_scripts, housekeeping_scripts
from duly.stores.archive_scripts import archive_script
from duly.stores.housekeeping_scripts import drop_handled_script
from duly.stores.postgres import PostgresStore
from duly.stores.postgres.address import Connection
from duly.stores.postgres.running import run_script
from duly.stores.script import Script, Statement
from duly.testing.store_exam import TENANT, change, due_rows, event, own_all
from tests.contract.waiting import until_waiting

T = TypeVar("T")
LANE = "acme/shop.Order/o-1"


def as_far_as(script: Script[T], text: str) -> Script[Statement]:
    """Run a script up to a statement, which is returned and not run."""
    statement = next(script)
    while statement.text != text:
        statement = script.send((yield statement))
    return statement


def to_its_end(script: Script[T], statement: Statement) -> Script[T]:
    """Run the rest of a script, from a statement on."""
    while True:
        try:
            statement = script.send((yield statement))
        except StopIteration as stop:
            result: T = stop.value
            return result


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[Connection]:
    opened: Connection = await asyncpg.connect(postgres_url)
    yield opened
    await opened.close()


@pytest.fixture
async def store(make_postgres: Callable[[], PostgresStore]) -> AsyncIterator[PostgresStore]:
    opened = make_postgres()
    await opened.open()
    yield opened
    await opened.close()


async def a_backfill(store: PostgresStore, name: str) -> tuple[Backfill, list[PastPromise]]:
    """A backfill that is begun, of one message, and the promise that it is about to make."""
    numbers = await store.subscribe([Subscription("shop.text_customer")])
    past = Past(tenant=TENANT, subscriber=numbers["shop.text_customer"], names=(name,))
    (found,) = await store.read_past(past, through=2**40, after=(0, -1), rows_max=10)
    wanted = Backfill(id="b-1", past=past, through=2**40, total=1, by="anna", reason="to see")
    return await store.begin_backfill(wanted), [PastPromise(found.place, LANE, bucket_of(LANE))]


async def meanwhile(
    store: PostgresStore, connection: Connection, script: Script[T], at: str, promising: Awaitable[Backfill]
) -> Backfill:
    """Begin a promise while *script* is about to run the statement *at*; let the script end when the promise waits."""
    await connection.execute("BEGIN")
    statement = await run_script(connection, as_far_as(script, at))
    task = asyncio.ensure_future(promising)
    await until_waiting(store)
    await run_script(connection, to_its_end(script, statement))
    await connection.execute("COMMIT")
    return await task


async def test_a_backfill_promises_no_message_that_a_sweep_is_removing(
    store: PostgresStore, connection: Connection
) -> None:
    await store.commit(change(messages=(event(kind=Kind.PUBLIC, name="shop.Public"),), events=0))
    backfill, promises = await a_backfill(store, "shop.Public")
    sweep = drop_handled_script(timedelta(0), None, 10)
    promised = await meanwhile(
        store,
        connection,
        sweep,
        housekeeping_scripts.DELETE_MESSAGES,
        store.promise_past(backfill, promises, place=promises[0].place, ends=True),
    )
    assert promised.promised == 0
    assert promised.ended_at is not None
    assert await store.undelivered(timedelta(0)) == 0


async def test_a_backfill_promises_a_message_that_is_being_archived_out_of_the_archive(
    store: PostgresStore, connection: Connection
) -> None:
    said = event("shop.Order/o-1")
    await store.commit(change(messages=(said,), events=1))
    assert await store.number_commits(10) == 1
    backfill, promises = await a_backfill(store, "shop.OrderPlaced")
    archiving = archive_script(TENANT, "shop.Order/o-1", (), "anna", "done", 10)
    promised = await meanwhile(
        store,
        connection,
        archiving,
        archive_scripts.DELETE_EVENTS,
        store.promise_past(backfill, promises, place=promises[0].place, ends=True),
    )
    assert promised.promised == 1
    await own_all(store)
    (due,) = await due_rows(store, subscribers=(backfill.past.subscriber,))
    assert due.envelope == said
