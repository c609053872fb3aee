"""The exam of every keeper: wake-ups between processes. Each store has an ear of its own, as another process would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from duly.ports.store import Store
from duly.ports.wake_ups import EVERYTHING, Hear, News
from duly.testing.store_exam import Candidate, ExaminedStore, change, document
from tests.contract.conftest import Another


@asynccontextmanager
async def listening(store: Store, hear: Hear) -> AsyncIterator[asyncio.Task[None]]:
    """Have *store* listen, from the moment that it does."""
    task = asyncio.create_task(store.listen(hear))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    while not true():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.001)


async def test_who_begins_to_listen_looks_at_everything_once(candidate: Candidate, store: ExaminedStore) -> None:
    heard: list[News] = []
    async with listening(store, heard.append) as task:
        if candidate.is_shared:
            await until(lambda: heard == [EVERYTHING])
        else:
            await task  # a database in memory has no other process


async def test_what_another_store_commits_and_tells_is_heard(
    candidate: Candidate, store: ExaminedStore, another: Another
) -> None:
    if not candidate.is_shared:
        return
    second = await another()
    heard: list[News] = []
    async with listening(store, heard.append):
        await until(lambda: heard == [EVERYTHING])
        for number in range(3):
            heard.clear()
            await second.commit(change(documents=(document(f"o-{number}"),)))
            second.tell(News.DELIVERIES)
            await until(lambda: any(News.DELIVERIES in news for news in heard))


async def test_what_a_store_commits_and_tells_is_no_news_to_itself(
    candidate: Candidate, store: ExaminedStore, another: Another
) -> None:
    if not candidate.is_shared:
        return
    second = await another()
    heard: list[News] = []
    async with listening(store, heard.append):
        await until(lambda: heard == [EVERYTHING])
        heard.clear()
        for number in range(20):
            await store.commit(change(documents=(document(f"o-{number}"),)))
            store.tell(News.DELIVERIES)
        # What comes from the other one comes behind that.
        await second.commit(change(documents=(document("other"),)))
        second.tell(News.EFFECTS)
        await until(lambda: bool(heard))
        assert len(heard) == 1
        assert News.EFFECTS in heard[0]


async def test_a_store_that_was_closed_tells_nobody_and_does_not_mind(store: ExaminedStore) -> None:
    await store.close()
    store.tell(EVERYTHING)
