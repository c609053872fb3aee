"""Processes wake one another's workers. Each application here has a store of its own, as another process has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from duly.errors import RuleBroken
from duly.ports.wake_ups import EVERYTHING, Hear, News
from duly.runtime.worker import Worker
from duly.stores.postgres import PostgresStore
from duly.stores.sqlite import SqliteStore
from tests.scenarios import read_models_shop, shop
from tests.scenarios.running import Running, Start, durable, quick_settings

NEVER = timedelta(hours=1)
"""Who looks so seldom must have been woken."""

far_apart = quick_settings(poll_interval=NEVER, sequencer_interval=NEVER)


async def until(true: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    while not true():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.001)


async def place(running: Running, order_id: str) -> None:
    await running.app.execute(shop.PlaceOrder(order_id=order_id), tenant="acme")


@durable
async def test_a_command_of_one_process_is_handled_by_the_worker_of_another_at_once(start: Start) -> None:
    working = await start(settings=far_apart)
    commanding = await start(settings=far_apart, worker=False)
    for number in range(5):
        await place(commanding, f"o-{number}")
        await working.quiet()
    # The mail is requested by the command, the text by a subscriber: a relay and two senders were woken.
    assert len(await working.effects()) == 10


@durable
async def test_events_of_one_process_are_projected_by_the_worker_of_another_at_once(start: Start) -> None:
    working = await start(read_models_shop.shop(read_models_shop.order_list()), settings=far_apart)
    commanding = await start(read_models_shop.shop(read_models_shop.order_list()), settings=far_apart, worker=False)
    for number in range(5):
        token = await commanding.app.execute_tracked(read_models_shop.PlaceOrder(order_id=f"o-{number}"), tenant="acme")
        await working.quiet()
        await commanding.app.wait_until(token.token)


@durable
async def test_two_workers_give_each_other_what_is_not_theirs(start: Start) -> None:
    first, second = await start(settings=far_apart), await start(settings=far_apart)
    for number in range(10):
        await place(first, f"a-{number}")
        await place(second, f"b-{number}")
        await first.quiet()
    assert len(await second.effects()) == 40


@durable
async def test_when_all_wake_ups_are_lost_everything_is_found_by_polling(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[News] = []
    monkeypatch.setattr(Worker, "heard", lambda self, news: lost.append(news))
    working, commanding = await start(), await start(worker=False)
    for number in range(5):
        await place(commanding, f"o-{number}")
        await working.quiet()
    await until(lambda: len(lost) > 1)
    assert len(await working.effects()) == 10


@durable
async def test_switched_off_nobody_tells_or_listens_and_everything_is_found_by_polling(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    async def listen(self: object, hear: Hear) -> None:
        used.append("listen")

    for store in (SqliteStore, PostgresStore):
        monkeypatch.setattr(store, "tell", lambda self, news: used.append("tell"))
        monkeypatch.setattr(store, "listen", listen)
    settings = quick_settings(wake_ups=False)
    working, commanding = await start(settings=settings), await start(settings=settings, worker=False)
    await place(commanding, "o-1")
    await place(working, "o-2")
    await working.quiet()
    assert used == []


@durable
async def test_a_command_that_rolled_back_wakes_nobody(start: Start, store_url: str) -> None:
    commanding = await start(worker=False)
    store = commanding.app._store
    ear = PostgresStore(store_url) if isinstance(store, PostgresStore) else SqliteStore(store_url.partition("///")[2])
    await ear.open()
    heard: list[News] = []
    listening = asyncio.create_task(ear.listen(heard.append))
    try:
        await until(lambda: heard == [EVERYTHING])
        heard.clear()
        for number in range(5):
            with pytest.raises(RuleBroken):
                await commanding.app.execute(
                    shop.PlaceOrder(order_id=f"o-{number}", refuse_payment=True), tenant="acme"
                )
        # What is heard first is of the command that did commit.
        await place(commanding, "o-5")
        await until(lambda: bool(heard))
        assert len(heard) == 1
        assert News.EFFECTS | News.DELIVERIES in heard[0]
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await ear.close()


@durable
async def test_a_worker_that_has_stopped_listens_no_more(start: Start, store_url: str) -> None:
    working = await start()
    await place(working, "o-1")
    await working.quiet()
    assert _watches() or store_url.startswith("postgres")
    await working.app.stop()
    assert not _watches()
    assert "duly-wake-ups" not in {task.get_name() for task in asyncio.all_tasks()}


def _watches() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "duly-sqlite-watch"]
