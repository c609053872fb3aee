"""What a relay and a projection ask of the database, counted exactly: that depends on no machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from duly.messages.identity import BUCKETS
from tests.contract.counted_shop import CountedShop, opened_shop
from tests.contract.counting import Asked, CountedStore, counted_store

ONE = Asked(1, 1)
PACK, LOOK_AWAY = "shop.pack", "shop.look_away"

# On SQLite.
TRANSACTION = 2
"""BEGIN and COMMIT."""
FENCE = 2
"""The bucket's lock, and its token."""


@pytest.fixture(params=["sqlite", "postgres"])
async def counted(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[CountedShop, CountedStore]]:
    """The shop on a store that has been asked everything once: PostgreSQL prepares it then."""
    async with AsyncExitStack() as stack:
        counter = await stack.enter_async_context(counted_store(request, tmp_path, monkeypatch))
        shop = await stack.enter_async_context(opened_shop(counter.store))
        await shop.order("0")
        for due in await shop.due():
            await shop.deliver(due)
        await shop.own()
        await project(shop)
        yield shop, counter


def on(counter: CountedStore, *, sqlite: int, postgres: Asked) -> Asked:
    """What is expected of the store in hand."""
    return Asked(sqlite, 0) if counter.name == "sqlite" else postgres


async def project(shop: CountedShop) -> int:
    """Bring the list of orders up with the log; how far that is."""
    await shop.store.number_commits(100)
    (at,) = await shop.store.projections(("order_list",))
    projector = shop.projector()
    return await projector.project(at, await projector.read(at.position))


async def test_a_delivery_that_writes_a_document_is_one_round_trip(counted: tuple[CountedShop, CountedStore]) -> None:
    shop, counter = counted
    await shop.order("1")
    due = await shop.due_to(PACK)

    # On SQLite the outbox row and the document.
    assert await counter.of(lambda: shop.deliver(due)) == on(counter, sqlite=TRANSACTION + FENCE + 2, postgres=ONE)
    assert due not in await shop.due()


async def test_a_delivery_that_does_nothing_is_one_round_trip(counted: tuple[CountedShop, CountedStore]) -> None:
    shop, counter = counted
    await shop.order("1")
    due = await shop.due_to(LOOK_AWAY)

    assert await counter.of(lambda: shop.deliver(due)) == on(counter, sqlite=TRANSACTION + FENCE + 1, postgres=ONE)


async def test_a_delivery_that_fails_puts_its_lane_on_hold_in_a_transaction(
    counted: tuple[CountedShop, CountedStore],
) -> None:
    shop, counter = counted
    await shop.order("bad-0")
    await shop.deliver(await shop.due_to(LOOK_AWAY))
    await shop.order("bad-1")
    due, undelivered = await shop.due_to(LOOK_AWAY), await shop.undelivered()

    # Under the fence: is the row still there; the hold. BEGIN brings three settings along.
    held = TRANSACTION + FENCE + 2
    assert await counter.of(lambda: shop.deliver(due)) == on(counter, sqlite=held, postgres=Asked(held + 3, held))
    assert due not in await shop.due()
    assert await shop.undelivered() == undelivered


@pytest.mark.parametrize("orders", [1, 10])
async def test_a_claim_of_a_relay_asks_once_however_many_messages_there_are(
    counted: tuple[CountedShop, CountedStore], orders: int
) -> None:
    shop, counter = counted
    for number in range(orders):
        await shop.order(f"more-{number}")
    found: list[int] = []

    async def claim() -> None:
        found.append(len(await shop.due()))

    assert await counter.of(claim) == on(counter, sqlite=1, postgres=ONE)
    assert found == [2 * orders]


async def test_an_idle_poll_of_a_relay_asks_once_and_opens_no_transaction(
    counted: tuple[CountedShop, CountedStore],
) -> None:
    shop, counter = counted
    assert not await shop.due()

    assert await counter.of(shop.due) == on(counter, sqlite=1, postgres=ONE)


async def test_a_worker_that_has_its_buckets_renews_all_of_them_at_once(
    counted: tuple[CountedShop, CountedStore],
) -> None:
    shop, counter = counted

    # Who is there: itself, those that are gone, how many; then what is let go of, what is renewed, what it has.
    renewed = TRANSACTION + 6
    assert await counter.of(shop.own) == on(counter, sqlite=renewed, postgres=Asked(renewed + 3, renewed))
    assert len(shop.tokens) == BUCKETS


@pytest.mark.parametrize("orders", [1, 10])
async def test_a_batch_of_a_projection_is_as_many_round_trips_for_one_event_as_for_ten(
    counted: tuple[CountedShop, CountedStore], orders: int
) -> None:
    shop, counter = counted
    for number in range(orders):
        await shop.order(f"more-{number}")
    await shop.store.number_commits(100)
    (at,) = await shop.store.projections(("order_list",))
    projector = shop.projector()
    reached: list[int] = []

    async def batch() -> None:
        reached.append(await projector.project(at, await projector.read(at.position)))

    asked = await counter.of(batch)

    # The stretch of the log; the checkpoint; SQLite's rows one by one. Afterwards the connection is made as new.
    batch_and_checkpoint = 1 + TRANSACTION + 1
    rows_at_once, reset = ONE, Asked(4, 1)
    assert asked == on(
        counter,
        sqlite=batch_and_checkpoint + orders,
        postgres=ONE.times(batch_and_checkpoint) + rows_at_once + reset,
    )
    assert reached == [at.position + 2 * orders]
