"""The shop's processes: a welcome that waits for two events, and an order that is paid by card."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from duly import Delivery, EffectDelivered, EffectFailed, EffectUndelivered, EffectView, NotSent, ProcessView, Sms
from duly.testing.processes import given_process, rejection, timeout
from examples.shop.communications.messages import MailCancellation, SayWelcome, TextCancellation
from examples.shop.communications.welcome import PATIENCE, Welcome
from examples.shop.customers.messages import CustomerRegisteredPublic, RegisterCustomer
from examples.shop.ordering import card_order
from examples.shop.ordering.card_order import CardOrder
from examples.shop.ordering.messages import (
    ConfirmOrder,
    OrderAwaitsPayment,
    OrderCancelled,
    OrderPlacedPublic,
    PlaceOrder,
    ReadOrder,
    RefuseOrder,
)
from examples.shop.payments.messages import CardChargedPublic, ChargeCard, ReadAccount
from tests.example.running import Shop, line, order
from tests.example.test_the_shop import eur

ON_EVERY_STORE = pytest.mark.parametrize("shop", ["memory", "sqlite", "postgres"], indirect=True)

# The welcome, decided.

REGISTERED = CustomerRegisteredPublic(customer_id="bob", name="Bob", phone="+12025550111", may_greet=True)
ORDERED = OrderPlacedPublic(order_id="7", number="No. 7", customer_id="bob", email="b@x.example", total=eur("1"))
WELCOME = SayWelcome(customer_id="bob", number="No. 7", name="Bob", phone="+12025550111")


def test_the_welcome_waits_for_two_events_in_either_order() -> None:
    given_process(Welcome).when(REGISTERED).then(timeouts={"give_up": PATIENCE})
    given_process(Welcome, REGISTERED).when(ORDERED).then(WELCOME, ends=True)
    given_process(Welcome).when(ORDERED).then(timeouts={"give_up": PATIENCE})
    given_process(Welcome, ORDERED).when(REGISTERED).then(WELCOME, ends=True)


def test_it_is_said_once_and_about_the_first_order() -> None:
    second = OrderPlacedPublic(order_id="8", number="No. 8", customer_id="bob", email="b@x.example", total=eur("1"))

    given_process(Welcome, REGISTERED, ORDERED).when(second).then_nothing()
    given_process(Welcome, ORDERED, second).when(REGISTERED).then(WELCOME, ends=True)


def test_it_gives_up_and_what_comes_later_changes_nothing() -> None:
    given_process(Welcome, REGISTERED).when(timeout("give_up")).then(ends=True)
    given_process(Welcome, REGISTERED, timeout("give_up")).when(ORDERED).then_nothing()


def test_who_does_not_agree_is_not_greeted() -> None:
    unwilling = CustomerRegisteredPublic(customer_id="bob", name="Bob", phone="+12025550111")
    given_process(Welcome).when(unwilling).then(ends=True)
    given_process(Welcome, ORDERED).when(unwilling).then(ends=True)


# The welcome, in the running shop.

BOB = RegisterCustomer(
    customer_id="bob", name="Bob", email="bob@customers.example", phone="+12025550111", may_greet=True
)
BOBS = PlaceOrder(order_id="7", customer_id="bob", email=BOB.email, phone=BOB.phone, lines=(line(),))


async def welcomes(shop: Shop) -> list[EffectView]:
    return [effect for effect in await shop.effects() if effect.summary.startswith("Welcome")]


async def process(shop: Shop, manager: type[Welcome] | type[CardOrder], process_id: str) -> ProcessView:
    (found,) = [view for view in await shop.app.processes("acme").page(manager) if view.id == process_id]
    return found


@ON_EVERY_STORE
@pytest.mark.parametrize("commands", [(BOB, BOBS), (BOBS, BOB)], ids=["registers first", "orders first"])
async def test_who_registers_and_orders_is_welcomed_once(
    shop: Shop, commands: tuple[RegisterCustomer | PlaceOrder, ...]
) -> None:
    first, second = commands
    await shop.do(first)
    assert await welcomes(shop) == []

    await shop.do(second)

    (welcome,) = await welcomes(shop)
    assert (welcome.recipient, welcome.state.value) == ("+12025550111", "accepted")
    assert welcome.summary == "Welcome, Bob! Your order No. 7 is your first."
    assert welcome.chain[-1].name == "SayWelcome"
    assert [waiting.message_name for waiting in await shop.app.waiting("acme")] == []


@ON_EVERY_STORE
async def test_a_welcome_that_would_come_too_late_is_not_said(shop: Shop) -> None:
    await shop.do(BOB)
    await shop.effects()
    assert len(await shop.app.waiting("acme")) == 1
    shop.app._store.shift_clock(int((PATIENCE + timedelta(minutes=1)).total_seconds() * 1_000))  # type: ignore[attr-defined]

    assert await welcomes(shop) == []
    assert (await process(shop, Welcome, "bob")).is_ended
    await shop.do(BOBS)

    assert await welcomes(shop) == []


async def test_a_guest_owes_what_they_ordered_also_when_they_register_later(shop: Shop) -> None:
    await shop.do(BOBS)
    await shop.do(BOB)

    assert await shop.app.ask(ReadAccount(customer_id="bob"), tenant="acme") == eur("78.00")


# The order that is paid by card, decided.

AWAITS = OrderAwaitsPayment(
    order_id="7", number="No. 7", customer_id="bob", email=BOB.email, phone=BOB.phone, total=eur("1")
)
CANCELLED = OrderCancelled(order_id="7")
TEXT = TextCancellation(order_id="7", number="No. 7", phone=BOB.phone)
MAIL = MailCancellation(order_id="7", number="No. 7", email=BOB.email)
OUTCOME = {
    "effect_id": "e",
    "effect_type": "duly.sms",
    "channel": "sms",
    "gateway": "twilio",
    "reference": "7",
    "reason": "no such number",
    "provider_id": None,
    "attempts": 1,
}


def test_a_card_is_charged_and_its_order_confirmed() -> None:
    given_process(CardOrder).when(AWAITS).then(ChargeCard(order_id="7"), timeouts={"unpaid": card_order.PATIENCE})
    given_process(CardOrder, AWAITS).when(CardChargedPublic(order_id="7")).then(ConfirmOrder(order_id="7"), ends=True)


def test_an_order_whose_card_is_refused_or_not_charged_in_time_is_refused() -> None:
    given_process(CardOrder, AWAITS).when(rejection(ChargeCard)).then(RefuseOrder(order_id="7"), cancels=["unpaid"])
    given_process(CardOrder, AWAITS).when(timeout("unpaid")).then(RefuseOrder(order_id="7"))
    given_process(CardOrder, AWAITS, timeout("unpaid"), CANCELLED).when(rejection(ChargeCard)).then()


def test_the_customer_is_told_by_a_text_message_and_by_a_mail_if_that_does_not_arrive() -> None:
    cancelled = given_process(CardOrder, AWAITS, rejection(ChargeCard), CANCELLED)

    given_process(CardOrder, AWAITS, rejection(ChargeCard)).when(CANCELLED).then(TEXT)
    cancelled.when(msgspec.convert(OUTCOME, EffectFailed[Sms])).then(MAIL, ends=True)
    cancelled.when(msgspec.convert(OUTCOME, EffectUndelivered[Sms])).then(MAIL, ends=True)
    cancelled.when(msgspec.convert(OUTCOME, EffectDelivered[Sms])).then(ends=True)


# And in the running shop.

CHEAP = order(line(), by_card=True)
DEAR = order(line(price="1000.01", quantity=1), by_card=True)
CANCELLATION = "is cancelled"


@ON_EVERY_STORE
async def test_an_order_that_is_paid_by_card_is_confirmed_and_nothing_is_owed(shop: Shop) -> None:
    await shop.do(CHEAP)

    effects = await shop.effects()
    assert (await shop.app.ask(ReadOrder(order_id="1001"), tenant="acme")).state == "confirmed"
    assert await shop.app.ask(ReadAccount(customer_id="ann"), tenant="acme") == eur("0")
    assert sorted(effect.channel for effect in effects) == ["billing", "email", "email", "sms"]
    assert (await process(shop, CardOrder, "1001")).is_ended


@ON_EVERY_STORE
async def test_an_order_whose_payment_is_refused_is_cancelled_and_the_customer_texted(shop: Shop) -> None:
    await shop.do(DEAR)

    text = await shop.effect("sms", CANCELLATION)
    assert (await shop.app.ask(ReadOrder(order_id="1001"), tenant="acme")).state == "cancelled"
    assert await shop.app.parked("acme") == []
    assert [effect.channel for effect in await shop.effects() if effect.channel == "billing"] == []
    history = await shop.app.processes("acme").history(CardOrder, "1001")
    assert [step.name for step in history.steps[:3]] == [
        "OrderAwaitsPayment",
        "duly.command_rejected",
        "OrderCancelled",
    ]
    assert history.steps[1].heard["rule"] == "WithinCardLimit"

    await shop.report(text, Delivery.DELIVERED)
    await shop.effects()
    assert (await process(shop, CardOrder, "1001")).is_ended


@ON_EVERY_STORE
async def test_if_the_text_message_is_refused_a_mail_tells_of_the_cancellation(shop: Shop) -> None:
    shop.outcomes.append(NotSent(reason="the number is not in use", permanent=True))
    await shop.do(DEAR)

    mail = await shop.effect("email", CANCELLATION)
    assert (mail.recipient, mail.state.value, mail.reference) == ("ann@customers.example", "accepted", "1001")
    assert [link.name for link in mail.chain[-4:]] == [
        "TextCancellation",
        "duly.sms",
        "duly.effect_failed",
        "MailCancellation",
    ]
    assert await shop.app.parked("acme") == []


@ON_EVERY_STORE
async def test_if_the_text_message_does_not_arrive_one_mail_tells_of_it(shop: Shop) -> None:
    await shop.do(DEAR)
    await shop.report(await shop.effect("sms", CANCELLATION), Delivery.UNDELIVERED)

    mail = await shop.effect("email", CANCELLATION)
    assert mail.chain[-2].name == "duly.effect_undelivered"
    assert (await process(shop, CardOrder, "1001")).is_ended
