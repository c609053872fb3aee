"""The rules of the example shop, and what follows from its commands."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

import pytest

from duly import (
    AggregateNotFound,
    Delivery,
    Dispatch,
    EffectFilter,
    NotSent,
    RuleBroken,
    UniqueViolation,
    Unknown,
    Verdict,
)
from duly.errors import InvalidField, ReadModelNotFound
from examples.shop.customers.messages import CountNewsletterWishes, WishForNewsletter
from examples.shop.ordering.messages import (
    CancelOrder,
    CountOrders,
    ListOrders,
    Money,
    PlaceOrder,
    ReadOrder,
    ReadPurchases,
    ShipOrder,
)
from examples.shop.payments.account import WithinCredit
from examples.shop.payments.messages import CloseAccount, ReadAccount, ReadPayment
from tests.example.running import ORDER, Shop, customer, line, order


def eur(amount: str) -> Money:
    return Money(amount=Decimal(amount))


async def test_an_order_is_placed_paid_and_confirmed_in_one_transaction(shop: Shop) -> None:
    assert await shop.do(order(line(price="39.00", quantity=2))) == "No. 1001"

    placed = await shop.app.ask(ReadOrder(order_id="1001"), tenant="acme")
    payment = await shop.app.ask(ReadPayment(order_id="1001"), tenant="acme")
    owed = await shop.app.ask(ReadAccount(customer_id="ann"), tenant="acme")
    assert (placed.state, placed.total, payment.amount, owed) == ("confirmed", eur("78.00"), eur("78.00"), eur("78.00"))


async def test_two_mails_an_sms_and_an_invoice_follow_from_an_order(shop: Shop) -> None:
    await shop.do(ORDER)

    effects = await shop.effects()
    assert Counter(effect.channel for effect in effects) == {"email": 2, "sms": 1, "billing": 1}
    assert {effect.state.value for effect in effects} == {"accepted"}
    assert shop.calls == 4


async def test_an_order_that_is_clicked_ten_times_at_once_is_one_order(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.do(ORDER, command_id="click") for _ in range(10)))

    assert set(answers) == {"No. 1001"}
    assert await shop.app.ask(CountOrders(customer_id="ann"), tenant="acme") == 1
    assert len(await shop.effects()) == 4


async def test_the_ledger_tells_why_an_sms_was_sent(shop: Shop) -> None:
    await shop.do(ORDER)

    (sms,) = [effect for effect in await shop.effects() if effect.channel == "sms"]
    assert [link.name for link in sms.chain] == [
        "PlaceOrder",
        "OrderPlaced",
        "PaymentCreated",
        "AccountCharged",
        "OrderConfirmed",
        "OrderConfirmedPublic",
    ]
    assert sms.handler == "communications.text_customer"


async def test_an_order_beyond_the_credit_limit_leaves_nothing_behind(shop: Shop) -> None:
    with pytest.raises(RuleBroken, match="would owe more") as broken:
        await shop.do(order(line(price="5000.01", quantity=1)))

    assert broken.value.rule == WithinCredit(account_id="ann", limit=eur("5000"), owed=eur("5000.01"))

    with pytest.raises(AggregateNotFound):
        await shop.app.ask(ReadOrder(order_id="1001"), tenant="acme")
    with pytest.raises(AggregateNotFound):
        await shop.app.ask(ReadPayment(order_id="1001"), tenant="acme")
    assert await shop.effects() == []
    assert shop.calls == 0


@pytest.mark.parametrize("empty", [order(), order(line(quantity=0))], ids=["no line", "none of an article"])
async def test_an_order_of_nothing_is_refused(shop: Shop, empty: PlaceOrder) -> None:
    with pytest.raises(RuleBroken):
        await shop.do(empty)

    assert await shop.effects() == []


async def test_a_cancelled_order_is_paid_back_and_the_customer_told(shop: Shop) -> None:
    await shop.do(ORDER)
    await shop.do(CancelOrder(order_id="1001"))

    assert (await shop.app.ask(ReadOrder(order_id="1001"), tenant="acme")).state == "cancelled"
    assert (await shop.app.ask(ReadPayment(order_id="1001"), tenant="acme")).is_refunded
    assert (await shop.app.ask(ReadAccount(customer_id="ann"), tenant="acme")).amount == 0
    assert "Your order No. 1001 is cancelled" in [effect.summary for effect in await shop.effects()]


async def test_a_mail_about_a_cancellation_that_is_refused_was_never_requested(shop: Shop) -> None:
    await shop.do(ORDER)
    await shop.do(ShipOrder(order_id="1001"))

    with pytest.raises(RuleBroken, match="shipped"):
        await shop.do(CancelOrder(order_id="1001"))

    assert len(await shop.effects()) == shop.calls == 4


async def test_a_rule_broken_three_aggregates_deep_takes_everything_back(shop: Shop) -> None:
    await shop.do(ORDER)
    await shop.do(CloseAccount(customer_id="ann"))

    with pytest.raises(RuleBroken, match="closed"):
        await shop.do(CancelOrder(order_id="1001"))

    assert (await shop.app.ask(ReadOrder(order_id="1001"), tenant="acme")).state == "confirmed"
    assert not (await shop.app.ask(ReadPayment(order_id="1001"), tenant="acme")).is_refunded
    assert len(await shop.effects()) == shop.calls == 4


async def test_two_customers_of_one_tenant_cannot_have_one_address(shop: Shop) -> None:
    with pytest.raises(UniqueViolation):
        await shop.do(customer("twin"))
    await shop.do(customer("twin"), tenant="globex")


async def test_two_tenants_use_the_same_order_ids_and_see_only_their_own(shop: Shop) -> None:
    await shop.do(customer(), tenant="globex")
    await shop.do(ORDER, command_id="click")
    await shop.do(ORDER, command_id="click", tenant="globex")

    acme, globex = await shop.effects("acme"), await shop.effects("globex")
    assert (len(acme), len(globex), shop.calls) == (4, 4, 8)
    assert {effect.id for effect in acme}.isdisjoint(effect.id for effect in globex)


async def test_a_wish_for_the_newsletter_is_a_row_and_a_mail_and_the_second_is_neither(shop: Shop) -> None:
    wish = WishForNewsletter(email="reader@readers.example")
    await shop.do(wish)

    with pytest.raises(RuleBroken):
        await shop.do(wish)

    assert await shop.app.ask(CountNewsletterWishes(), tenant="acme") == 1
    assert await shop.app.ask(CountNewsletterWishes(), tenant="globex") == 0
    assert [effect.recipient for effect in await shop.effects()] == ["reader@readers.example"]


async def test_a_customer_without_a_phone_number_is_turned_away_at_the_door(shop: Shop) -> None:
    with pytest.raises(InvalidField, match="phone"):
        await shop.do(customer("bob", phone="none"))


INSTEAD = "is confirmed"
"""What only the mail says that goes out in the place of an SMS."""


async def test_an_sms_that_is_refused_is_followed_by_a_mail_that_knows_why(shop: Shop) -> None:
    shop.outcomes.append(NotSent(reason="the number is not in use", permanent=True))
    await shop.do(ORDER)

    mail = await shop.effect("email", INSTEAD)
    assert (mail.recipient, mail.state, mail.reference) == ("ann@customers.example", Dispatch.ACCEPTED, "1001")
    assert [link.name for link in mail.chain][-3:] == ["OrderConfirmedPublic", "duly.sms", "duly.effect_failed"]


async def test_an_sms_that_does_not_arrive_is_followed_by_a_mail(shop: Shop) -> None:
    await shop.do(ORDER)
    sms = await shop.effect("sms")
    await shop.report(sms, Delivery.UNDELIVERED)

    mail = await shop.effect("email", INSTEAD)
    assert mail.chain[-1].name == "duly.effect_undelivered"
    assert ((await shop.effect("sms")).state, mail.state) == (Dispatch.ACCEPTED, Dispatch.ACCEPTED)


async def test_an_sms_that_may_have_arrived_is_followed_by_no_mail(shop: Shop) -> None:
    shop.outcomes.append(Unknown(evidence="no answer"))
    await shop.do(ORDER)

    effects = await shop.effects()
    assert [effect.state for effect in effects if effect.channel == "sms"] == [Dispatch.UNKNOWN]
    assert [effect.summary for effect in effects if INSTEAD in effect.summary and effect.channel == "email"] == []


async def test_an_sms_that_is_said_twice_not_to_arrive_is_followed_by_one_mail(shop: Shop) -> None:
    shop.outcomes.append(Unknown(evidence="no answer"))
    await shop.do(ORDER)
    sms = await shop.effect("sms")
    await shop.app.operate("acme", by="support").settle(sms.id, Verdict.NOT_SENT, reason="not in the provider's log")
    await shop.effect("email", INSTEAD)

    await shop.report(sms, Delivery.UNDELIVERED)

    assert (await shop.effect("sms")).delivery is Delivery.UNDELIVERED
    assert (await shop.effect("email", INSTEAD)).chain[-1].name == "duly.effect_failed"


async def test_the_order_list_shows_what_became_of_each_order(shop: Shop) -> None:
    for number in ("1001", "1002", "1003"):
        await shop.do(order(line(), order_id=number))
    await shop.do(CancelOrder(order_id="1002"))
    await shop.do(ShipOrder(order_id="1003"))
    await shop.effects()

    listed = await shop.app.ask(ListOrders(), tenant="acme")
    assert [(one.number, one.state) for one in listed] == [
        ("No. 1001", "confirmed"),
        ("No. 1002", "cancelled"),
        ("No. 1003", "shipped"),
    ]
    assert {(one.customer_id, one.total) for one in listed} == {("ann", eur("78.00"))}
    assert await shop.app.ask(ListOrders(), tenant="globex") == []


async def test_what_a_customer_has_ordered_is_shown_right_after_the_order(shop: Shop) -> None:
    with pytest.raises(ReadModelNotFound):
        await shop.app.ask(ReadPurchases(customer_id="ann"), tenant="acme")
    for number in (1, 2):
        await shop.do(order(line(price="39.00", quantity=2), order_id=f"100{number}"))

        seen = await shop.app.ask(ReadPurchases(customer_id="ann"), tenant="acme")
        assert (seen.orders, seen.total) == (number, eur("78.00") * number)


async def test_an_order_that_is_rolled_back_is_no_purchase(shop: Shop) -> None:
    with pytest.raises(RuleBroken):
        await shop.do(order(line(price="5000.01", quantity=1)))

    with pytest.raises(ReadModelNotFound):
        await shop.app.ask(ReadPurchases(customer_id="ann"), tenant="acme")


async def test_who_texts_may_be_told_the_past_again_and_would_say_nothing_new(shop: Shop) -> None:
    await shop.do(ORDER)
    await shop.effects()

    tried = await shop.app.replay("communications.text_customer", tenant="acme", even_if_heard=True).dry_run()

    assert [(one.type, one.known, one.new, one.differing) for one in tried.effects] == [("duly.sms", 1, 0, 0)]
    assert tried.errors == ()


async def test_everything_that_went_out_about_an_order_is_found_by_its_id(shop: Shop) -> None:
    await shop.do(ORDER)
    await shop.effects()

    found = await shop.app.ledger("acme").page(EffectFilter(reference="1001"))
    assert len(found.effects) == 4
