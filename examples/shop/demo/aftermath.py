"""Steps of the story in which what went wrong is put right: by a person, by providers that come back, by receipts."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from duly import Dispatch, DulyError, EffectFilter, EffectView, Verdict
from examples.shop.demo.facts import Outage
from examples.shop.demo.plan import PERSON, TENANTS, Order, Plan
from examples.shop.demo.stage import NO_ERROR, Stage
from examples.shop.demo.telling import Step
from examples.shop.demo.troubles import FOUND, NOT_FOUND
from examples.shop.sandbox.behaviours import ANYONE, BehaviourName
from examples.shop.sandbox.record import CHANNELS, Channel

T = TypeVar("T")

AWAY: dict[Channel, BehaviourName] = {"sms": "unauthorized", "billing": "unavailable"}
GATEWAYS_AWAY = ("billing", "twilio")
SECONDS_MAX = 15.0
POLL_SECONDS = 0.05


async def settle_in_person(stage: Stage, plan: Plan, step: Step) -> None:
    """Point 12: somebody has looked at the provider, and says what became of an SMS."""
    for order in plan.in_trouble(FOUND, NOT_FOUND):
        effect = await _unknown_sms(stage, order)
        if effect is None:
            continue
        person = stage.app.operate(order.person.tenant, by=PERSON)
        there = [record.provider_id for record in stage.world.recorded("sms") if record.recipient == effect.recipient]
        try:
            await person.settle(effect.id, Verdict.NOT_SENT, reason="")
            stage.facts.error_without_reason = NO_ERROR
        except DulyError as error:
            stage.facts.error_without_reason = type(error).__name__
        if there:
            await person.settle(
                effect.id, Verdict.ACCEPTED, provider_id=there[0], reason="it stands in the provider's log"
            )
        else:
            await person.settle(effect.id, Verdict.NOT_SENT, again=True, reason="the provider's log has nothing of it")
        step.advance()


async def outlast_an_outage(stage: Stage, plan: Plan, step: Step) -> None:
    """Point 13: a provider answers 503 to everybody, the other one refuses our password; then both are well again."""
    for channel, name in AWAY.items():
        stage.world.set_behaviour(channel, ANYONE, name)
    await stage.place(plan.outage, step)
    breakers = await _until(lambda: _breakers(stage), lambda seen: set(seen) >= set(GATEWAYS_AWAY))
    await stage.place(plan.held, step)
    held = await _until(lambda: _held(stage, plan), lambda seen: {effect.channel for effect in seen} >= set(AWAY))
    counted = Counter(effect.channel for effect in held)
    stage.facts.outage = Outage(
        breakers=breakers,
        held={channel: counted[channel] for channel in CHANNELS if counted[channel]},
    )
    for channel in AWAY:
        stage.world.set_behaviour(channel, ANYONE, "ok")


async def hear_every_receipt(stage: Stage) -> None:
    """Point 9: wait until the providers have reported everything, and the ledgers tell it."""

    async def left() -> int:
        return stage.world.pending_receipts() or len(await _untold(stage))

    await _until(left, lambda seen: seen == 0)


async def _untold(stage: Stage) -> list[EffectView]:
    """Effects that the ledger does not tell to be in any state of delivery, though a report of them was taken."""
    reported = {receipt.provider_id for receipt in stage.receipts() if receipt.answer == 204}
    effects = [effect for ledger in (await stage.effects()).values() for effect in ledger]
    return [effect for effect in effects if effect.provider_id in reported and effect.delivery is None]


async def _unknown_sms(stage: Stage, order: Order) -> EffectView | None:
    wanted = EffectFilter(channel="sms", states=(Dispatch.UNKNOWN,), recipient=order.person.phone)
    page = await stage.app.ledger(order.person.tenant).page(wanted)
    return page.effects[0] if page.effects else None


async def _breakers(stage: Stage) -> tuple[str, ...]:
    return tuple(sorted({breaker.gateway for breaker in await stage.app.breakers()}))


async def _held(stage: Stage, plan: Plan) -> list[EffectView]:
    people = {order.person.recipient(channel) for order in plan.held for channel in AWAY}
    wanted = EffectFilter(states=(Dispatch.HELD,))
    found = [await stage.app.ledger(tenant).page(wanted) for tenant in TENANTS]
    # One that has been tried was the probe that asks whether the provider is back.
    return [effect for page in found for effect in page.effects if effect.recipient in people and not effect.attempts]


async def _until(look: Callable[[], Awaitable[T]], is_enough: Callable[[T], bool]) -> T:
    """Look until there is enough to see, or time is up: what was seen last, for the checks to judge."""
    deadline = asyncio.get_running_loop().time() + SECONDS_MAX
    while True:
        seen = await look()
        if is_enough(seen) or asyncio.get_running_loop().time() > deadline:
            return seen
        await asyncio.sleep(POLL_SECONDS)
