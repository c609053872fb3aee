"""P6, P7: attempts and their outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from duly import (
    Accepted,
    Aggregate,
    Command,
    Dispatch,
    DomainEvent,
    Effects,
    EffectView,
    Module,
    NotSent,
    Outcome,
    RetrySchedule,
    RuleBroken,
    Sms,
    Unknown,
)
from duly.errors import InvalidField, InvalidInput, NoGateway
from duly.gateways.recording import RecordingGateway
from duly.ports.gateway import Call
from duly.states.attempt import Fault
from tests.scenarios.running import Start, durable, quick_settings

PHONE = "+4915123456789"


class Text(Command[list[str]]):
    texts: list[str]
    keys: list[str] = []
    to: str = PHONE
    then_fail: bool = False


class Noted(DomainEvent):
    text: str


class Note(Aggregate):
    text: str


desk = Module("desk")


@desk.command
async def text(command: Text, effects: Effects) -> list[str]:
    keys: Sequence[str | None] = command.keys or [None] * len(command.texts)
    ids = [
        effects.request(Sms(to=command.to, text=text), key=key) for text, key in zip(command.texts, keys, strict=True)
    ]
    if command.then_fail:
        raise RuleBroken("never mind")
    return ids


def sms(*outcomes: Outcome, live: bool = True, slots: int = 10, waits: int = 3) -> RecordingGateway:
    retry = RetrySchedule((timedelta(milliseconds=1),) * waits)
    return RecordingGateway(Sms, name="sms", channel="sms", outcomes=outcomes, live=live, slots=slots, retry=retry)


def told(effect: EffectView) -> tuple[Dispatch, str, list[str | None]]:
    return effect.state, effect.reason, [attempt.outcome for attempt in effect.attempts]


async def the_effect_after(start: Start, gateway: RecordingGateway, **options: object) -> EffectView:
    running = await start(desk, gateways=[gateway], **options)
    await running.app.execute(Text(texts=["hello"]), tenant="acme")
    await running.quiet()
    (effect,) = await running.effects()
    return effect


async def test_an_accepted_effect_has_the_providers_id_and_one_attempt(start: Start) -> None:
    gateway = sms(Accepted(provider_id="SM1", evidence="201"))
    effect = await the_effect_after(start, gateway)
    assert told(effect) == (Dispatch.ACCEPTED, "", ["accepted"])
    (attempt,) = effect.attempts
    assert (effect.provider_id, attempt.provider_id, attempt.evidence) == ("SM1", "SM1", "201")
    assert attempt.ended_at is not None
    assert effect.requested_at <= attempt.started_at <= attempt.ended_at <= effect.changed_at
    (call,) = gateway.calls
    assert (call.effect_id, call.tenant, call.number) == (effect.id, "acme", 1)


async def test_an_unknown_outcome_stays_unknown_and_is_not_tried_again(start: Start) -> None:
    gateway = sms(Unknown(evidence="connection lost after the request was written"))
    effect = await the_effect_after(start, gateway)
    assert told(effect) == (Dispatch.UNKNOWN, "connection lost after the request was written", ["unknown"])
    assert len(gateway.calls) == 1


async def test_what_was_definitely_not_sent_is_tried_again_with_the_same_key(start: Start) -> None:
    busy = NotSent(reason="503", permanent=False, fault=Fault.PROVIDER)
    gateway = sms(busy, busy)
    effect = await the_effect_after(start, gateway)
    assert told(effect) == (Dispatch.ACCEPTED, "", ["not sent", "not sent", "accepted"])
    assert {call.key for call in gateway.calls} == {effect.id}
    assert len({call.prepared.body for call in gateway.calls}) == 1


async def test_an_effect_fails_when_no_attempt_is_left(start: Start) -> None:
    effect = await the_effect_after(start, sms(*[NotSent(reason="503", permanent=False)] * 9, waits=2))
    assert told(effect) == (Dispatch.FAILED, "no attempt is left: 503", ["not sent"] * 3)


async def test_a_permanent_refusal_fails_at_once(start: Start) -> None:
    effect = await the_effect_after(start, sms(NotSent(reason="21211: invalid number", permanent=True)))
    assert told(effect) == (Dispatch.FAILED, "21211: invalid number", ["not sent"])


async def test_the_gateways_own_fault_holds_the_effect_and_burns_no_attempt(start: Start) -> None:
    wrong = NotSent(reason="401", permanent=False, fault=Fault.GATEWAY)
    gateway = sms(wrong, wrong, wrong, wrong, waits=1)
    effect = await the_effect_after(start, gateway, settings=quick_settings(gateway_hold=timedelta(milliseconds=5)))
    assert told(effect) == (Dispatch.ACCEPTED, "", ["not sent"] * 4 + ["accepted"])


async def test_an_effect_that_is_held_says_why_and_when_it_is_tried_next(start: Start) -> None:
    wrong = NotSent(reason="401", permanent=False, fault=Fault.GATEWAY)
    held = await the_effect_after(start, sms(wrong), settings=quick_settings(gateway_hold=timedelta(hours=1)))
    assert told(held) == (Dispatch.HELD, "401", ["not sent"])
    assert held.next_attempt_at is not None
    assert abs(held.next_attempt_at - held.changed_at - timedelta(hours=1)) < timedelta(seconds=1)


async def test_a_gateway_that_is_not_live_reaches_nobody(start: Start) -> None:
    gateway = sms(live=False)
    effect = await the_effect_after(start, gateway)
    assert told(effect) == (Dispatch.SUPPRESSED, "not live", [])
    assert gateway.calls == []


async def test_a_gateway_that_raises_leaves_the_outcome_unknown(start: Start) -> None:
    def explode(call: Call) -> Outcome:
        raise RuntimeError(f"secret of {call.tenant}")

    effect = await the_effect_after(start, RecordingGateway(Sms, outcomes=explode))
    assert told(effect) == (Dispatch.UNKNOWN, "the gateway raised RuntimeError", ["unknown"])


async def test_a_gateway_that_hangs_leaves_the_outcome_unknown(start: Start) -> None:
    async def hang(call: Call) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    gateway = RecordingGateway(Sms, outcomes=hang, call_timeout=timedelta(milliseconds=50))
    effect = await the_effect_after(start, gateway)
    assert effect.state is Dispatch.UNKNOWN
    assert "no answer within" in effect.reason


@durable
async def test_a_call_under_way_when_the_worker_stops_for_good_is_unknown(start: Start) -> None:
    begun = asyncio.Event()

    async def hang(call: Call) -> Outcome:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    gateway = RecordingGateway(Sms, outcomes=hang, call_timeout=timedelta(minutes=5))
    settings = quick_settings(drain_time_max=timedelta(milliseconds=50))
    running = await start(desk, gateways=[gateway], settings=settings)
    await running.app.execute(Text(texts=["hello"]), tenant="acme")
    await begun.wait()
    await running.app.stop()
    again = await start(desk, worker=False)
    (effect,) = await again.effects()
    assert told(effect) == (Dispatch.UNKNOWN, "the worker was stopped during the call", ["unknown"])


async def test_no_more_calls_are_under_way_than_the_gateway_has_slots(start: Start) -> None:
    under_way = most = 0

    async def count(call: Call) -> Outcome:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(5):
            await asyncio.sleep(0)
        under_way -= 1
        return Accepted(provider_id=call.effect_id)

    gateway = RecordingGateway(Sms, outcomes=count, slots=3)
    running = await start(desk, gateways=[gateway])
    await running.app.execute(Text(texts=[f"n{n}" for n in range(20)]), tenant="acme")
    await running.quiet()
    assert {effect.state for effect in await running.effects()} == {Dispatch.ACCEPTED}
    assert 1 <= most <= 3


async def test_effects_of_a_transaction_that_rolled_back_are_never_attempted(start: Start) -> None:
    gateway = sms()
    running = await start(desk, gateways=[gateway])
    with pytest.raises(RuleBroken):
        await running.app.execute(Text(texts=["a", "b"], then_fail=True), tenant="acme")
    await running.quiet()
    assert (await running.effects(), gateway.calls) == ([], [])


async def test_a_key_of_its_own_names_the_effect_whatever_its_place(start: Start) -> None:
    running = await start(desk, gateways=[sms()])
    (alone,) = await running.app.execute(Text(texts=["b"], keys=["b"]), tenant="acme", command_id="one")
    again = await running.app.execute(Text(texts=["b"], keys=["b"]), tenant="acme", command_id="one")
    _, second = await running.app.execute(Text(texts=["a", "b"], keys=["a", "b"]), tenant="acme", command_id="two")
    assert again == [alone]
    assert second != alone


async def test_the_same_effect_requested_again_with_another_body_is_an_anomaly_not_a_second_sms(start: Start) -> None:
    gateway = sms()
    running = await start(desk, gateways=[gateway])
    await running.app.execute(Text(texts=["a", "b"], keys=["same", "same"]), tenant="acme")
    await running.quiet()
    assert [effect.summary for effect in await running.effects()] == ["a"]
    (anomaly,) = await running.app.ledger("acme").anomalies()
    assert "another body" in anomaly.kind
    assert len(gateway.calls) == 1


async def test_an_effect_without_a_gateway_is_refused_in_the_transaction(start: Start) -> None:
    running = await start(desk, gateways=[])
    with pytest.raises(NoGateway, match="No gateway takes Sms"):
        await running.app.execute(Text(texts=["a"]), tenant="acme")


async def test_the_ledger_is_read_page_by_page_and_by_state(start: Start) -> None:
    running = await start(desk, gateways=[sms(NotSent(reason="no", permanent=True))])
    await running.app.execute(Text(texts=[f"n{n}" for n in range(5)]), tenant="acme")
    await running.quiet()
    ledger = running.app.ledger("acme")
    first = await ledger.effects(rows_max=3)
    rest = await ledger.effects(rows_max=3, after=first[-1].id)
    assert [effect.summary for effect in (*first, *rest)] == ["n4", "n3", "n2", "n1", "n0"]
    assert len(await ledger.effects(state=Dispatch.FAILED)) == 1
    assert await ledger.effects(channel="email") == []
    with pytest.raises(InvalidInput, match="1 to 1,000"):
        await ledger.effects(rows_max=0)


async def test_an_invalid_number_is_refused_by_a_real_gateway_when_it_is_requested(start: Start) -> None:
    from duly.gateways.console import ConsoleSms

    running = await start(desk, gateways=[ConsoleSms()])
    with pytest.raises(InvalidField, match="to"):
        await running.app.execute(Text(texts=["a"], to="123"), tenant="acme")
    await running.quiet()
    assert await running.effects() == []
