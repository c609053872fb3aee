"""What is decided before a call: times, urgency, turns between tenants, rates, breakers."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from duly import Accepted, Dispatch, InvalidInput, NotSent, Outcome, Policy, Sms, Unknown
from duly.gateways.recording import RecordingGateway
from duly.messages.message import Effect
from duly.ports.gateway import Call, Prepared
from duly.states.allowance import Rate
from duly.states.attempt import Fault, Origin
from duly.states.breaker import BreakerTerms
from duly.states.policy import Keeps
from tests.scenarios.desk import (
    desk,
    effect,
    gateway,
    keeping,
    sent,
    shift_clock,
    until,
)
from tests.scenarios.running import Running, Start, durable, quick_settings

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
DOWN = NotSent(reason="no connection", permanent=False, fault=Fault.PROVIDER)
LOST = Unknown(evidence="the line went dead")
TERMS = BreakerTerms(calls_min=3, half_open_after=timedelta(milliseconds=30))


async def is_in(app: Running, state: Dispatch, tenant: str = "acme") -> bool:
    return all(view.state is state for view in await app.effects(tenant))


# Times.


async def test_a_scheduled_effect_waits_for_its_time(start: Start) -> None:
    sms = gateway()
    app = await start(desk, gateways=[sms])
    await sent(app, "later", after=HOUR)
    await app.quiet()
    view = await effect(app)
    assert (view.state, sms.calls) == (Dispatch.SCHEDULED, [])
    assert view.next_attempt_at == view.requested_at + HOUR
    shift_clock(app, HOUR)
    await until(lambda: is_in(app, Dispatch.ACCEPTED), "it goes out")


async def test_a_time_is_compared_by_the_databases_clock(start: Start) -> None:
    sms = gateway()
    app = await start(desk, gateways=[sms])
    await sent(app, "tomorrow", at=datetime.now(UTC) + 24 * HOUR)
    await app.quiet()
    assert sms.calls == []
    shift_clock(app, 25 * HOUR)
    await until(lambda: is_in(app, Dispatch.ACCEPTED), "it goes out")


async def test_a_time_without_a_zone_is_refused(start: Start) -> None:
    app = await start(desk, gateways=[gateway()])
    with pytest.raises(InvalidInput, match="has no time zone"):
        await sent(app, "when?", at=datetime(2030, 1, 1))


@pytest.mark.parametrize(
    "moment", [{"after": timedelta.max}, {"after": -HOUR}, {"at": datetime.max.replace(tzinfo=UTC)}]
)
async def test_a_time_that_nobody_can_wait_for_is_refused(start: Start, moment: dict[str, Any]) -> None:
    app = await start(desk, gateways=[gateway()])
    with pytest.raises(InvalidInput, match="too far ahead|before the commit|no time to wait for"):
        await sent(app, "when?", **moment)


async def test_an_effect_that_is_no_longer_wanted_expires_and_is_not_sent(start: Start) -> None:
    sms = gateway()
    app = await start(desk, gateways=[sms])
    await sent(app, "code 1234", after=2 * HOUR, expires=HOUR)
    shift_clock(app, HOUR + timedelta(minutes=1))
    await until(lambda: is_in(app, Dispatch.EXPIRED), "it expires")
    shift_clock(app, 2 * HOUR)
    await app.quiet()
    assert ((await effect(app)).reason, sms.calls) == ("its time ran out", [])


async def test_what_may_have_gone_through_stays_unknown_when_its_time_runs_out(start: Start) -> None:
    sms, sending = keeping(Policy.AT_LEAST_ONCE, outcomes=[LOST] * 9, retry=gateway().retry)
    app = await start(desk, gateways=[sms], sending=sending)
    await sent(app, "code 1234", expires=timedelta(milliseconds=1))
    await app.quiet()
    view = await effect(app)
    assert view.state in (Dispatch.UNKNOWN, Dispatch.EXPIRED)
    assert (view.state is Dispatch.UNKNOWN) == bool(sms.calls)


# Whose turn it is.


class OneByOne:
    """Lets calls through one at a time, and remembers their order."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.open = asyncio.Event()

    async def answer(self, call: Call) -> Outcome:
        await self.open.wait()
        self.order.append(f"{call.tenant}:{call.prepared.summary}")
        return Accepted(provider_id=call.key)


async def test_urgent_effects_overtake_those_that_are_not(start: Start) -> None:
    slow = OneByOne()
    app = await start(desk, gateways=[gateway(outcomes=slow.answer, slots=1)])
    await sent(app, *(f"news {number}" for number in range(10)))
    await until(lambda: is_under_way(app), "the first one is under way")
    await sent(app, "code 1234", urgent=True)
    slow.open.set()
    await app.quiet()
    assert slow.order.index("acme:code 1234") == 1


async def test_one_tenants_backlog_does_not_delay_another(start: Start) -> None:
    slow = OneByOne()
    app = await start(desk, gateways=[gateway(outcomes=slow.answer, slots=2)])
    await sent(app, *(f"news {number}" for number in range(60)))
    await until(lambda: is_under_way(app), "the backlog is being worked off")
    await sent(app, "one", "two", "three", tenant="globex")
    slow.open.set()
    await app.quiet()
    assert len(slow.order) == 63
    places = [place for place, one in enumerate(slow.order) if one.startswith("globex")]
    # Two were under way before; then the tenants take turns.
    assert max(places) <= 2 + 2 * 3 + 2, slow.order[:12]


async def test_many_tenants_are_all_served(start: Start) -> None:
    sms = gateway(slots=3)
    app = await start(desk, gateways=[sms])
    for number in range(25):
        await sent(app, "a", "b", tenant=f"tenant-{number:02}")
    await app.quiet()
    assert Counter(call.tenant for call in sms.calls) == {f"tenant-{number:02}": 2 for number in range(25)}


async def is_under_way(app: Running) -> bool:
    return any(view.state is Dispatch.ATTEMPTING for view in await app.effects())


# Rates.


async def test_an_account_is_called_no_faster_than_its_rate(start: Start) -> None:
    sms = gateway(keeps=Keeps(rate=Rate(calls=3, per=HOUR)))
    app = await start(desk, gateways=[sms])
    await sent(app, *"abcdefgh")
    for called in (3, 6, 8):
        await until(lambda called=called: has_sent(app, sms, called), f"{called} were called")  # type: ignore[misc]
        shift_clock(app, HOUR)


async def test_a_tenants_rate_holds_for_its_own_messages_only(start: Start) -> None:
    sms = gateway(keeps=Keeps(tenant_rate=Rate(calls=2, per=HOUR)))
    app = await start(desk, gateways=[sms])
    await sent(app, "x", tenant="globex")
    await sent(app, *"abcde")
    await app.quiet()
    assert Counter(call.tenant for call in sms.calls) == {"acme": 2, "globex": 1}
    waiting = [view for view in await app.effects() if view.state is Dispatch.QUEUED]
    # Each has reserved its own turn: half an hour apart.
    times = sorted(view.next_attempt_at for view in waiting if view.next_attempt_at is not None)
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(waits) == 2
    assert all(abs(wait - HOUR / 2) < SECOND for wait in waits)
    shift_clock(app, 3 * HOUR)
    await until(lambda: has_sent(app, sms, 5), "the rest goes out")


async def test_a_persons_order_that_waits_for_its_turn_stays_a_persons_order(start: Start) -> None:
    sms = gateway(outcomes=[LOST], keeps=Keeps(tenant_rate=Rate(calls=1, per=HOUR)))
    app = await start(desk, gateways=[sms])
    (effect_id,) = await sent(app, "hello")
    await app.quiet()
    await app.app.operate("acme", by="ann").retry(effect_id, reason="the customer never got it")
    await until(lambda: waits_for_its_turn(app), "the order is put off")
    shift_clock(app, 2 * HOUR)
    await until(lambda: has_sent(app, sms, 1, calls_max=2), "it goes out")
    attempts = [(one.origin, one.possible_duplicate) for one in (await effect(app)).attempts]
    assert attempts == [(Origin.SCHEDULED, False), (Origin.MANUAL, True)]


async def waits_for_its_turn(app: Running) -> bool:
    return (await effect(app)).reason == "waits for its turn"


async def has_sent(app: Running, sms: RecordingGateway, count: int, *, calls_max: int | None = None) -> bool:
    calls = [call for call in sms.calls if call.tenant == "acme"]
    assert len(calls) <= (calls_max or count)
    return sum(view.state is Dispatch.ACCEPTED for view in await app.effects()) == count


# Breakers.


class Customers(RecordingGateway):
    """A gateway whose recipients are each a destination of their own."""

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        prepared = super().prepare(effect, effect_id)
        return Prepared(
            recipient=prepared.recipient,
            summary=prepared.summary,
            content_type=prepared.content_type,
            body=prepared.body,
            destination=prepared.recipient,
        )


async def test_a_provider_that_is_away_is_left_alone_and_burns_no_attempts(start: Start) -> None:
    away = True
    answers: Callable[[Call], Outcome] = lambda call: DOWN if away else Accepted(provider_id=call.key)  # noqa: E731
    sms = gateway(outcomes=answers, slots=4)
    app = await start(desk, gateways=[sms], settings=quick_settings(breaker=TERMS))
    await sent(app, *(f"news {number}" for number in range(40)))
    await until(lambda: all_held(app), "the rest is held")
    views = await app.effects()
    assert any("too many calls fail: no connection" in view.reason or "still away" in view.reason for view in views)
    (breaker,) = await app.app.breakers()
    assert (breaker.gateway, breaker.destination) == ("sms", "")
    calls_while_open = len(sms.calls)
    away = False
    await app.quiet()
    views = await app.effects()
    assert {view.state for view in views} == {Dispatch.ACCEPTED}
    assert await app.app.breakers() == []
    assert calls_while_open < 40


async def test_the_gateways_own_fault_holds_everything_until_it_is_mended(start: Start) -> None:
    wrong = True
    refused = NotSent(reason="HTTP 401", permanent=False, fault=Fault.GATEWAY)
    answers: Callable[[Call], Outcome] = lambda call: refused if wrong else Accepted(provider_id=call.key)  # noqa: E731
    sms = gateway(outcomes=answers, slots=2)
    app = await start(desk, gateways=[sms], settings=quick_settings(gateway_hold=timedelta(milliseconds=50)))
    await sent(app, *(f"invoice {number}" for number in range(30)))
    await until(lambda: all_held(app), "all are held")
    wrong = False
    await app.quiet()
    assert {view.state for view in await app.effects()} == {Dispatch.ACCEPTED}
    # A rotated password does not make thirty refusals: one probe at a time asks.
    assert Counter(call.effect_id for call in sms.calls).total() < 60


async def test_one_customers_dead_server_does_not_hold_the_others(start: Start) -> None:
    def answer(call: Call) -> Outcome:
        return DOWN if call.prepared.recipient == "+491" else Accepted(provider_id=call.key)

    sms = Customers(Sms, name="sms", channel="sms", outcomes=answer, retry=gateway().retry)
    terms = BreakerTerms(calls_min=3, half_open_after=HOUR)
    app = await start(desk, gateways=[sms], settings=quick_settings(breaker=terms))
    await sent(app, *(f"a{number}" for number in range(12)), to="+491")
    await until(lambda: has_open_breaker(app, "acme/+491"), "the dead one's breaker opens")
    await sent(app, *(f"b{number}" for number in range(12)), to="+492")
    await app.quiet()
    states = Counter((view.recipient, view.state) for view in await app.effects())
    assert states[("+492", Dispatch.ACCEPTED)] == 12
    assert states[("+491", Dispatch.HELD)] > 0


async def test_the_destination_of_one_tenant_is_none_of_anothers(start: Start) -> None:
    def answer(call: Call) -> Outcome:
        return DOWN if call.tenant == "acme" else Accepted(provider_id=call.key)

    sms = Customers(Sms, name="sms", channel="sms", outcomes=answer, retry=gateway().retry)
    terms = BreakerTerms(calls_min=3, half_open_after=HOUR)
    app = await start(desk, gateways=[sms], settings=quick_settings(breaker=terms))
    await sent(app, *(f"a{number}" for number in range(12)), to="crm")
    await until(lambda: has_open_breaker(app, "acme/crm"), "acme's breaker opens")
    await sent(app, "hello", to="crm", tenant="globex")
    await app.quiet()
    assert (await effect(app, "globex")).state is Dispatch.ACCEPTED


@durable
async def test_a_breaker_is_seen_by_every_process(start: Start) -> None:
    settings = quick_settings(breaker=BreakerTerms(calls_min=3, half_open_after=HOUR))
    first = await start(desk, gateways=[gateway(outcomes=lambda call: DOWN, slots=4)], settings=settings)
    await sent(first, *(f"news {number}" for number in range(20)))
    await until(lambda: has_open_breaker(first, ""), "the breaker opens")
    await first.app.stop()
    other = gateway()
    second = await start(desk, gateways=[other], settings=settings)
    await until(lambda: all_held(second), "the other process holds them too")
    assert other.calls == []


async def has_open_breaker(app: Running, destination: str) -> bool:
    return any(breaker.destination == destination for breaker in await app.app.breakers())


async def all_held(app: Running) -> bool:
    views = await app.effects()
    held = [view for view in views if view.state is Dispatch.HELD]
    return len(held) >= len(views) - 4 and any(await app.app.breakers())
