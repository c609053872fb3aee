"""`duly.testing.scenario`: whole modules, from a command to what was sent, with a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from duly import (
    Aggregate,
    Command,
    Commands,
    DomainEvent,
    Effects,
    Module,
    NotSent,
    PublicEvent,
    Query,
    Repository,
    RuleBroken,
    Sms,
)
from duly.testing.scenario import Scenario


class PlaceOrder(Command[str]):
    order_id: str
    phone: str


class RemindOf(Command):
    order_id: str


class OrderPlaced(DomainEvent):
    order_id: str
    phone: str


class NobodyHears(DomainEvent):
    order_id: str


class OrderPlacedPublic(PublicEvent):
    order_id: str


class CountReminders(Query[int]):
    order_id: str


class Order(Aggregate):
    phone: str
    reminders: int = 0


shop = Module("shop")


@shop.command
async def place_order(command: PlaceOrder, orders: Repository[Order], commands: Commands) -> str:
    if command.order_id.startswith("x"):
        raise RuleBroken("No order begins with x.")
    order = Order(id=command.order_id, phone=command.phone)
    order.record(OrderPlaced(order_id=order.id, phone=order.phone))
    order.record(NobodyHears(order_id=order.id))
    orders.add(order)
    commands.send(RemindOf(order_id=order.id), at=timedelta(days=3))
    return order.id


@shop.publishes
def order_placed(event: OrderPlaced) -> OrderPlacedPublic:
    return OrderPlacedPublic(order_id=event.order_id)


@shop.after_commit
async def text_customer(event: OrderPlaced, effects: Effects) -> None:
    effects.request(Sms(to=event.phone, text=f"We have your order {event.order_id}."))


@shop.command
async def remind(command: RemindOf, orders: Repository[Order], effects: Effects) -> None:
    order = await orders.get(command.order_id)
    order.reminders += 1
    effects.request(Sms(to=order.phone, text=f"Remember {order.id}."))


@shop.query
async def count(query: CountReminders, orders: Repository[Order]) -> int:
    return (await orders.get(query.order_id)).reminders


PHONE = "+4915123456789"
CONFIRMED = Sms(to=PHONE, text="We have your order o-1.")


@pytest.fixture
async def running() -> AsyncIterator[Scenario]:
    async with Scenario(shop, effects=[Sms]) as scenario:
        yield scenario


async def test_it_tells_what_followed_from_a_command(running: Scenario) -> None:
    happened = await running.when(PlaceOrder(order_id="o-1", phone=PHONE))
    assert happened.result == "o-1"
    assert happened.recorded == [OrderPlaced(order_id="o-1", phone=PHONE), NobodyHears(order_id="o-1")]
    assert happened.published == [OrderPlacedPublic(order_id="o-1")]
    assert happened.commanded == [RemindOf(order_id="o-1")]
    assert happened.requested == [CONFIRMED]
    assert happened.sent == [CONFIRMED]
    assert happened.of(Sms) == [CONFIRMED]


async def test_what_was_given_is_not_told_again(running: Scenario) -> None:
    await running.given(PlaceOrder(order_id="o-1", phone=PHONE))
    happened = await running.when(PlaceOrder(order_id="o-2", phone=PHONE))
    assert [event.order_id for event in happened.of(OrderPlaced)] == ["o-2"]
    assert len(happened.sent) == 1


async def test_a_refused_command_leaves_nothing(running: Scenario) -> None:
    with pytest.raises(RuleBroken):
        await running.when(PlaceOrder(order_id="x-1", phone=PHONE))
    happened = await running.time_goes_by(timedelta(days=30))
    assert (happened.recorded, happened.commanded, happened.requested) == ([], [], [])


async def test_a_repeated_command_makes_nothing_happen(running: Scenario) -> None:
    await running.when(PlaceOrder(order_id="o-1", phone=PHONE), command_id="click")
    happened = await running.when(PlaceOrder(order_id="o-1", phone=PHONE), command_id="click")
    assert happened.result == "o-1"
    assert (happened.recorded, happened.requested, happened.sent) == ([], [], [])


async def test_its_clock_is_turned_by_hand(running: Scenario) -> None:
    await running.given(PlaceOrder(order_id="o-1", phone=PHONE))
    assert (await running.time_goes_by(timedelta(days=2))).requested == []
    assert await running.ask(CountReminders(order_id="o-1")) == 0
    assert (await running.time_goes_by(timedelta(days=1))).sent == [Sms(to=PHONE, text="Remember o-1.")]
    assert await running.ask(CountReminders(order_id="o-1")) == 1


async def test_what_the_provider_refuses_was_requested_and_not_sent() -> None:
    refused = [NotSent(reason="no such number", permanent=True)]
    async with Scenario(shop, effects=[Sms], outcomes=refused) as running:
        happened = await running.when(PlaceOrder(order_id="o-1", phone=PHONE))
    assert happened.requested == [CONFIRMED]
    assert happened.sent == []
