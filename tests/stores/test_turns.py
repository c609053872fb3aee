"""Turns at SQLite's writer: first come, first served, units together and open transactions alone."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from duly.stores.sqlite.turns import Turns
from duly.stores.sqlite.unit import Unit


class Order:
    """Who had the writer, one after another."""

    def __init__(self) -> None:
        self.had: list[str] = []
        self.turns = Turns(lambda unit: self.had.append(str(unit.work)))

    def unit(self, name: str) -> Unit[None]:
        """A unit of that name asks."""
        unit = Unit(_Named(name))
        self.turns.give(unit)
        return unit

    def transaction(self, name: str, until: asyncio.Event) -> asyncio.Task[None]:
        """An open transaction of that name asks, and has the writer until then."""

        async def alone() -> None:
            async with self.turns.alone():
                self.had.append(name)
                await until.wait()

        return asyncio.create_task(alone())


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, connection: sqlite3.Connection) -> tuple[None, bool]:
        raise AssertionError("nobody runs it here")

    def __str__(self) -> str:
        return self.name


@pytest.fixture
def order() -> Order:
    return Order()


async def loop_turned() -> None:
    """Everything that is ready has run."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_units_go_to_the_writer_as_they_come(order: Order) -> None:
    order.unit("a")
    order.unit("b")
    assert order.had == ["a", "b"]


async def test_a_transaction_waits_for_the_units_before_it_and_those_after_it_wait_for_its_end(order: Order) -> None:
    end = asyncio.Event()
    order.unit("a")
    order.unit("b")
    transaction = order.transaction("transaction", end)
    await loop_turned()
    order.unit("c")
    order.turns.done(1)
    await loop_turned()
    assert order.had == ["a", "b"]
    order.turns.done(1)
    await loop_turned()
    assert order.had == ["a", "b", "transaction"]
    end.set()
    await transaction
    assert order.had == ["a", "b", "transaction", "c"]


async def test_transactions_and_units_take_turns_in_the_order_in_which_they_asked(order: Order) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    tasks = [order.transaction("first", first)]
    await loop_turned()
    order.unit("a")
    tasks.append(order.transaction("second", second))
    await loop_turned()
    order.unit("b")
    assert order.had == ["first"]
    first.set()
    await loop_turned()
    assert order.had == ["first", "a"]
    order.turns.done(1)
    await loop_turned()
    assert order.had == ["first", "a", "second"]
    second.set()
    await asyncio.gather(*tasks)
    assert order.had == ["first", "a", "second", "b"]


async def test_units_that_never_stop_let_a_transaction_in(order: Order) -> None:
    end = asyncio.Event()
    order.unit("before")
    transaction = order.transaction("transaction", end)
    await loop_turned()
    for number in range(100):
        order.unit(f"{number}")
    order.turns.done(1)
    await loop_turned()
    assert order.had == ["before", "transaction"]
    end.set()
    await transaction
    assert len(order.had) == 102


async def test_transactions_that_never_stop_let_a_unit_in(order: Order) -> None:
    ends = [asyncio.Event() for _ in range(3)]
    tasks = [order.transaction("first", ends[0])]
    await loop_turned()
    order.unit("unit")
    tasks += [order.transaction(name, end) for name, end in zip(("second", "third"), ends[1:], strict=True)]
    await loop_turned()
    ends[0].set()
    await loop_turned()
    assert order.had == ["first", "unit"]
    order.turns.done(1)
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)
    assert order.had == ["first", "unit", "second", "third"]


async def test_who_is_cancelled_while_it_waits_holds_up_nobody(order: Order) -> None:
    end = asyncio.Event()
    first = order.transaction("first", end)
    await loop_turned()
    order.unit("withdrawn").future.cancel()
    cancelled = order.transaction("cancelled", end)
    await loop_turned()
    order.unit("last")
    cancelled.cancel()
    end.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert order.had == ["first", "last"]


async def test_who_is_cancelled_at_the_moment_of_its_turn_gives_it_on(order: Order) -> None:
    async with order.turns.alone():
        cancelled = order.transaction("cancelled", asyncio.Event())
        await loop_turned()
        order.unit("last")
    cancelled.cancel()  # its turn was given already, and it has not taken it yet
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert order.had == ["last"]
