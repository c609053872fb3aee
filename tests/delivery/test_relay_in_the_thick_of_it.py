"""Relays on real stores, while commits end in any order, subscribers fail, rows are parked and workers come and go."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from duly.delivery.delivery import Delivery, Fate, Held, Kept, Lost
from duly.delivery.relay import Relay
from duly.messages.identity import bucket_of
from duly.ports.change import Delivered, Done, Promise
from duly.ports.store import Due, Store, Subscription
from duly.stores.postgres import PostgresStore
from duly.stores.sqlite import SqliteStore
from duly.testing.store_exam import TENANT, change, event

LANES = [f"acme/{name}" for name in "abcdefgh"]
MESSAGES_PER_LANE = 60
WRITERS = 4
SEEDS = 3


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened: Store
    if request.param == "sqlite":
        opened = SqliteStore(str(tmp_path / "outbox.db"))
    else:
        opened = PostgresStore(request.getfixturevalue("postgres_server").create_database())
    await opened.open()
    await opened.migrate([])
    assert await opened.subscribe([Subscription("shop.text")]) == {"shop.text": 1}
    yield opened
    await opened.close()


class Hands:
    """Completes deliveries, or puts lanes on hold, or parks and unparks, as *chance* will have it."""

    def __init__(self, store: Store, chance: random.Random) -> None:
        self.store = store
        self.chance = chance
        self.handled: dict[str, list[tuple[int, str]]] = defaultdict(list)
        """By lane, the rows and messages that were completed, in the order of that."""
        self.put_back: set[str] = set()
        """Messages that were parked: exempt from order."""

    async def deliver(self, due: Due, handler: object, token: str) -> Fate:
        chance = self.chance.random()
        if chance < 0.1:
            wait = timedelta(milliseconds=self.chance.choice([0, 5, 30]))
            attempts = due.attempts + self.chance.choice([0, 1])
            held = await self.store.hold(due, token, attempts=attempts, wait=wait, reason="not now")
            return Held(wait) if held else Lost()
        if chance < 0.12 and due.envelope.id not in self.put_back:
            self.put_back.add(due.envelope.id)
            if not await self.store.park(due, token, attempts=1, reason="never"):
                return Lost()
            for parked in await self.store.parked(TENANT, 100):
                await self.store.unpark(TENANT, parked.id)
            return Kept()
        done = Delivered(due.row, due.bucket, token, due.subscriber, due.lane, due.is_held)
        if not isinstance(await self.store.commit(change(delivered=done)), Done):
            return Lost()
        self.handled[due.lane].append((due.row, due.envelope.id))
        return Kept()

    @property
    def count(self) -> int:
        return sum(len(ids) for ids in self.handled.values())


def a_relay(store: Store, hands: Hands, owner: str) -> Relay:
    return Relay(
        store,
        cast("Delivery", hands),
        {1: cast("Any", None)},
        owner=owner,
        lease=timedelta(milliseconds=200),
        poll_interval=timedelta(milliseconds=10),
        deliveries_max=8,
        rows_max=50,
    )


async def write(store: Store, relays: list[Relay], said: dict[str, list[str]], chance: random.Random) -> None:
    """Promise messages, several at a time, in lanes that are locked while their rows are numbered."""
    while lanes := [lane for lane in LANES if len(said[lane]) < MESSAGES_PER_LANE]:
        chosen = sorted(chance.sample(lanes, min(len(lanes), chance.choice([1, 1, 2, 3]))))
        ids = []
        for lane in chosen:
            ids.append(f"{lane} {len(said[lane])}")
            said[lane].append(ids[-1])
        promises = tuple(Promise(place, 1, lane, bucket_of(lane)) for place, lane in enumerate(chosen))
        messages = tuple(event(lane, id=message_id) for lane, message_id in zip(chosen, ids, strict=True))
        wanted = change(messages=messages, events=len(messages), promises=promises, lanes_locked=tuple(chosen))
        assert isinstance(await store.commit(wanted), Done)
        if chance.random() < 0.5:
            chance.choice(relays).wake()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_each_message_is_handled_once_and_each_lane_in_order_whatever_goes_on(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    hands = Hands(store, chance)
    relays = [a_relay(store, hands, f"worker-{number}") for number in range(2)]
    running = [asyncio.create_task(relay.run()) for relay in relays]
    said: dict[str, list[str]] = defaultdict(list)
    async with asyncio.timeout(60):
        await asyncio.gather(*(write(store, relays, said, chance) for _ in range(WRITERS)))
        # One ends as planned, and another one comes.
        relays[0].stop()
        await running[0]
        relays[0] = a_relay(store, hands, "worker-2")
        running[0] = asyncio.create_task(relays[0].run())
        while await store.undelivered(timedelta(hours=1)):
            for task in running:
                assert not task.done(), task
            await asyncio.sleep(0.02)
    for relay in relays:
        relay.stop()
    await asyncio.gather(*running)
    assert hands.count == len(LANES) * MESSAGES_PER_LANE
    for lane in LANES:
        assert sorted(message_id for _, message_id in hands.handled[lane]) == sorted(said[lane])
        # A lane is locked while its rows are numbered: their order is that of the commits. What is put back is not.
        rows = [row for row, message_id in hands.handled[lane] if message_id not in hands.put_back]
        assert rows == sorted(rows)
    assert hands.put_back
