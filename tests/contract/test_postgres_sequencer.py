"""Positions on PostgreSQL, where commits end in another order than they began."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from duly.ports.change import Change
from duly.stores.postgres import PostgresStore
from duly.stores.postgres.address import Connection
from tests.contract.test_store_exam_log import happened, whole_log
from tests.contract.waiting import until_waiting


@pytest.fixture
async def store(make_postgres: Callable[[], PostgresStore]) -> AsyncIterator[PostgresStore]:
    """A store on PostgreSQL."""
    opened = make_postgres()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def stranger(postgres_url: str) -> AsyncIterator[Connection]:
    """A session that is none of ours."""
    connection: Connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def events_in(store: PostgresStore) -> list[str]:
    """The ids of what is in the log, in order, with positions from one on."""
    found = await whole_log(store)
    assert [event.position for event in found] == list(range(1, len(found) + 1))
    return [event.id for event in found]


def events_of(*changes: Change) -> list[str]:
    return [message.id for change in changes for message in change.messages[: change.events]]


async def missing(store: PostgresStore) -> str:
    """The ids of commits that the sequencers still look for."""
    (row,) = await store.select("SELECT CAST(missing AS text) AS missing FROM duly.sequencer", {})
    return str(row["missing"])


async def commit_and_number(store: PostgresStore) -> Change:
    wanted = happened("shop.Order/x")
    await store.commit(wanted)
    assert await store.number_commits(10) == 1
    return wanted


async def test_a_commit_that_was_invisible_is_numbered_later_and_behind(store: PostgresStore) -> None:
    early, late = happened("shop.Order/a", "shop.Order/b"), happened("shop.Order/c")
    async with store.begin() as slow:
        await slow.write(early)  # its id is drawn first
        await store.commit(late)
        assert await store.number_commits(10) == 1
        assert await events_in(store) == events_of(late)
        await slow.commit()
    assert await store.number_commits(10) == 1
    assert await events_in(store) == events_of(late, early)


async def test_a_commit_is_looked_for_as_long_as_its_transaction_is_open(store: PostgresStore) -> None:
    early = happened("shop.Order/a")
    async with store.begin() as slow:
        await slow.write(early)
        quick = [await commit_and_number(store) for _ in range(20)]
        await slow.commit()
    assert await store.number_commits(10) == 1
    assert await events_in(store) == events_of(*quick, early)
    await commit_and_number(store)
    assert len(await missing(store)) == len("{}")


async def test_a_commit_that_was_taken_back_leaves_no_gap_and_is_forgotten(store: PostgresStore) -> None:
    for _ in range(3):
        async with store.begin() as slow:
            await slow.write(happened("shop.Order/a"))
            await commit_and_number(store)
            await slow.rollback()
    assert len(await events_in(store)) == 3
    assert "," in await missing(store)
    for _ in range(4):  # what was drawn in the last step but one is doubted, then given up
        await commit_and_number(store)
    assert await missing(store) == "{}"
    assert len(await events_in(store)) == 7


async def test_what_was_taken_back_is_remembered_while_an_older_transaction_may_have_drawn_it(
    store: PostgresStore, stranger: Connection
) -> None:
    async with stranger.transaction():
        await stranger.execute("SELECT pg_current_xact_id()")  # a writer, elsewhere
        async with store.begin() as slow:
            await slow.write(happened("shop.Order/a"))
            await commit_and_number(store)
            await slow.rollback()
        for _ in range(5):
            await commit_and_number(store)
        assert await missing(store) != "{}"
    for _ in range(3):
        await commit_and_number(store)
    assert await missing(store) == "{}"


async def test_a_doubt_from_the_server_that_was_backed_up_does_not_stay(
    store: PostgresStore, stranger: Connection
) -> None:
    await stranger.execute(
        "UPDATE duly.sequencer SET missing = '{[1,5)}', doubted = '{[1,5)}', doubted_by = '123456789012'"
    )
    await stranger.execute("UPDATE duly.sequencer SET seen = 4")
    await stranger.execute("ALTER TABLE duly.commit_log ALTER COLUMN id RESTART WITH 5")
    await commit_and_number(store)
    assert await missing(store) == "{}"


async def test_commits_without_events_do_not_hide_what_is_behind_them(store: PostgresStore) -> None:
    for _ in range(25):
        await store.commit(happened())
    last = happened("shop.Order/a")
    await store.commit(last)
    assert await store.number_commits(10) == 1
    assert await events_in(store) == events_of(last)


async def test_a_step_numbers_no_more_than_it_was_asked_to(store: PostgresStore) -> None:
    changes = [happened("shop.Order/a", "shop.Order/b") for _ in range(7)]
    for wanted in changes:
        await store.commit(wanted)
    assert [await store.number_commits(3) for _ in range(4)] == [3, 3, 1, 0]
    assert await events_in(store) == events_of(*changes)


async def test_a_sequencer_that_waited_for_another_sees_what_that_one_has_numbered(store: PostgresStore) -> None:
    await store.commit(happened("shop.Order/a"))
    async with store.begin() as first:
        await first.fetch("SELECT duly.number_commits(10)", {})
        waiting = asyncio.create_task(store.number_commits(10))
        await until_waiting(store, 1)
        await store.commit(happened("shop.Order/b"))
        await first.commit()
    assert await waiting == 1
    assert len(await events_in(store)) == 2


async def test_a_sequencer_that_is_cut_off_leaves_its_step_to_the_next(store: PostgresStore) -> None:
    wanted = happened("shop.Order/a")
    await store.commit(wanted)
    async with store.begin() as first:
        await first.fetch("SELECT duly.number_commits(10)", {})
        await first.rollback()
    assert await store.number_commits(10) == 1
    assert await events_in(store) == events_of(wanted)
