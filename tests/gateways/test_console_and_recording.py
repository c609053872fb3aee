"""The gateways that reach nobody: one prints, one remembers."""

from __future__ import annotations

import asyncio
import io

import pytest

from duly.errors import ConfigurationError, InvalidMessage, ReceiptRefused
from duly.gateways.console import ConsoleMail, ConsoleSms
from duly.gateways.recording import RecordingGateway
from duly.messages.message import Effect
from duly.messages.standard_effects import Email, Sms
from duly.ports.gateway import Call, Found, LookUpAnswer, NotThere, Receipt, Unclear
from duly.states.attempt import Accepted, NotSent, Outcome, Unknown
from duly.states.delivery import Delivery
from tests.gateways.calls import EFFECT_ID, call_for, send
from tests.gateways.incoming import incoming

SMS = Sms(to="+4915112345678", text="Shipped.\nSee you \x1b[31msoon")
MAIL = Email(to="ann@example.com", subject="Shipped", text="Your order\nwas shipped.")


class Ping(Effect, name="tests.ping"):
    """An effect without an address."""

    count: int


async def test_the_console_prints_one_line_per_message_and_no_control_characters() -> None:
    out = io.StringIO()
    assert isinstance(await send(ConsoleSms(stream=out), SMS), Accepted)
    assert isinstance(await send(ConsoleMail(stream=out), MAIL), Accepted)
    assert out.getvalue() == (
        "[console-sms] to +4915112345678: Shipped. See you [31msoon\n"
        "[console-mail] to ann@example.com: Shipped – Your order was shipped.\n"
    )


async def test_the_console_prints_to_the_standard_output_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    await send(ConsoleSms(), SMS)
    assert capsys.readouterr().out.startswith("[console-sms] to +4915112345678: Shipped.")


def test_the_console_takes_only_its_own_effects() -> None:
    with pytest.raises(InvalidMessage):
        ConsoleSms().prepare(MAIL, EFFECT_ID)
    with pytest.raises(InvalidMessage):
        ConsoleMail().prepare(SMS, EFFECT_ID)


async def test_a_recording_gateway_remembers_its_calls_and_accepts() -> None:
    gateway = RecordingGateway(Sms, Ping)
    assert await gateway.call(call_for(gateway, SMS)) == Accepted(provider_id="recording-1")
    assert await gateway.call(call_for(gateway, Ping(count=3))) == Accepted(provider_id="recording-2")
    assert [call.prepared.recipient for call in gateway.calls] == ["+4915112345678", ""]
    assert gateway.calls[1].prepared.body == b'{"count":3}'


async def test_a_recording_gateway_answers_by_its_script_and_then_accepts() -> None:
    script: list[Outcome] = [Unknown(evidence="lost"), NotSent(reason="down", permanent=False)]
    gateway = RecordingGateway(Sms, outcomes=script)
    outcomes = [await gateway.call(call_for(gateway, SMS)) for _ in range(3)]
    assert outcomes == [*script, Accepted(provider_id="recording-3")]


async def test_a_recording_gateway_answers_by_a_function_that_may_wait_or_raise() -> None:
    let_go = asyncio.Event()

    async def wait(call: Call) -> Outcome:
        await let_go.wait()
        return Unknown(evidence=call.effect_id)

    def burst(call: Call) -> Outcome:
        raise OSError(call.effect_id)

    waiting = RecordingGateway(Sms, outcomes=wait)
    call = asyncio.create_task(waiting.call(call_for(waiting, SMS)))
    let_go.set()
    assert await call == Unknown(evidence=EFFECT_ID)
    bursting = RecordingGateway(Sms, outcomes=burst)
    with pytest.raises(OSError, match=EFFECT_ID):
        await bursting.call(call_for(bursting, SMS))
    assert len(bursting.calls) == 1


async def test_a_recording_gateway_answers_look_ups_by_its_script_and_then_does_not_know() -> None:
    gateway = RecordingGateway(Sms, look_up=[NotThere(), Found(provider_id="x")])
    call = call_for(gateway, SMS)
    answers = [await gateway.look_up(call, confirming=confirming) for confirming in (False, True, True)]
    assert answers == [NotThere(), Found(provider_id="x"), Unclear(evidence="nothing more is scripted")]
    assert gateway.look_ups == [(call, False), (call, True), (call, True)]


async def test_a_recording_gateway_answers_look_ups_by_a_function_that_may_wait() -> None:
    async def look(call: Call, confirming: bool) -> LookUpAnswer:
        return Found(provider_id=call.effect_id) if confirming else NotThere()

    gateway = RecordingGateway(Sms, look_up=look)
    assert await gateway.look_up(call_for(gateway, SMS), confirming=False) == NotThere()
    assert await gateway.look_up(call_for(gateway, SMS), confirming=True) == Found(provider_id=EFFECT_ID)


def test_a_recording_gateway_hears_the_receipts_that_it_was_told() -> None:
    told = Receipt(dedupe="1", provider_id="recording-1", delivery=Delivery.DELIVERED)
    gateway = RecordingGateway(Sms, receipts=[told])
    assert gateway.receipts(incoming()) == (told,)
    with pytest.raises(ReceiptRefused, match="nothing more is scripted"):
        gateway.receipts(incoming())
    read = RecordingGateway(Sms, receipts=lambda it: [Receipt(dedupe=it.body.decode())])
    assert read.receipts(incoming(body=b"7")) == [Receipt(dedupe="7")]


def test_a_recording_gateway_refuses_what_it_was_not_made_for() -> None:
    with pytest.raises(InvalidMessage):
        RecordingGateway(Sms).prepare(MAIL, EFFECT_ID)
    with pytest.raises(ConfigurationError, match="takes no effects"):
        RecordingGateway()
