"""What claims are measured with: messages and effects that are due, whatever else lies in the database."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

from benchmarks.measured import Stopwatch
from benchmarks.subjects.baskets import LINES_PER_BASKET, FillBaskets, Packing, baskets
from benchmarks.subjects.notices import EFFECTS_PER_COMMAND, GATEWAY, TENANT, Calls, Notify, in_process, notices
from duly import Dispatch, Duly
from duly.ports.ledger import Claimed, Turn
from duly.ports.store import Store, Subscription
from duly.runtime.store_url import store_from_url
from duly.testing.store_exam import claim, due_rows, ended

WAITING: Final = 1_000
"""How many messages wait in the outbox."""
RELAY_ROWS: Final = 100
SENDER_SLOTS: Final = 10
LEASE: Final = timedelta(minutes=5)


def application(url: str) -> Duly:
    """Baskets, whose lines are promised to a subscriber, and notices, which go to a gateway."""
    modules = [baskets(Packing(0)), notices]
    return Duly(modules=modules, store=url, gateways=[in_process(Calls(0))], worker=False)


async def promise(url: str) -> None:
    """Put `WAITING` messages into the outbox."""
    async with application(url) as app:
        await app.execute(FillBaskets(first=0, count=WAITING // LINES_PER_BASKET), tenant=TENANT)


async def request(url: str, effects: int) -> None:
    """Put so many effects into the ledger that are due now."""
    async with application(url) as app:
        for first in range(0, effects, EFFECTS_PER_COMMAND):
            await app.execute(Notify(first=first, count=min(EFFECTS_PER_COMMAND, effects - first)), tenant=TENANT)


async def claim_all(url: str, claims: int) -> tuple[Stopwatch, list[float], int, int]:
    """So many claims of a relay, and as many of a sender, by turns; how long each took, and what they brought."""
    store = store_from_url(url)
    await store.open()
    try:
        subscribers = list((await store.subscribe([Subscription("baskets.pack")])).values())
        await _of_relay(store, subscribers)
        await store.due_gateways()
        waits: list[float] = []
        messages = effects = 0
        in_hand: list[Claimed] = []
        with Stopwatch() as watch:
            for _ in range(claims):
                begun = time.perf_counter()
                messages += await _of_relay(store, subscribers)
                between = time.perf_counter()
                in_hand = await claim(store, SENDER_SLOTS, gateway=GATEWAY, lease=LEASE)
                waits += [between - begun, time.perf_counter() - between]
                effects += len(in_hand)
                await _end(store, in_hand)
        return watch, waits, messages, effects
    finally:
        await store.close()


async def _of_relay(store: Store, subscribers: list[int]) -> int:
    return len(await due_rows(store, subscribers, rows_max=RELAY_ROWS))


async def _end(store: Store, in_hand: list[Claimed]) -> None:
    accepted = [ended(one, Dispatch.ACCEPTED, provider_id=f"p-{one.effect_id}") for one in in_hand]
    await store.turn(Turn(ended=tuple(accepted)))
