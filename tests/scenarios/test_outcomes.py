"""Outcomes come back into the domain as events."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from duly import (
    Aggregate,
    BreakerTerms,
    Command,
    ConfigurationError,
    Dispatch,
    Duly,
    Effect,
    EffectAccepted,
    EffectCancelled,
    EffectFailed,
    EffectHeld,
    EffectOutcome,
    EffectOutcomeUnknown,
    Effects,
    EffectSuppressed,
    Email,
    Module,
    NotSent,
    Policy,
    Query,
    Repository,
    Sms,
    Unknown,
)
from duly.gateways.recording import RecordingGateway
from duly.states.attempt import Fault
from duly.states.look_up import Found
from tests.scenarios.desk import gateway, keeping
from tests.scenarios.running import Start, quick_settings

REFUSED = NotSent(reason="no such number", permanent=True)
LOST = Unknown(evidence="the line went dead")


class Tell(Command[str], subject="customer_id"):
    order_id: str
    customer_id: str = "ann"
    phone: str = "+491"


class ReadDiary(Query[list[str]]):
    pass


class Diary(Aggregate):
    lines: list[str] = []


desk = Module("desk")


@desk.command
async def tell(command: Tell, effects: Effects) -> str:
    return effects.request(Sms(to=command.phone, text="We have it."), reference=command.order_id)


async def note(diaries: Repository[Diary], event: EffectOutcome, word: str) -> None:
    diary = await diaries.find("all")
    if diary is None:
        diary = Diary(id="all")
        diaries.add(diary)
    diary.lines = [*diary.lines, f"{word} {event.effect_type} {event.reference}: {event.reason}"]


@desk.after_commit
async def fall_back(event: EffectFailed[Sms], effects: Effects, diaries: Repository[Diary]) -> None:
    effects.request(
        Email(to="ann@example.com", subject="Your order", text="We could not text you."), reference=event.reference
    )
    await note(diaries, event, "failed")


@desk.after_commit
async def hear_accepted(event: EffectAccepted, diaries: Repository[Diary]) -> None:
    await note(diaries, event, "accepted")


@desk.after_commit
async def hear_unknown(event: EffectOutcomeUnknown[Sms], diaries: Repository[Diary]) -> None:
    await note(diaries, event, "unknown")


@desk.after_commit
async def hear_held(event: EffectHeld[Sms], diaries: Repository[Diary]) -> None:
    await note(diaries, event, "held")


@desk.after_commit
async def hear_suppressed(event: EffectSuppressed[Sms], diaries: Repository[Diary]) -> None:
    await note(diaries, event, "suppressed")


@desk.query
async def read_diary(query: ReadDiary, diaries: Repository[Diary]) -> list[str]:
    diary = await diaries.find("all")
    return [] if diary is None else diary.lines


def mail() -> RecordingGateway:
    return RecordingGateway(Email, name="mail", channel="email")


async def test_a_refused_sms_falls_back_to_a_mail_that_names_the_same_order(start: Start) -> None:
    app = await start(desk, gateways=[gateway(outcomes=[REFUSED]), mail()])
    await app.app.execute(Tell(order_id="o-1"), tenant="acme")
    await app.quiet()
    views = {view.type: view for view in await app.effects()}
    assert (views["duly.sms"].state, views["duly.email"].state) == (Dispatch.FAILED, Dispatch.ACCEPTED)
    # The mail tells why it was sent: back to the command, through the effect that failed.
    assert [(link.kind, link.name) for link in views["duly.email"].chain] == [
        ("command", "Tell"),
        ("effect", "duly.sms"),
        ("public", "duly.effect_failed"),
    ]
    assert await app.app.ask(ReadDiary(), tenant="acme") == [
        "failed duly.sms o-1: no such number",
        "accepted duly.email o-1: ",
    ]


async def test_outcomes_stay_with_their_tenant(start: Start) -> None:
    app = await start(desk, gateways=[gateway(), mail()])
    await app.app.execute(Tell(order_id="o-1"), tenant="acme")
    await app.app.execute(Tell(order_id="o-2"), tenant="globex")
    await app.quiet()
    assert await app.app.ask(ReadDiary(), tenant="acme") == ["accepted duly.sms o-1: "]
    assert await app.app.ask(ReadDiary(), tenant="globex") == ["accepted duly.sms o-2: "]


async def test_unknown_is_told_once_and_then_what_settled_it(start: Start) -> None:
    sms, sending = keeping(Policy.RECONCILE, outcomes=[LOST], look_up=[Found(provider_id="p-1")])
    app = await start(desk, gateways=[sms, mail()], sending=sending)
    await app.app.execute(Tell(order_id="o-1"), tenant="acme")
    await app.quiet()
    assert await app.app.ask(ReadDiary(), tenant="acme") == [
        "unknown duly.sms o-1: the line went dead",
        "accepted duly.sms o-1: ",
    ]


async def test_what_is_unknown_several_times_is_told_once(start: Start) -> None:
    sms, sending = keeping(Policy.AT_LEAST_ONCE, outcomes=[LOST, LOST, LOST])
    app = await start(desk, gateways=[sms, mail()], sending=sending)
    await app.app.execute(Tell(order_id="o-1"), tenant="acme")
    await app.quiet()
    lines = await app.app.ask(ReadDiary(), tenant="acme")
    assert [line.split()[0] for line in lines] == ["unknown", "accepted"]


async def test_held_is_told_once_however_often_it_is_held(start: Start) -> None:
    wrong = NotSent(reason="HTTP 401", permanent=False, fault=Fault.GATEWAY)
    settings = quick_settings(gateway_hold=timedelta(milliseconds=1))
    app = await start(desk, gateways=[gateway(outcomes=[wrong] * 4), mail()], settings=settings)
    await app.app.execute(Tell(order_id="o-1"), tenant="acme")
    await app.quiet()
    lines = await app.app.ask(ReadDiary(), tenant="acme")
    assert [line.split()[0] for line in lines] == ["held", "accepted"]


async def test_held_by_a_breaker_and_then_by_its_gateway_is_told_once(start: Start) -> None:
    wrong = NotSent(reason="HTTP 401", permanent=False, fault=Fault.GATEWAY)
    busy = NotSent(reason="HTTP 503", permanent=False, fault=Fault.PROVIDER)
    at_once = BreakerTerms(calls_min=1, failures_percent=1, half_open_after=timedelta(milliseconds=100))
    settings = quick_settings(gateway_hold=timedelta(milliseconds=50), breaker=at_once)
    app = await start(desk, gateways=[gateway(outcomes=[busy, wrong, wrong], slots=1), mail()], settings=settings)
    for number in range(3):
        await app.app.execute(Tell(order_id=f"o-{number}"), tenant="acme")
    await app.quiet()
    lines = await app.app.ask(ReadDiary(), tenant="acme")
    told = Counter((line.split()[0], line.split()[2]) for line in lines)
    assert {what for what, _ in told} == {"held", "accepted"}
    assert set(told.values()) == {1}


async def test_suppressed_is_told_with_the_reason(start: Start) -> None:
    app = await start(desk, gateways=[gateway(live=False), mail()])
    await app.app.execute(Tell(order_id="o-1"), tenant="acme")
    await app.quiet()
    assert await app.app.ask(ReadDiary(), tenant="acme") == ["suppressed duly.sms o-1: not live"]


async def test_an_outcome_that_nobody_hears_is_not_written(start: Start) -> None:
    quiet = Module("quiet")
    quiet.command(tell)
    app = await start(quiet, gateways=[gateway()])
    await app.app.execute(Tell(order_id="o-1"), tenant="acme")
    await app.quiet()
    assert (await app.effects())[0].state is Dispatch.ACCEPTED
    assert await app.app.parked("acme") == []


def test_the_root_of_outcomes_and_an_effect_without_gateway_are_mistakes() -> None:
    class Fax(Effect):
        to: str

    module = Module("wrong")

    @module.after_commit
    async def hear_all(event: EffectOutcome) -> None: ...

    with pytest.raises(ConfigurationError, match="the root of all outcomes"):
        Duly(modules=[module], store="memory:", gateways=[mail()])
    another = Module("another")

    async def hear_fax(event: EffectCancelled[Fax]) -> None: ...

    hear_fax.__annotations__["event"] = EffectCancelled[Fax]
    another.after_commit(hear_fax)
    with pytest.raises(ConfigurationError, match="which no gateway takes"):
        Duly(modules=[another], store="memory:", gateways=[mail()])


async def test_a_fall_back_that_falls_back_to_itself_comes_to_an_end_and_is_parked(start: Start) -> None:
    stubborn = Module("stubborn")
    stubborn.command(tell)

    @stubborn.after_commit
    async def again(event: EffectFailed[Sms], effects: Effects) -> None:
        effects.request(Sms(to="+491", text="Once more."), reference=event.reference)

    sms = gateway(outcomes=lambda call: REFUSED)
    app = await start(stubborn, gateways=[sms])
    await app.app.execute(Tell(order_id="o-1"), tenant="acme")
    await app.quiet()
    (parked,) = await app.app.parked("acme")
    assert "consequence number 33 of one command; the limit is 32" in parked.reason
    assert len(sms.calls) == 16


async def test_a_person_who_is_erased_is_erased_from_what_followed_from_an_outcome(start: Start) -> None:
    app = await start(desk, gateways=[gateway(outcomes=[REFUSED]), mail()])
    await app.app.execute(Tell(order_id="o-1"), tenant="acme")
    await app.quiet()
    texts = await app.effects()
    assert [view.recipient for view in texts] == ["ann@example.com", "+491"]
    await app.app.erase("ann", tenant="acme", by="dpo", reason="asked for it")
    assert [view.recipient for view in await app.effects()] == ["[erased]", "[erased]"]
