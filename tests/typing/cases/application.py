"""The application: a command knows its result, a query its answer, a gateway is whatever has its form."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import assert_never, assert_type

from duly import (
    Accepted,
    AttemptView,
    Command,
    Dispatch,
    Duly,
    Effect,
    EffectView,
    Executed,
    Gateway,
    HandlerCall,
    Keeps,
    Link,
    Module,
    NotSent,
    Outcome,
    Proceed,
    Query,
    RetrySchedule,
    Settings,
    Sms,
    TenantLedger,
    Unknown,
    Value,
)
from duly.gateways.console import ConsoleMail, ConsoleSms
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.recording import RecordingGateway
from duly.gateways.smtp import SmtpGateway
from duly.gateways.twilio import TwilioSms
from duly.ports.gateway import Call, Prepared


class Receipt(Value):
    number: int


class Reserve(Command[int]):
    seats: int


class Pay(Command[Receipt | None], name="payments.pay"):
    amount: Decimal


class Cancel(Command):
    order_id: str


class Invoice(Effect):
    order_id: str


class ListOrders(Query[list[str]]):
    pass


class FindOrder(Query[Receipt | None]):
    order_id: str


async def a_command_knows_its_result(app: Duly) -> None:
    assert_type(await app.execute(Reserve(seats=2)), int)
    assert_type(await app.execute(Reserve(seats=2), tenant="acme", command_id="click-1"), int)
    assert_type(await app.execute(Pay(amount=Decimal(1))), Receipt | None)
    assert_type(await app.execute(Cancel(order_id="42")), None)
    assert_type(await app.execute_tracked(Reserve(seats=2)), Executed[int])
    assert_type((await app.execute_tracked(Pay(amount=Decimal(1)))).result, Receipt | None)


async def a_query_knows_its_answer(app: Duly) -> None:
    assert_type(await app.ask(ListOrders()), list[str])
    assert_type(await app.ask(FindOrder(order_id="42"), tenant="acme"), Receipt | None)


async def mistakes_at_the_door_are_seen(app: Duly) -> None:
    await app.execute(ListOrders())  # type: ignore[arg-type]
    await app.ask(Reserve(seats=2))  # type: ignore[arg-type]
    await app.execute(Reserve(seats=2), "acme")  # type: ignore[call-arg]
    await app.execute(Reserve(seats=2), tenant=1)  # type: ignore[arg-type]
    await app.execute(Reserve(seats=2), id="click-1")  # type: ignore[call-arg]
    await app.execute(Sms(to="+49 151 23456789", text=""))  # type: ignore[arg-type]
    text: str = await app.execute(Reserve(seats=2))  # type: ignore[arg-type]
    assert text


async def an_application_is_a_context_of_its_own_type(module: Module) -> None:
    async with Duly(modules=[module], store="memory:", tenant="main") as app:
        assert_type(app, Duly)
        await app.until_quiet(time_max=timedelta(seconds=5))


def an_application_is_wired_by_name(module: Module) -> None:
    Duly([module], "memory:")  # type: ignore[call-arg]
    Duly(modules=[module])  # type: ignore[call-arg]
    Duly(modules=[module], store=1)  # type: ignore[arg-type]
    Duly(modules=["module"], store="memory:")  # type: ignore[list-item]
    Duly(modules=[module], store="memory:", settings={})  # type: ignore[arg-type]
    Duly(modules=[module], store="memory:", settings=Settings(lease=15))  # type: ignore[arg-type]


class Carrier:
    """A gateway of the user's own; it derives from nothing."""

    name = "carrier"
    channel = "sms"
    effects: tuple[type[Effect], ...] = (Sms,)
    live = True
    slots = 1
    call_timeout = timedelta(seconds=1)
    retry = RetrySchedule(())
    keeps = Keeps()

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        return Prepared(recipient="", summary="", content_type="text/plain", body=b"")

    async def open(self) -> None: ...

    async def call(self, call: Call) -> Outcome:
        return Accepted(provider_id=call.key)

    async def close(self) -> None: ...


class Mute:
    """What lacks a gateway's methods."""

    name = "mute"


class Blocking(Carrier):
    def call(self, call: Call) -> Outcome:  # type: ignore[override]
        return Unknown(evidence="")


def every_gateway_has_the_form_of_the_port(
    http: JsonHttpGateway[Invoice], smtp: SmtpGateway, twilio: TwilioSms, module: Module
) -> None:
    gateways: list[Gateway] = [Carrier(), ConsoleSms(), ConsoleMail(), RecordingGateway(Sms), http, smtp, twilio]
    Duly(modules=[module], store="memory:", gateways=gateways)
    Duly(modules=[module], store="memory:", gateways=[Mute()])  # type: ignore[list-item]
    gateways.append(Blocking())  # type: ignore[arg-type]


def outcomes_are_matched_in_full(outcome: Outcome) -> str:
    match outcome:
        case Accepted(provider_id=provider_id):
            return provider_id
        case NotSent(reason=reason):
            return reason
        case Unknown(evidence=evidence):
            return evidence
        case _:
            assert_never(outcome)


def a_forgotten_outcome_is_seen(outcome: Outcome) -> str:  # type: ignore[return]
    match outcome:  # type: ignore[exhaustive-match]
        case Accepted(provider_id=provider_id):
            return provider_id
        case NotSent(reason=reason):
            return reason


async def the_ledger_tells_in_types(app: Duly) -> None:
    ledger = app.ledger("acme")
    assert_type(ledger, TenantLedger)
    for effect in await ledger.effects(state=Dispatch.UNKNOWN):
        assert_type(effect, EffectView)
        assert_type(effect.state, Dispatch)
        assert_type(effect.chain, tuple[Link, ...])
        assert_type(effect.attempts, tuple[AttemptView, ...])
        effect.state = Dispatch.ACCEPTED  # type: ignore[misc]
    await ledger.effects(state="unknown")  # type: ignore[arg-type]


async def middleware(call: HandlerCall, proceed: Proceed) -> object:
    return await proceed()


def not_middleware(call: HandlerCall) -> None: ...


def middleware_is_checked(module: Module) -> None:
    Duly(modules=[module], store="memory:", middleware=[middleware])
    Duly(modules=[module], store="memory:", middleware=[not_middleware])  # type: ignore[list-item]
