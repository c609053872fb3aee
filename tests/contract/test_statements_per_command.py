"""What commands and queries ask of the database, counted exactly: that depends on no machine.

On PostgreSQL a commit is one call of a function, whatever it writes (ADR-0010). SQLite is asked for each row.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from duly.testing.store_exam import TENANT
from tests.contract.counted_shop import CountedShop, Deposit, NoteOf, nothing, opened_shop
from tests.contract.counting import Asked, CountedStore, counted_store

ONE = Asked(1, 1)

# On SQLite.
TRANSACTION = 2
"""BEGIN and COMMIT, or ROLLBACK."""
RECEIPT = 1
"""The command's inbox row."""
DOCUMENTS = 2
COMMIT_ROW, MESSAGES, PROMISES = 1, 1, 1
"""Messages are one statement, and promises another, however many there are."""
ORDER = RECEIPT + DOCUMENTS + COMMIT_ROW + MESSAGES + PROMISES


@pytest.fixture(params=["sqlite", "postgres"])
async def counted(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[CountedShop, CountedStore]]:
    """The shop on a store that has been asked everything once: PostgreSQL prepares it then."""
    async with AsyncExitStack() as stack:
        counter = await stack.enter_async_context(counted_store(request, tmp_path, monkeypatch))
        shop = await stack.enter_async_context(opened_shop(counter.store))
        for _ in range(2):
            await shop.order("0")
            await shop.note("0", "asked")
            await shop.app.ask(NoteOf(order_id="0"), tenant=TENANT)
            await shop.app.execute(Deposit(account_id="0"), tenant=TENANT)
        yield shop, counter


def on(counter: CountedStore, *, sqlite: int, postgres: Asked) -> Asked:
    """What is expected of the store in hand."""
    return Asked(sqlite, 0) if counter.name == "sqlite" else postgres


def noting(counter: CountedStore) -> Asked:
    """A command that gets an aggregate and changes it: the reading; then receipt, comparison and document."""
    return on(counter, sqlite=1 + TRANSACTION + RECEIPT + 2, postgres=ONE.times(2))


async def test_a_command_of_two_aggregates_two_events_and_two_promises_is_one_round_trip(
    counted: tuple[CountedShop, CountedStore],
) -> None:
    shop, counter = counted

    assert await counter.of(lambda: shop.order("1")) == on(counter, sqlite=TRANSACTION + ORDER, postgres=ONE)


async def test_an_aggregate_that_is_got_and_changed_is_one_round_trip_more(
    counted: tuple[CountedShop, CountedStore],
) -> None:
    shop, counter = counted

    assert await counter.of(lambda: shop.note("0", "fragile")) == noting(counter)


async def test_a_repeat_of_a_command_is_noticed_in_its_commit(counted: tuple[CountedShop, CountedStore]) -> None:
    shop, counter = counted

    asked = await counter.of(lambda: shop.order("0"))

    # The inbox row that does not go in, and the one that is there instead.
    assert asked == on(counter, sqlite=TRANSACTION + 2, postgres=ONE)


async def test_a_conflict_costs_the_try_that_it_took_back_and_no_more(
    counted: tuple[CountedShop, CountedStore],
) -> None:
    shop, counter = counted

    async def another_is_faster() -> None:
        shop.between = nothing
        await shop.note("0", "first")

    shop.between = another_is_faster
    asked = await counter.of(lambda: shop.note("0", "second"))

    # The reading, the receipt and the comparison, which fails; then the command again. And the one that was faster.
    taken_back = on(counter, sqlite=1 + TRANSACTION + RECEIPT + 1, postgres=ONE.times(2))
    assert asked == taken_back + noting(counter).times(2)
    assert await shop.app.ask(NoteOf(order_id="0"), tenant=TENANT) == "second"


async def test_a_query_of_one_aggregate_asks_once_and_opens_no_transaction(
    counted: tuple[CountedShop, CountedStore],
) -> None:
    shop, counter = counted

    assert await counter.of(lambda: shop.app.ask(NoteOf(order_id="0"), tenant=TENANT)) == on(
        counter, sqlite=1, postgres=ONE
    )


@pytest.mark.parametrize(("account_id", "heads"), [("0", 2), ("new", 1)])
async def test_an_event_is_appended_in_one_round_trip_and_its_stream_read_in_another(
    counted: tuple[CountedShop, CountedStore], account_id: str, heads: int
) -> None:
    shop, counter = counted

    asked = await counter.of(lambda: shop.app.execute(Deposit(account_id=account_id), tenant=TENANT))

    # The stream; then the receipt, the head of the stream (compared, if there is one, and moved), commit and event.
    assert asked == on(counter, sqlite=1 + TRANSACTION + RECEIPT + heads + COMMIT_ROW + 1, postgres=ONE.times(2))


async def test_sixteen_commands_at_once_share_their_commits(counted: tuple[CountedShop, CountedStore]) -> None:
    shop, counter = counted

    async def sixteen(name: str) -> None:
        await asyncio.gather(*(shop.order(f"{name}-{number}") for number in range(16)))

    await sixteen("warm-up")

    # PostgreSQL: each batch takes half of what waits, whoever is quicker: 8, 4, 2, 1 and 1. SQLite: one transaction.
    assert await counter.of(lambda: sixteen("order")) == on(
        counter, sqlite=TRANSACTION + 16 * ORDER, postgres=ONE.times(5)
    )
