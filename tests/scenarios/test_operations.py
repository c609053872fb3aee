"""What operators do to effects: settle, retry, resend, cancel, release, each with a name and a reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from duly import (
    Accepted,
    Call,
    Carried,
    Command,
    Dispatch,
    Duly,
    EffectAccepted,
    EffectFailed,
    Effects,
    IdempotencyKey,
    Keeps,
    Module,
    NotSent,
    Operated,
    Operations,
    Outcome,
    Plan,
    Policy,
    RetrySchedule,
    Sending,
    Sms,
    Unknown,
    Verb,
    Verdict,
)
from duly.clock import EPOCH
from duly.effects.operations import NAME_CHARACTERS_MAX, REASON_CHARACTERS_MAX
from duly.errors import EffectMoved, EffectNotFound, InvalidInput
from duly.gateways.recording import RecordingGateway
from duly.ports.ledger_view import AuditRow, EffectFilter
from duly.ports.operations import BULK_EFFECTS_MAX, EFFECTS_PER_BATCH_MAX, Aim, Counted, Operation, OperationsWritten
from duly.states.attempt import Fault, Origin
from tests.scenarios.running import Running, Start, durable, quick_settings

PHONE = "+4915123456789"
HOUR = timedelta(hours=1)
LOST = Unknown(evidence="the connection was lost")
BUSY = NotSent(reason="503", permanent=False, fault=Fault.PROVIDER)
REFUSED = NotSent(reason="21211: invalid number", permanent=True)


class Text(Command[list[str]]):
    texts: list[str]
    wait_seconds: int = 0


desk = Module("desk")
heard: list[tuple[str, str]] = []


@desk.command
async def text(command: Text, effects: Effects) -> list[str]:
    wait = timedelta(seconds=command.wait_seconds) if command.wait_seconds else None
    return [effects.request(Sms(to=PHONE, text=text), reference=text, at=wait) for text in command.texts]


@desk.after_commit
async def note_failed(event: EffectFailed[Sms]) -> None:
    heard.append((event.effect_id, event.reason))


@desk.after_commit
async def note_accepted(event: EffectAccepted[Sms]) -> None:
    heard.append((event.effect_id, event.provider_id or ""))


@pytest.fixture(autouse=True)
def _nothing_heard() -> None:
    heard.clear()


def sms(*outcomes: Outcome, waits: Sequence[timedelta] = (), keeps: Keeps = Keeps()) -> RecordingGateway:  # noqa: B008
    return RecordingGateway(
        Sms, name="sms", channel="sms", outcomes=outcomes, retry=RetrySchedule(tuple(waits)), keeps=keeps
    )


async def sent(
    start: Start, gateway: RecordingGateway, *texts: str, wait_seconds: int = 0, **options: Any
) -> tuple[Running, Operations, list[str]]:
    """An application in which texts were sent, an operator's hand in it, and the ids of the effects."""
    running = await start(desk, gateways=[gateway], **options)
    command = Text(texts=list(texts or ["hello"]), wait_seconds=wait_seconds)
    ids = await running.app.execute(command, tenant="acme")
    await running.quiet()
    return running, running.app.operate("acme", by="anna@example.com"), ids


async def state_of(running: Running, effect_id: str) -> Dispatch:
    return (await running.app.ledger("acme").effect(effect_id)).state


VERBS: list[Callable[[Operations, str], Awaitable[Operated]]] = [
    lambda hand, reason: hand.settle("e", Verdict.ACCEPTED, reason=reason),
    lambda hand, reason: hand.retry("e", reason=reason),
    lambda hand, reason: hand.resend("e", reason=reason),
    lambda hand, reason: hand.cancel("e", reason=reason),
    lambda hand, reason: hand.release("e", reason=reason),
]


# Who, and why.


@pytest.mark.parametrize("text", ["", "   ", "two\nlines", "nul \0", "x" * (REASON_CHARACTERS_MAX + 1)])
async def test_every_verb_needs_a_name_and_a_reason_that_say_something(start: Start, text: str) -> None:
    running = await start(desk, worker=False)
    with pytest.raises(InvalidInput, match="printable characters"):
        running.app.operate("acme", by=text[: NAME_CHARACTERS_MAX + 1])
    hand = running.app.operate("acme", by="anna")
    for order in VERBS:
        with pytest.raises(InvalidInput, match="printable characters"):
            await order(hand, text)


async def test_a_right_is_given_per_verb(start: Start) -> None:
    running, _, (effect_id,) = await sent(start, sms(LOST))
    hand = running.app.operate("acme", by="bob", may={Verb.SETTLE})
    for order in VERBS[1:]:
        with pytest.raises(InvalidInput, match=r"bob may not .* What bob may do: settle"):
            await order(hand, "why")
    with pytest.raises(InvalidInput, match="bob may not cancel"):
        await hand.plan(Verb.CANCEL)
    foreign = await running.app.operate("acme", by="anna").plan(Verb.RETRY)
    with pytest.raises(InvalidInput, match="bob may not retry"):
        await hand.carry_out(foreign, reason="why")
    assert (await hand.settle(effect_id, Verdict.ACCEPTED, reason="seen")).after is Dispatch.ACCEPTED


async def test_another_tenants_effect_is_not_found_by_any_verb(start: Start) -> None:
    running, _, (effect_id,) = await sent(start, sms(LOST))
    foreign = running.app.operate("other", by="mallory")
    orders = [
        foreign.settle(effect_id, Verdict.ACCEPTED, reason="mine"),
        foreign.retry(effect_id, reason="mine"),
        foreign.resend(effect_id, reason="mine", even_if_twice=True),
        foreign.cancel(effect_id, reason="mine"),
        foreign.release(effect_id, reason="mine"),
    ]
    for order in orders:
        with pytest.raises(EffectNotFound, match="Tenant 'other' has no effect"):
            await order
    assert await foreign.audit() == await running.app.operate("acme", by="anna").audit() == []
    plan = await running.app.operate("acme", by="anna").plan(Verb.RETRY)
    with pytest.raises(InvalidInput, match="counted in tenant 'acme'"):
        await foreign.carry_out(plan, reason="mine")


# Settling.


async def test_what_a_person_settles_is_heard_by_the_domain_at_once(start: Start) -> None:
    running, hand, (one, two) = await sent(start, sms(LOST, LOST), "one", "two", settings=quick_settings())
    await hand.settle(one, Verdict.NOT_SENT, reason="not in the provider's list")
    await hand.settle(two, Verdict.ACCEPTED, reason="in the provider's list", provider_id="SM2")
    await running.quiet()
    assert sorted(heard) == sorted([(one, "a person settled it as not sent: not in the provider's list"), (two, "SM2")])
    (row,) = await hand.audit(two)
    assert (row.verb, row.by, row.reason) == ("settle", "anna@example.com", "in the provider's list")


async def test_what_is_settled_already_cannot_be_settled_differently(start: Start) -> None:
    running, hand, (effect_id,) = await sent(start, sms(LOST))
    await hand.settle(effect_id, Verdict.ACCEPTED, reason="seen")
    with pytest.raises(EffectMoved, match=rf"Effect {effect_id} is accepted; settle does not fit that"):
        await running.app.operate("acme", by="bob").settle(effect_id, Verdict.NOT_SENT, reason="not seen")
    assert [row.by for row in await hand.audit()] == ["anna@example.com"]


async def test_what_was_not_sent_may_be_tried_again_and_has_no_provider_id(start: Start) -> None:
    running, hand, (effect_id,) = await sent(start, gateway := sms(LOST))
    with pytest.raises(InvalidInput, match="what was not sent has none"):
        await hand.settle(effect_id, Verdict.NOT_SENT, reason="why", provider_id="SM1")
    with pytest.raises(InvalidInput, match=r"again=True .* needs Verdict.NOT_SENT"):
        await hand.settle(effect_id, Verdict.ACCEPTED, reason="why", again=True)
    await hand.settle(effect_id, Verdict.NOT_SENT, reason="why", again=True)
    await running.quiet()
    assert (await state_of(running, effect_id), len(gateway.calls)) == (Dispatch.ACCEPTED, 2)
    assert gateway.calls[0].key == gateway.calls[1].key


# Retrying.


async def test_an_order_wakes_the_sender_of_this_process(start: Start) -> None:
    """Nothing is polled for an hour: what becomes due is sent because somebody was woken."""
    settings = quick_settings(poll_interval=HOUR, gateway_hold=HOUR)
    held = NotSent(reason="401", permanent=False, fault=Fault.GATEWAY)
    running, hand, (effect_id,) = await sent(start, gateway := sms(held, LOST), settings=settings)
    await hand.release(effect_id, reason="the password is right now")
    await running.quiet()
    assert await state_of(running, effect_id) is Dispatch.UNKNOWN
    await hand.retry(effect_id, reason="they have lost it")
    await running.quiet()
    assert await state_of(running, effect_id) is Dispatch.ACCEPTED
    operated = await hand.resend(effect_id, reason="she deleted it")
    await running.quiet()
    assert await state_of(running, operated.resent_as or "") is Dispatch.ACCEPTED
    assert len(gateway.calls) == 4
    assert heard == [(effect_id, "sms-3"), (operated.resent_as, "sms-4")]


async def test_a_retry_against_the_policy_is_marked_and_makes_no_other_attempt_follow(start: Start) -> None:
    running, hand, (effect_id,) = await sent(start, gateway := sms(LOST, LOST, waits=[timedelta()] * 5))
    await hand.retry(effect_id, reason="they have lost it")
    await running.quiet()
    view = await running.app.ledger("acme").effect(effect_id)
    assert (view.state, view.unsettled, view.next_step) == (Dispatch.UNKNOWN, 2, None)
    assert [(one.origin, one.possible_duplicate) for one in view.attempts] == [
        (Origin.SCHEDULED, False),
        (Origin.MANUAL, True),
    ]
    assert len(gateway.calls) == 2


async def test_a_spent_schedule_refuses_no_order_and_is_not_begun_anew_by_one(start: Start) -> None:
    gateway = sms(LOST, LOST, LOST, LOST, waits=[timedelta()])
    sending = [Sending(effect=Sms, policy=Policy.AT_LEAST_ONCE)]
    running, hand, (effect_id,) = await sent(start, gateway, sending=sending)
    assert len(gateway.calls) == 2
    for number in (3, 4):
        await hand.retry(effect_id, reason="once more")
        await running.quiet()
        assert (await state_of(running, effect_id), len(gateway.calls)) == (Dispatch.UNKNOWN, number)


async def test_an_order_takes_the_place_of_a_scheduled_attempt(start: Start) -> None:
    gateway = sms(BUSY, BUSY, waits=[HOUR * 300])
    running, hand, (effect_id,) = await sent(start, gateway)
    assert await state_of(running, effect_id) is Dispatch.QUEUED
    await hand.retry(effect_id, reason="they are back")
    await running.quiet()
    assert (await state_of(running, effect_id), len(gateway.calls)) == (Dispatch.FAILED, 2)


async def test_a_retry_under_a_good_key_is_no_possible_duplicate(start: Start) -> None:
    keeps = Keeps(key=IdempotencyKey(lifetime=timedelta(hours=24)))
    running, hand, (effect_id,) = await sent(start, sms(LOST, keeps=keeps))
    operated = await hand.retry(effect_id, reason="now")
    await running.quiet()
    view = await running.app.ledger("acme").effect(effect_id)
    assert (view.state, operated.possible_duplicate) == (Dispatch.ACCEPTED, False)
    assert [one.possible_duplicate for one in view.attempts] == [False, False]


# Sending again.


async def test_what_is_sent_again_names_the_old_one_and_has_a_key_of_its_own(start: Start) -> None:
    running, hand, (effect_id,) = await sent(start, gateway := sms(REFUSED))
    operated = await hand.resend(effect_id, reason="the number is right now")
    await running.quiet()
    old, new = [await running.app.ledger("acme").effect(one) for one in (effect_id, operated.resent_as or "")]
    assert (old.state, new.state, new.resend_of) == (Dispatch.FAILED, Dispatch.ACCEPTED, effect_id)
    first, second = gateway.calls
    assert first.prepared == second.prepared
    assert (first.key, second.key) == (effect_id, new.id)
    assert [link.name for link in new.chain] == ["Text", "duly.sms"]


@durable
async def test_two_processes_that_are_asked_for_the_same_generation_send_it_once(start: Start) -> None:
    running, _, (effect_id,) = await sent(start, gateway := sms(REFUSED))
    other = await start(desk, gateways=[sms()], worker=False)
    hands = [one.app.operate("acme", by=f"person {n}") for n, one in enumerate((running, other) * 4)]
    made = await asyncio.gather(*(hand.resend(effect_id, reason="again", generation=1) for hand in hands))
    await running.quiet()
    assert len({one.resent_as for one in made}) == 1
    assert len(gateway.calls) == 2
    assert len(await hands[0].audit(effect_id)) == 1


@pytest.mark.parametrize("generation", [0, -1])
async def test_a_generation_is_counted_from_one(start: Start, generation: int) -> None:
    running = await start(desk, worker=False)
    with pytest.raises(InvalidInput, match="generation 1"):
        await running.app.operate("acme", by="anna").resend("e", reason="why", generation=generation)


# Cancelling.


async def test_a_cancelled_effect_is_never_attempted(start: Start) -> None:
    running, hand, (effect_id,) = await sent(start, gateway := sms(), wait_seconds=3_600)
    await hand.cancel(effect_id, reason="the order was withdrawn")
    await running.quiet(within=2 * HOUR)
    view = await running.app.ledger("acme").effect(effect_id)
    assert (view.state, view.reason) == (Dispatch.CANCELLED, "a person cancelled it: the order was withdrawn")
    assert gateway.calls == []
    with pytest.raises(EffectMoved, match=r"is cancelled; cancel does not fit that\. It was not sent, .*resend"):
        await hand.cancel(effect_id, reason="again")


# Many at once.


async def test_a_plan_counts_first_and_is_carried_out_on_exactly_what_it_counted(start: Start) -> None:
    is_wrong = [True]

    def outcome(call: Call) -> Outcome:
        return REFUSED if is_wrong else Accepted(provider_id=call.key)

    gateway = RecordingGateway(Sms, name="sms", channel="sms", outcomes=outcome)
    running, hand, ids = await sent(start, gateway, "a", "b", "c", "d")
    plan = await hand.plan(Verb.RESEND, EffectFilter(states=(Dispatch.FAILED,)))
    assert (plan.count, plan.by_state, plan.by_type) == (4, (("failed", 4),), (("duly.sms", 4),))
    assert plan.by_gateway == (("sms", 4),)
    assert plan.oldest is not None
    assert plan.newest is not None
    assert plan.oldest <= plan.newest
    assert len(gateway.calls) == 4
    (later,) = await running.app.execute(Text(texts=["e"]), tenant="acme")
    await running.quiet()
    is_wrong.clear()
    await hand.resend(ids[1], reason="this one first")
    carried = await hand.carry_out(plan, reason="the number plan was wrong")
    await running.quiet()
    assert (carried.total, len(carried.operated)) == (4, 3)
    assert [(one.effect_id, one.reason[:23]) for one in carried.passed_over] == [(ids[1], "was sent again already,")]
    assert len(gateway.calls) == 4 + 1 + 1 + 3
    assert await hand.audit(later) == []
    rows = [row for effect_id in ids for row in await hand.audit(effect_id)]
    assert len(rows) == 4
    assert sum(plan.token in row.detail for row in rows) == 3


async def test_a_plan_that_is_carried_out_twice_or_made_twice_does_nothing_twice(start: Start) -> None:
    running, hand, ids = await sent(start, gateway := sms(*[REFUSED] * 3), "a", "b", "c")
    failed = EffectFilter(states=(Dispatch.FAILED,))
    plan = await hand.plan(Verb.RESEND, failed)
    stored = msgspec.json.decode(msgspec.json.encode(plan), type=Plan)
    assert stored == plan
    for expected in (3, 0):
        carried = await hand.carry_out(stored, reason="again")
        assert (len(carried.operated), len(carried.passed_over)) == (expected, 3 - expected)
        await running.quiet()
    assert (await hand.plan(Verb.RESEND, failed)).count == 0
    assert len(gateway.calls) == 6
    assert len(await hand.audit()) == 3
    assert len(ids) == 3


async def test_a_large_plan_goes_in_batches_and_tells_how_far_it_is(start: Start) -> None:
    number = 2 * EFFECTS_PER_BATCH_MAX + 50
    running, hand, _ = await sent(start, sms(), *(f"n{n}" for n in range(number)), wait_seconds=3_600)
    plan = await hand.plan(Verb.CANCEL, EffectFilter(channel="sms"))
    assert (plan.count, plan.by_state) == (number, (("scheduled", number),))
    told: list[Carried] = []
    carried = await hand.carry_out(plan, reason="a wrong campaign", on_progress=told.append)
    assert [len(one.operated) for one in told] == [EFFECTS_PER_BATCH_MAX, 2 * EFFECTS_PER_BATCH_MAX, number]
    assert (told[-1], carried.total) == (carried, number)
    assert {view.state for view in await running.effects()} == {Dispatch.CANCELLED}
    rows = await hand.audit(rows_max=1_000)
    assert len(rows) == number
    assert {json.loads(row.detail)["plan"] for row in rows} == {plan.token}


async def test_many_unknown_effects_are_settled_with_one_verdict(start: Start) -> None:
    running, hand, ids = await sent(start, sms(LOST, LOST, REFUSED), "a", "b", "c")
    with pytest.raises(InvalidInput, match="needs a verdict"):
        await hand.plan(Verb.SETTLE)
    with pytest.raises(InvalidInput, match="no other verb takes one"):
        await hand.plan(Verb.CANCEL, verdict=Verdict.ACCEPTED)
    plan = await hand.plan(Verb.SETTLE, verdict=Verdict.NOT_SENT, again=True)
    assert plan.count == 2
    await hand.carry_out(plan, reason="their log has none of them")
    await running.quiet()
    states = [await state_of(running, effect_id) for effect_id in ids]
    assert states == [Dispatch.ACCEPTED, Dispatch.ACCEPTED, Dispatch.FAILED]


async def test_sending_many_again_names_their_states(start: Start) -> None:
    running = await start(desk, worker=False)
    with pytest.raises(InvalidInput, match="everything that the tenant ever sent"):
        await running.app.operate("acme", by="anna").plan(Verb.RESEND)


class CrowdedStore:
    """A store in which more effects match than one plan may count."""

    async def operate(self, operation: Operation, aims: Sequence[Aim], keeps: Mapping[str, Keeps]) -> OperationsWritten:
        raise AssertionError("nothing is done by counting")

    async def count_for(self, tenant: str, verb: Verb, wanted: EffectFilter, rows_max: int) -> list[Counted]:
        one = Counted(effect_id="e", moves=0, state=Dispatch.HELD, type="duly.sms", gateway="sms", requested_at=EPOCH)
        return [one] * rows_max

    async def audit(self, tenant: str, *, effect_id: str | None, rows_max: int) -> list[AuditRow]:
        return []


async def test_a_plan_over_the_limit_is_refused_with_what_to_do() -> None:
    def nothing_done(promised: bool, due: bool) -> None:
        raise AssertionError((promised, due))

    hand = Operations(CrowdedStore(), "acme", by="anna", keeps={}, on_done=nothing_done)
    with pytest.raises(InvalidInput, match=f"More than {BULK_EFFECTS_MAX:,} effects match.*narrow the filter"):
        await hand.plan(Verb.CANCEL)


async def test_an_application_that_is_not_started_operates_on_nothing() -> None:
    app = Duly(modules=[desk], store="memory:", gateways=[sms()])
    with pytest.raises(Exception, match="not started"):
        app.operate("acme", by="anna")
