"""P1 to P3, P6, P8, P10: one command and what follows from it."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from duly import CommandIdReused, Dispatch, InvalidField, RuleBroken
from duly.errors import EffectNotFound, InvalidTenant
from tests.scenarios.running import Start
from tests.scenarios.shop import CancelOrder, ChangeTotal, PlaceOrder, RecordVisit, VisitsOf


async def test_an_order_makes_a_payment_points_an_email_and_an_sms(start: Start) -> None:
    shop = await start()
    number = await shop.app.execute(PlaceOrder(order_id="42"), tenant="acme")
    await shop.quiet()
    assert number == "N-42"
    effects = await shop.effects()
    assert {(effect.type, effect.state) for effect in effects} == {
        ("duly.sms", Dispatch.ACCEPTED),
        ("duly.email", Dispatch.ACCEPTED),
    }
    assert len(shop.gateway.calls) == 2


async def test_each_effect_tells_the_chain_of_its_causes_back_to_the_command(start: Start) -> None:
    shop = await start()
    await shop.app.execute(PlaceOrder(order_id="42"), tenant="acme")
    await shop.quiet()
    chains = {effect.type: [link.name for link in effect.chain] for effect in await shop.effects()}
    assert chains == {
        "duly.sms": ["PlaceOrder", "OrderPlaced", "OrderPlacedPublic"],
        "duly.email": ["PlaceOrder", "OrderPlaced"],
    }
    handlers = {effect.type: effect.handler for effect in await shop.effects()}
    assert handlers == {"duly.sms": "communications.text_customer", "duly.email": "payments.create_payment"}


async def test_an_order_whose_payment_is_refused_texts_nobody(start: Start) -> None:
    shop = await start()
    with pytest.raises(RuleBroken, match="pays no bills"):
        await shop.app.execute(PlaceOrder(order_id="42", refuse_payment=True), tenant="acme", command_id="click")
    await shop.quiet()
    assert await shop.effects() == []
    assert shop.gateway.calls == []


async def test_a_command_that_rolled_back_may_run_again_under_the_same_id(start: Start) -> None:
    shop = await start()
    command = ChangeTotal(order_id="42", total=Decimal("3"))
    with pytest.raises(Exception, match="no Order '42'"):
        await shop.app.execute(command, tenant="acme", command_id="click")
    await shop.app.execute(PlaceOrder(order_id="42"), tenant="acme")
    await shop.app.execute(command, tenant="acme", command_id="click")


async def test_the_same_command_ten_times_at_once_is_one_order_and_one_sms(start: Start) -> None:
    shop = await start()
    command = PlaceOrder(order_id="42")
    results = await asyncio.gather(*(shop.app.execute(command, tenant="acme", command_id="click-1") for _ in range(10)))
    await shop.app.execute(command, tenant="acme", command_id="click-1")
    await shop.quiet()
    assert set(results) == {"N-42"}
    assert sorted(effect.type for effect in await shop.effects()) == ["duly.email", "duly.sms"]
    assert len(shop.gateway.calls) == 2


async def test_the_same_command_id_with_another_body_is_refused(start: Start) -> None:
    shop = await start()
    await shop.app.execute(PlaceOrder(order_id="42"), tenant="acme", command_id="click-1")
    with pytest.raises(CommandIdReused, match="'click-1' was used before"):
        await shop.app.execute(PlaceOrder(order_id="43"), tenant="acme", command_id="click-1")


async def test_two_tenants_may_use_the_same_command_id_and_the_same_order_id(start: Start) -> None:
    shop = await start()
    for tenant in ("acme", "globex"):
        await shop.app.execute(PlaceOrder(order_id="42"), tenant=tenant, command_id="click-1")
    await shop.quiet()
    acme, globex = await shop.effects("acme"), await shop.effects("globex")
    assert len(acme) == len(globex) == 2
    assert not {effect.id for effect in acme} & {effect.id for effect in globex}


async def test_an_empty_tenant_is_not_the_tenant_of_the_application(start: Start) -> None:
    shop = await start(tenant="main")
    await shop.app.execute(PlaceOrder(order_id="42"))
    for refused in (
        lambda: shop.app.execute(PlaceOrder(order_id="43"), tenant=""),
        lambda: shop.app.ask(VisitsOf(page="tea"), tenant=""),
        lambda: shop.app.parked(""),
    ):
        with pytest.raises(InvalidTenant):
            await refused()
    with pytest.raises(InvalidTenant):
        shop.app.ledger("")


async def test_a_tenant_cannot_see_another_tenants_effect(start: Start) -> None:
    shop = await start()
    await shop.app.execute(PlaceOrder(order_id="42"), tenant="acme")
    await shop.quiet()
    foreign = (await shop.effects("acme"))[0].id
    with pytest.raises(EffectNotFound):
        await shop.app.ledger("globex").effect(foreign)
    with pytest.raises(InvalidTenant):
        shop.app.ledger()


async def test_an_invalid_phone_number_is_refused_at_the_door_by_the_name_of_its_field(start: Start) -> None:
    shop = await start()
    with pytest.raises(InvalidField, match=r"PlaceOrder\.phone") as caught:
        await shop.app.execute(PlaceOrder(order_id="42", phone="12"), tenant="acme")
    assert caught.value.field == "PlaceOrder.phone"
    await shop.quiet()
    assert shop.gateway.calls == []


async def test_a_shallow_command_runs_sql_and_requests_an_effect_in_one_transaction(start: Start) -> None:
    shop = await start()
    await shop.app.execute(RecordVisit(page="tea", phone="+4915123456789"), tenant="acme")
    await shop.quiet()
    assert await shop.app.ask(VisitsOf(page="tea"), tenant="acme") == 1
    assert await shop.app.ask(VisitsOf(page="tea"), tenant="globex") == 0
    assert [effect.summary for effect in await shop.effects()] == ["You looked at tea."]


async def test_a_removed_order_can_be_placed_again(start: Start) -> None:
    shop = await start()
    await shop.app.execute(PlaceOrder(order_id="42"), tenant="acme")
    await shop.app.execute(CancelOrder(order_id="42"), tenant="acme")
    with pytest.raises(Exception, match="no Order '42'"):
        await shop.app.execute(ChangeTotal(order_id="42", total=Decimal("1")), tenant="acme")
    # Its payment is still there: the cascade refuses a second one, and with it the order.
    with pytest.raises(Exception, match="Payment/42 exists already"):
        await shop.app.execute(PlaceOrder(order_id="42"), tenant="acme")
