"""Wake-ups by NOTIFY, when connections are cut, refused, or lent by a pooler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial

import asyncpg
import pytest

from duly.errors import StoreUnavailable
from duly.ports.change import Done
from duly.ports.wake_ups import EVERYTHING, News
from duly.stores.postgres import PostgresStore, listening
from duly.stores.postgres.listening import Listener
from duly.testing.store_exam import change, document
from tests.contract.test_store_exam_wake_ups import listening as ear
from tests.contract.test_store_exam_wake_ups import until
from tests.contract.waiting import sessions
from tests.contract.waiting import until as until_it_is_so

LISTENS = "query LIKE 'LISTEN%'"


@pytest.fixture
async def store(make_postgres: Callable[[], PostgresStore]) -> AsyncIterator[PostgresStore]:
    opened = make_postgres()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def second(make_postgres: Callable[[], PostgresStore]) -> AsyncIterator[PostgresStore]:
    opened = make_postgres()
    await opened.open()
    yield opened
    await opened.close()


async def listens(store: PostgresStore, number: int) -> bool:
    return await sessions(store, LISTENS) == number


async def test_a_listening_connection_that_is_cut_comes_back_and_everything_is_looked_at(
    store: PostgresStore, second: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[News] = []
    async with ear(store, heard.append):
        await until(lambda: heard == [EVERYTHING])
        for times in range(2):
            heard.clear()
            await second.select(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LISTENS} "
                "AND datname = current_database()",
                {},
            )
            await until(lambda: EVERYTHING in heard)
            assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == times + 1
        heard.clear()
        second.tell(News.EFFECTS)
        await until(lambda: heard == [News.EFFECTS])


async def test_a_database_that_cannot_be_listened_to_is_logged_once_and_asked_again(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "LISTEN_RETRY_SECONDS", 0.001)
    connect, refused = store._postgres.pool.connect_apart, 0

    async def refuses() -> object:
        nonlocal refused
        if refused == 5:
            return await connect()
        refused += 1
        raise StoreUnavailable("sorry, too many clients already")

    monkeypatch.setattr(store._postgres.pool, "connect_apart", refuses)
    heard: list[News] = []
    async with ear(store, heard.append):
        await until(lambda: heard == [EVERYTHING])
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_who_stops_listening_leaves_no_connection(store: PostgresStore, second: PostgresStore) -> None:
    heard: list[News] = []
    async with ear(store, heard.append):
        await until(lambda: heard == [EVERYTHING])
        await until_it_is_so(partial(listens, second, 1), "the listening session")
    await until_it_is_so(partial(listens, second, 0), "the end of the listening session")


async def test_a_store_that_is_closed_leaves_no_session(store: PostgresStore, second: PostgresStore) -> None:
    heard: list[News] = []
    async with ear(second, heard.append):
        await until(lambda: heard == [EVERYTHING])
        heard.clear()
        store.tell(News.EFFECTS)
        await until(lambda: heard == [News.EFFECTS])
    await store.close()

    async def no_session_is_left() -> bool:
        return await sessions(second, "query LIKE 'NOTIFY%' AND query LIKE '% e%'") == 0

    await until_it_is_so(no_session_is_left, "the end of the sessions")


async def test_a_process_that_does_not_hear_itself_says_so_once(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As behind a pooler that lends its connections by the transaction."""
    monkeypatch.setattr(listening, "LISTEN_CHECK_SECONDS", 0.001)
    asked = 0
    execute = asyncpg.Connection.execute

    async def counting(self: asyncpg.Connection[asyncpg.Record], query: str, **rest: float) -> str:
        nonlocal asked
        asked += query == "SELECT 1"
        return "" if query.startswith("NOTIFY") else await execute(self, query, **rest)

    monkeypatch.setattr(asyncpg.Connection, "execute", counting)
    async with ear(store, lambda news: None):
        await until(lambda: asked > 10)
    assert "pooler in transaction mode" in caplog.text
    assert len(caplog.records) == 1


async def test_a_process_that_hears_itself_has_nothing_to_say(
    store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(store._postgres.pool.connect_apart, store._teller, lambda news: None)
    task = asyncio.create_task(listener.run())
    await until(lambda: listener._hears_itself)
    listener._warn_if_deaf()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert caplog.records == []


async def test_a_notify_that_is_refused_fails_no_commit(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = asyncio.Event()

    async def refuses() -> object:
        asked.set()
        raise StoreUnavailable("sorry, too many clients already")

    monkeypatch.setattr(store._teller, "_connect", refuses)
    for number in range(20):
        assert await store.commit(change(documents=(document(f"o-{number}"),))) == Done()
        store.tell(News.DELIVERIES)
    await asked.wait()
    await until(lambda: bool(caplog.records))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
