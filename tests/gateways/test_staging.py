"""A gateway in front of people who must not be reached: those on the list are, or one address, and nobody else."""

from __future__ import annotations

import msgspec
import pytest

from duly.errors import ConfigurationError, InvalidField
from duly.gateways.console import ConsoleMail, ConsoleSms
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.recording import RecordingGateway
from duly.gateways.staging import only_to
from duly.messages.message import Effect
from duly.messages.standard_effects import Email, Sms
from duly.ports.gateway import Found, Gateway, LooksUp, Prepared, Receipt, TakesReceipts
from duly.states.attempt import Accepted, NotSent
from duly.states.policy import Keeps, LookUp
from tests.gateways.calls import EFFECT_ID, call_for, send
from tests.gateways.http_server import answers, provider
from tests.gateways.incoming import incoming

ANN, BOB = "+4915112345678", "+4915187654321"
NOT_LIVE = NotSent(reason="not live", permanent=True)


class RaiseInvoice(Effect, name="tests.raise_staged_invoice"):
    """Asks billing for an invoice."""

    customer: str


def texts() -> RecordingGateway:
    return RecordingGateway(Sms, name="twilio")


def sms(to: str) -> Sms:
    return Sms(to=to, text="Your order was shipped")


async def test_who_is_on_the_list_is_reached_as_ever() -> None:
    inside = texts()
    gateway = only_to(inside, allow=("+49 151 123-456-78",))
    assert gateway.prepare(sms(ANN), EFFECT_ID) == inside.prepare(sms(ANN), EFFECT_ID)
    assert await send(gateway, sms(ANN)) == Accepted(provider_id="twilio-1")


async def test_anybody_else_is_written_down_and_not_reached() -> None:
    inside = texts()
    gateway = only_to(inside, allow=(ANN,))
    prepared = gateway.prepare(sms(BOB), EFFECT_ID)
    assert (prepared.recipient, prepared.suppressed) == (BOB, "not live")
    assert await send(gateway, sms(BOB)) == NOT_LIVE
    assert inside.calls == []


async def test_what_was_requested_in_production_is_not_sent_from_a_copy_of_its_database() -> None:
    async with provider(answers(200, b'{"id": "inv_1"}')) as it:
        real = JsonHttpGateway(RaiseInvoice, it.url, name="billing", recipient="customer", live=True)
        call = call_for(real, RaiseInvoice(customer="c-1"))
        for gateway in (
            only_to(real, allow=("c-2",)),
            only_to(real, allow=("c-2",), redirect_to="c-test", field="customer"),
            only_to(real),
        ):
            assert await gateway.call(call) == NOT_LIVE
        assert it.connections == 0


async def test_all_can_be_redirected_to_one_address_and_the_summary_says_so() -> None:
    inside = texts()
    gateway = only_to(inside, allow=(ANN,), redirect_to=BOB)
    others = gateway.prepare(sms("+4915111111111"), EFFECT_ID)
    assert (others.recipient, others.summary) == (BOB, "[redirected] Your order was shipped")
    assert others.body == inside.prepare(sms(BOB), EFFECT_ID).body
    assert "+4915111111111" not in str(others)
    assert gateway.prepare(sms(ANN), EFFECT_ID).recipient == ANN
    assert await send(gateway, sms("+4915111111111")) == Accepted(provider_id="twilio-1")


def test_a_domain_can_be_on_the_list() -> None:
    gateway = only_to(ConsoleMail(), allow=("@Shop.example",))
    reached = ["ann@shop.example", "ANN@SHOP.EXAMPLE"]
    others = ["ann@example.com", "ann@not-shop.example", "ann@shop.example.com", "shop.example@evil.example"]
    suppressed = {
        to: gateway.prepare(Email(to=to, subject="x", text="y"), EFFECT_ID).suppressed for to in [*reached, *others]
    }
    assert suppressed == {**dict.fromkeys(reached, ""), **dict.fromkeys(others, "not live")}


def test_the_address_is_checked_as_ever() -> None:
    with pytest.raises(InvalidField):
        only_to(ConsoleSms(), allow=(ANN,)).prepare(sms("12"), EFFECT_ID)


async def test_a_gateway_that_is_not_live_stays_so_for_those_on_the_list_too() -> None:
    gateway = only_to(RecordingGateway(Sms, live=False), allow=(ANN,))
    assert gateway.live is False
    assert await send(gateway, sms(ANN)) == NOT_LIVE


def test_all_else_is_what_the_gateway_inside_says() -> None:
    inside = RecordingGateway(Sms, name="twilio", channel="sms", slots=3, keeps=Keeps(look_up=LookUp()))
    gateway = only_to(inside, allow=(ANN,))
    for name in ("name", "channel", "effects", "live", "slots", "call_timeout", "retry", "keeps"):
        assert getattr(gateway, name) == getattr(inside, name)


async def test_look_ups_and_receipts_are_there_when_the_gateway_inside_has_them() -> None:
    told = Receipt(dedupe="1")
    inside = RecordingGateway(Sms, look_up=[Found(provider_id="x")], receipts=[told])
    gateway: Gateway = only_to(inside, allow=(ANN,))
    assert isinstance(gateway, LooksUp)
    assert isinstance(gateway, TakesReceipts)
    assert await gateway.look_up(call_for(inside, sms(BOB)), confirming=False) == Found(provider_id="x")
    assert gateway.receipts(incoming()) == (told,)


def test_look_ups_and_receipts_are_not_there_when_the_gateway_inside_has_none() -> None:
    gateway: object = only_to(ConsoleSms(), allow=(ANN,))
    assert not isinstance(gateway, LooksUp)
    assert not isinstance(gateway, TakesReceipts)


@pytest.mark.parametrize("allow", [("",), (ANN, " ")])
def test_an_empty_address_on_the_list_stops_the_start(allow: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="empty"):
        only_to(texts(), allow=allow)


def test_a_redirection_needs_the_field_that_says_for_whom_it_is() -> None:
    gateway = RecordingGateway(Sms, RaiseInvoice)
    with pytest.raises(ConfigurationError, match="RaiseInvoice has no field 'to'"):
        only_to(gateway, redirect_to=ANN)
    with pytest.raises(ConfigurationError, match="empty"):
        only_to(texts(), redirect_to="")


def test_a_redirection_that_the_gateway_writes_otherwise_is_not_followed_blindly() -> None:
    class Renaming(RecordingGateway):
        def prepare(self, effect: Effect, effect_id: str) -> Prepared:
            prepared = super().prepare(effect, effect_id)
            return msgspec.structs.replace(prepared, recipient="x" + prepared.recipient)

    with pytest.raises(ConfigurationError, match="another form"):
        only_to(Renaming(Sms), redirect_to=ANN).prepare(sms(BOB), EFFECT_ID)
