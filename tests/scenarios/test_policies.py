"""P7 and P8: what follows from an outcome that is not known, under each policy."""

from __future__ import annotations

from datetime import timedelta

import pytest

from duly import Accepted, Anomaly, Call, Dispatch, EffectView, NotSent, Outcome, Policy, Sending, Sms, Unknown
from duly.gateways.recording import RecordingGateway
from duly.states.attempt import Fault
from duly.states.look_up import Found, LookUpAnswer, NotThere, Unclear
from duly.states.policy import IdempotencyKey, Keeps
from duly.states.retry import RetrySchedule
from tests.scenarios.desk import KEY, LOOK_UP, desk, effect, gateway, keeping, sent, shift_clock, until
from tests.scenarios.running import Running, Start, quick_settings

LOST = Unknown(evidence="the line went dead")
TAKEN = Accepted(provider_id="p-1")
REFUSED = NotSent(reason="no such number", permanent=True)
BUSY = NotSent(reason="busy", permanent=False, fault=Fault.PROVIDER)


async def came_to(
    start: Start, policy: Policy, *outcomes: object, **parts: object
) -> tuple[EffectView, RecordingGateway]:
    """What one text came to at a gateway that answers with *outcomes*."""
    sms, sending = keeping(policy, outcomes=outcomes, **parts)
    app = await start(desk, gateways=[sms], sending=sending)
    await sent(app, "hello")
    await app.quiet()
    return await effect(app), sms


def attempts(view: EffectView) -> list[tuple[str | None, bool]]:
    """Outcome of each attempt, and whether it may have made a second one over there."""
    return [(attempt.outcome, attempt.possible_duplicate) for attempt in view.attempts]


# keyed


async def test_keyed_sends_the_same_bytes_under_the_same_key_until_it_is_known(start: Start) -> None:
    view, sms = await came_to(start, Policy.KEYED, LOST, LOST, TAKEN)
    assert view.state is Dispatch.ACCEPTED
    assert attempts(view) == [("unknown", False), ("unknown", False), ("accepted", False)]
    assert len({(call.key, call.prepared.body) for call in sms.calls}) == 1


async def test_keyed_stays_unknown_when_it_is_refused_after_it_may_have_gone_through(start: Start) -> None:
    view, sms = await came_to(start, Policy.KEYED, LOST, REFUSED)
    assert (view.state, len(sms.calls)) == (Dispatch.UNKNOWN, 2)
    assert "refused when it was tried again: no such number" in view.reason
    assert view.next_attempt_at is None


async def test_keyed_stops_when_no_attempt_is_left_and_calls_a_person(start: Start) -> None:
    sms, sending = keeping(Policy.KEYED, outcomes=[LOST] * 9)
    app = await start(desk, gateways=[sms], sending=sending)
    await sent(app, "hello")
    await app.quiet()
    assert ((await effect(app)).state, len(sms.calls)) == (Dispatch.UNKNOWN, 4)
    (anomaly,) = await app.app.ledger("acme").anomalies()
    assert isinstance(anomaly, Anomaly)
    assert anomaly.kind == "an unknown outcome needs a person"


async def test_keyed_makes_no_call_under_a_key_that_the_provider_has_forgotten(start: Start) -> None:
    slow = RetrySchedule((timedelta(hours=1),) * 3)
    keeps = Keeps(key=IdempotencyKey(lifetime=timedelta(hours=6)))
    sms, sending = keeping(Policy.KEYED, outcomes=[LOST, TAKEN], keeps=keeps, retry=slow)
    app = await start(desk, gateways=[sms], sending=sending)
    await sent(app, "hello")
    await app.quiet()
    # The worker was away for a day: meanwhile the key has gone.
    shift_clock(app, timedelta(days=1))
    await until(lambda: has_reason(app, "the key's lifetime has passed"), "the key is found to be gone")
    view = await effect(app)
    assert (view.state, len(sms.calls), view.next_attempt_at) == (Dispatch.UNKNOWN, 1, None)


async def test_keyed_looks_it_up_when_the_key_has_gone_and_the_provider_can_be_asked(start: Start) -> None:
    slow = RetrySchedule((timedelta(hours=1),) * 3)
    keeps = Keeps(key=IdempotencyKey(lifetime=timedelta(hours=6)), look_up=LOOK_UP)
    found = [Found(provider_id="p-7")]
    sms, sending = keeping(Policy.KEYED, outcomes=[LOST], keeps=keeps, retry=slow, look_up=found)
    app = await start(desk, gateways=[sms], sending=sending)
    await sent(app, "hello")
    await app.quiet()
    shift_clock(app, timedelta(days=1))
    await until(lambda: is_in(app, Dispatch.ACCEPTED), "it is found")
    view = await effect(app)
    assert (view.provider_id, len(sms.calls), len(sms.look_ups)) == ("p-7", 1, 1)


# reconcile


async def test_reconcile_accepts_what_the_provider_has(start: Start) -> None:
    view, sms = await came_to(start, Policy.RECONCILE, LOST, look_up=[Found(provider_id="p-9", evidence="listed")])
    assert (view.state, view.provider_id) == (Dispatch.ACCEPTED, "p-9")
    assert (len(sms.calls), [confirming for _, confirming in sms.look_ups]) == (1, [False])


async def test_reconcile_tries_again_only_when_not_there_is_confirmed(start: Start) -> None:
    view, sms = await came_to(start, Policy.RECONCILE, LOST, TAKEN, look_up=[NotThere(), NotThere()])
    assert view.state is Dispatch.ACCEPTED
    assert [confirming for _, confirming in sms.look_ups] == [False, True]
    # It was settled before it was sent again: nobody got it twice.
    assert attempts(view) == [("unknown", False), ("accepted", False)]


async def test_reconcile_believes_the_second_look_when_the_first_came_too_early(start: Start) -> None:
    answers: list[LookUpAnswer] = [NotThere(), Found(provider_id="p-3")]
    view, sms = await came_to(start, Policy.RECONCILE, LOST, look_up=answers)
    assert (view.state, view.provider_id, len(sms.calls)) == (Dispatch.ACCEPTED, "p-3", 1)


async def test_reconcile_asks_again_when_the_answer_is_unclear(start: Start) -> None:
    sms, sending = keeping(
        Policy.RECONCILE, outcomes=[LOST], look_up=[Unclear(evidence="HTTP 500"), Found(provider_id="p-4")]
    )
    app = await start(desk, gateways=[sms], sending=sending)
    await sent(app, "hello")
    await until(lambda: has_reason(app, "could not be looked up: HTTP 500"), "the first look-up is unclear")
    shift_clock(app, timedelta(hours=1))
    await until(lambda: is_in(app, Dispatch.ACCEPTED), "the second look-up finds it")
    assert len(sms.calls) == 1


async def test_a_look_up_that_raises_changes_nothing(start: Start) -> None:
    def explode(call: object, confirming: bool) -> LookUpAnswer:
        raise ZeroDivisionError

    sms, sending = keeping(Policy.RECONCILE, outcomes=[LOST], look_up=explode)
    app = await start(desk, gateways=[sms], sending=sending)
    await sent(app, "hello")
    await until(lambda: has_reason(app, "the gateway raised ZeroDivisionError"), "the look-up is written down")
    assert ((await effect(app)).state, len(sms.calls)) == (Dispatch.UNKNOWN, 1)


# at_most_once and at_least_once


async def test_at_most_once_stays_unknown_and_sends_nothing_more(start: Start) -> None:
    view, sms = await came_to(start, Policy.AT_MOST_ONCE, LOST, TAKEN)
    assert (view.state, view.reason, len(sms.calls)) == (Dispatch.UNKNOWN, "the line went dead", 1)
    assert view.next_attempt_at is None


async def test_at_least_once_tries_again_and_marks_every_further_attempt(start: Start) -> None:
    view, sms = await came_to(start, Policy.AT_LEAST_ONCE, LOST, BUSY, TAKEN)
    assert (view.state, len(sms.calls)) == (Dispatch.ACCEPTED, 3)
    assert attempts(view) == [("unknown", False), ("not sent", True), ("accepted", True)]


async def test_at_least_once_is_never_failed_while_an_attempt_may_have_gone_through(start: Start) -> None:
    view, sms = await came_to(start, Policy.AT_LEAST_ONCE, LOST, BUSY, BUSY, BUSY)
    assert (view.state, len(sms.calls)) == (Dispatch.UNKNOWN, 4)


async def test_what_was_definitely_not_sent_is_tried_again_under_every_policy(start: Start) -> None:
    for policy in Policy:
        sms, sending = keeping(policy, outcomes=[BUSY, TAKEN], name=f"sms-{policy.value}")
        app = await start(desk, gateways=[sms], sending=sending)
        await sent(app, "hello", tenant=policy.value)
        await app.quiet()
        view = await effect(app, policy.value)
        assert (view.state, attempts(view)) == (Dispatch.ACCEPTED, [("not sent", False), ("accepted", False)])
        await app.app.stop()


# Choosing.


async def test_a_tenant_may_have_its_own_gateway_and_policy(start: Start) -> None:
    ours, theirs = gateway(name="ours", keeps=Keeps(key=KEY)), gateway(name="theirs")
    sending = [
        Sending(effect=Sms, gateway="ours"),
        Sending(effect=Sms, tenant="globex", gateway="theirs", policy=Policy.AT_MOST_ONCE),
    ]
    app = await start(desk, gateways=[ours, theirs], sending=sending)
    await sent(app, "hello")
    await sent(app, "hello", tenant="globex")
    await app.quiet()
    assert [(call.tenant, len(one.calls)) for one in (ours, theirs) for call in one.calls] == [
        ("acme", 1),
        ("globex", 1),
    ]
    assert ((await effect(app)).policy, (await effect(app, "globex")).policy) == (Policy.KEYED, Policy.AT_MOST_ONCE)


@pytest.mark.parametrize(
    ("keeps", "policy", "expected"),
    [
        (Keeps(key=KEY), None, Policy.KEYED),
        (Keeps(look_up=LOOK_UP), None, Policy.RECONCILE),
        (Keeps(receiver_deduplicates=True), None, Policy.AT_LEAST_ONCE),
        (Keeps(), None, Policy.AT_MOST_ONCE),
        (Keeps(key=KEY, look_up=LOOK_UP), Policy.RECONCILE, Policy.RECONCILE),
    ],
)
async def test_without_a_choice_the_strongest_policy_holds_that_the_gateway_can_keep(
    start: Start, keeps: Keeps, policy: Policy | None, expected: Policy
) -> None:
    app = await start(desk, gateways=[gateway(keeps=keeps)], sending=[Sending(effect=Sms, policy=policy)])
    await sent(app, "hello")
    assert (await effect(app)).policy is expected


async def has_reason(app: Running, part: str) -> bool:
    return part in (await effect(app)).reason


async def is_in(app: Running, state: Dispatch) -> bool:
    return (await effect(app)).state is state


class Slow(RecordingGateway):
    """Is not open at once, and knows it."""

    opens_after = 2
    is_open = False

    async def open(self) -> None:
        if self.opens_after:
            self.opens_after -= 1
            raise ConnectionError("no certificates yet")
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def call(self, call: Call) -> Outcome:
        assert self.is_open
        return await super().call(call)

    async def look_up(self, call: Call, *, confirming: bool) -> LookUpAnswer:
        assert self.is_open
        return await super().look_up(call, confirming=confirming)


async def test_nothing_is_called_or_looked_up_before_the_gateway_is_open(start: Start) -> None:
    slow = Slow(
        Sms,
        name="sms",
        channel="sms",
        keeps=Keeps(look_up=LOOK_UP),
        outcomes=[LOST],
        look_up=[Found(provider_id="p-1")],
    )
    settings = quick_settings(gateway_hold=timedelta(milliseconds=5))
    app = await start(desk, gateways=[slow], settings=settings)
    await sent(app, "hello")
    await until(lambda: is_in(app, Dispatch.ACCEPTED), "it is called, and looked up")
    await app.app.stop()
    assert (slow.is_open, len(slow.calls), len(slow.look_ups)) == (False, 1, 1)
