"""The walk of one order through the files: three acts, in order, that meet only in rows."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from typing import Final

import pytest

from duly import (
    Aggregate,
    Command,
    Dispatch,
    DomainEvent,
    Duly,
    Effect,
    Effects,
    Module,
    Personal,
    PhoneNumber,
    Repository,
    Settings,
    Sms,
)
from duly.clock import EPOCH
from duly.gateways.recording import RecordingGateway
from duly.ports.gateway import Call, Prepared
from tests.architecture.footsteps import Footsteps

PHONE: Final = "+49 151 23456789"


class PlaceOrder(Command):
    order_id: str
    phone: Personal[PhoneNumber]
    total: Decimal


class OrderPlaced(DomainEvent):
    order_id: str
    phone: Personal[PhoneNumber]
    total: Decimal


class Order(Aggregate):
    total: Decimal


class Payment(Aggregate):
    amount: Decimal


shop = Module("shop")


@shop.command
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
    order = Order(id=command.order_id, total=command.total)
    order.record(OrderPlaced(order_id=order.id, phone=command.phone, total=order.total))
    orders.add(order)


@shop.in_transaction
async def create_payment(event: OrderPlaced, payments: Repository[Payment]) -> None:
    payments.add(Payment(id=event.order_id, amount=event.total))


@shop.after_commit
async def text_customer(event: OrderPlaced, effects: Effects) -> None:
    effects.request(Sms(to=event.phone, text=f"We have your order {event.order_id}."))


class HastyGateway(RecordingGateway):
    """What must not be: it reaches the provider while a handler is still at work."""

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        prepared = super().prepare(effect, effect_id)
        call = Call(effect_id=effect_id, key=effect_id, tenant="acme", number=1, prepared=prepared, requested_at=EPOCH)
        with suppress(StopIteration):
            self.call(call).send(None)
        return prepared


# fmt: off
WALK: Final = [
    "duly.runtime.application:Duly.execute",
    # Act I: one command, one transaction.
    "duly.transaction.command_bus:CommandBus.settle",
    "duly.transaction.door:FieldChecks.check",
    "duly.work.unit_of_work:UnitOfWork.run",
    f"{__name__}:place_order",
    "duly.domain.aggregate:Aggregate.record",
    "duly.work.repository:Repository.add",
    "duly.work.saying:Saying.raise_event",
    f"{__name__}:create_payment",
    "duly.work.unit_of_work:UnitOfWork.commit",
    "duly.stores.sqlite.store:SqliteStore.commit",
    "duly.stores.commit_script:commit_script",
    # The commit. Act II: the promise is kept, in a transaction of its own.
    "duly.delivery.lanes:Lanes.offer",
    "duly.delivery.relay:Relay._deliver",
    "duly.delivery.delivery:Delivery.deliver",
    "duly.messages.catalog:Catalog.decode_all",
    f"{__name__}:text_customer",
    "duly.work.effect_requests:Effects.request",
    "duly.gateways.recording:RecordingGateway.prepare",
    "duly.work.unit_of_work:UnitOfWork.intend",
    "duly.stores.intent_script:write_intent",
    # Leaving the building. Act III: the attempt is on disk before the call.
    "duly.stores.turn_script:claim_script",
    "duly.effects.sender:Sender._attempt",
    "duly.gateways.recording:RecordingGateway.call",
    "duly.states.effect:after_attempt",
    "duly.stores.attempt_ends:_attempt_record",
    # The tenant looks.
    "duly.effects.tenant_view:TenantLedger.effects",
    "duly.stores.view_scripts:effects_script",
]
# fmt: on

FILES: Final = [
    "duly.runtime.application",
    "duly.transaction.command_bus",
    "duly.transaction.door",
    "duly.work.unit_of_work",
    "duly.work.repository",
    "duly.domain.aggregate",
    "duly.work.aggregate_type",
    "duly.stores.sqlite.store",
    "duly.stores.commit_script",
    "duly.delivery.lanes",
    "duly.delivery.delivery",
    "duly.work.effect_requests",
    "duly.gateways.recording",
    "duly.states.effect",
    "duly.effects.tenant_view",
]
"""The files on the way, in the order in which they are first entered; what looks for work is left out."""

ACTS: Final = {
    "I": ("duly.transaction.",),
    "II": ("duly.delivery.delivery:",),
    "III": ("duly.effects.sender:Sender._attempt", "duly.effects.sender:Sender._call"),
}
"""Where each act is at work. What looks for work (relay, sender) runs all the time, in every act."""


async def walk_of_one_order(gateway: RecordingGateway) -> Footsteps:
    """Place one order and wait until its customer was texted."""
    steps = Footsteps("duly", __name__)
    # Nobody polls within the test: each act begins when the one before it has told that there are rows.
    settings = Settings(poll_interval=timedelta(minutes=5))
    with steps.watched():
        async with Duly(modules=[shop], store="memory:", gateways=[gateway], settings=settings) as app:
            await app.until_quiet()
            await steps.begin_when_still()
            await app.execute(PlaceOrder(order_id="42", phone=PHONE, total=Decimal("99.90")), tenant="acme")
            await app.until_quiet()
            (effect,) = await app.ledger("acme").effects()
    assert effect.state is Dispatch.ACCEPTED
    assert [link.name for link in effect.chain] == ["PlaceOrder", "OrderPlaced"]
    return steps


def milestones_of(steps: Footsteps) -> list[str]:
    """The milestones that were passed, in the order of their first passing."""
    return [step for step in steps.first() if step in WALK]


def acts_of(steps: Footsteps) -> list[str]:
    """Which act was at work, from step to step, without repeats."""
    at_work = (act for step in steps.entered for act, places in ACTS.items() if step.startswith(places))
    return [act for act, _ in groupby(at_work)]


@pytest.fixture
async def steps() -> Footsteps:
    return await walk_of_one_order(RecordingGateway(Sms))


async def test_an_order_walks_through_the_files_in_the_order_of_the_story(steps: Footsteps) -> None:
    assert milestones_of(steps) == WALK


async def test_each_act_ends_before_the_next_one_begins(steps: Footsteps) -> None:
    assert acts_of(steps) == ["I", "II", "III"]


async def test_each_file_is_entered_where_the_story_comes_to_it(steps: Footsteps) -> None:
    assert [module for module in steps.modules() if module in FILES] == FILES


async def test_a_gateway_that_is_called_too_early_is_seen_on_the_walk() -> None:
    milestones = milestones_of(await walk_of_one_order(HastyGateway(Sms)))
    assert milestones != WALK
    assert sorted(milestones) == sorted(WALK)


def test_an_act_that_reaches_back_is_seen() -> None:
    steps = Footsteps()
    steps.entered += [
        "duly.transaction.command_bus:CommandBus.settle",
        "duly.delivery.delivery:Delivery.deliver",
        "duly.transaction.command_bus:CommandBus.settle",
    ]
    assert acts_of(steps) == ["I", "II", "I"]
