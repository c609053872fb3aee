"""Twilio: one text message is one request, and every answer has its outcome."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from duly.errors import ConfigurationError, InvalidField, InvalidMessage
from duly.gateways.twilio import TwilioSms
from duly.messages.standard_effects import Email, Sms
from duly.states.attempt import Accepted, Fault, NotSent, Unknown
from tests.gateways.calls import EFFECT_ID, send
from tests.gateways.http_server import Behaviour, answers, breaks_off, drop, hang, patience, provider, trickles

SMS = Sms(to="+49 151 12345678", text="Your order was shipped — 5 €")
TOKEN = "token-that-nobody-may-see"


def twilio(base_url: str = "http://127.0.0.1:1", **settings: Any) -> TwilioSms:
    settings = {"from_number": "+15005550006", "live": True, **settings}
    return TwilioSms("AC123", TOKEN, base_url=base_url, **settings)


def error(code: int) -> bytes:
    return json.dumps({"code": code, "message": "The number +4915112345678 is wrong", "status": 400}).encode()


async def test_an_accepted_message_has_the_sid_of_twilio() -> None:
    async with provider(answers(201, b'{"sid": "SM42", "status": "queued"}')) as it:
        assert await send(twilio(it.url), SMS) == Accepted(provider_id="SM42", evidence="HTTP 201")
        (request,) = it.requests
    assert request.line == "POST /2010-04-01/Accounts/AC123/Messages.json HTTP/1.1"
    assert request.headers["authorization"] == "Basic QUMxMjM6dG9rZW4tdGhhdC1ub2JvZHktbWF5LXNlZQ=="
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.body.decode()) == {
        "To": ["+4915112345678"],
        "From": ["+15005550006"],
        "Body": ["Your order was shipped — 5 €"],
    }


@pytest.mark.parametrize(
    "behaviour",
    [
        drop,
        hang,
        breaks_off(201),
        answers(201, b""),
        answers(201, b"<html>"),
        answers(201, b'{"status": "queued"}'),
        answers(201, b'{"sid": ""}'),
        answers(201, b'{"sid": null}'),
        answers(201, b'["SM42"]'),
        answers(201, b'{"sid": "SM42"' + b" " * 70_000 + b"}"),
        answers(200, b'{"sid": "' + b"x" * 300 + b'"}'),
        answers(201, b'{"sid": "SM\\n42"}'),
        answers(500),
        answers(503, Retry_After="5"),
        answers(408),
    ],
)
async def test_whatever_may_have_been_taken_is_unknown_and_was_asked_once(behaviour: Behaviour) -> None:
    async with provider(behaviour) as it:
        assert isinstance(await send(twilio(it.url, **patience(behaviour)), SMS), Unknown)
        assert (it.connections, len(it.requests)) == (1, 1)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_a_refused_message_is_not_sent_for_good_and_its_reason_names_the_code_only(status: int) -> None:
    async with provider(answers(status, error(21610))) as it:
        outcome = await send(twilio(it.url), SMS)
        assert len(it.requests) == 1
    assert isinstance(outcome, NotSent)
    assert (outcome.permanent, outcome.fault) == (True, Fault.MESSAGE)
    assert str(status) in outcome.reason
    assert "21610" in outcome.reason
    assert "+4915112345678" not in outcome.reason


async def test_a_refusal_counts_even_when_its_body_never_ends() -> None:
    endless = trickles(400)
    async with provider(endless) as it:
        outcome = await send(twilio(it.url, **patience(endless)), SMS)
    assert isinstance(outcome, NotSent)
    assert outcome.permanent


@pytest.mark.parametrize(
    "behaviour",
    [
        answers(401, error(20003)),
        answers(403),
        answers(402),
        answers(404, error(20404)),
        answers(400, error(21606)),
        answers(307, Location="/elsewhere"),
    ],
)
async def test_what_every_message_would_meet_is_the_gateways_fault(behaviour: Behaviour) -> None:
    async with provider(behaviour) as it:
        outcome = await send(twilio(it.url), SMS)
        assert len(it.requests) == 1
    assert isinstance(outcome, NotSent)
    assert (outcome.permanent, outcome.fault) == (False, Fault.GATEWAY)


async def test_a_limited_rate_is_tried_again_when_twilio_says() -> None:
    async with provider(answers(429, error(20429), Retry_After="30")) as it:
        outcome = await send(twilio(it.url), SMS)
        assert len(it.requests) == 1
    assert isinstance(outcome, NotSent)
    assert (outcome.permanent, outcome.fault, outcome.retry_after) == (False, Fault.PROVIDER, timedelta(seconds=30))


async def test_each_message_tells_twilio_where_to_report_and_which_effect_it_is() -> None:
    url = "https://shop.example/receipts/twilio?region=eu"
    async with provider(answers(201, b'{"sid": "SM42"}')) as it:
        gateway = twilio(it.url, receipts_url=url, receipt_secrets=("0123456789abcdef",))
        await send(gateway, SMS)
        form = parse_qs(it.requests[0].body.decode())
    (callback,) = form["StatusCallback"]
    assert callback.startswith(f"{url}&effect={EFFECT_ID}-")
    assert form["Body"] == ["Your order was shipped — 5 €"]


def test_where_to_report_is_no_part_of_what_is_stored() -> None:
    hearing = twilio(receipts_url="https://shop.example/sms", receipt_secrets=("0123456789abcdef",))
    assert hearing.prepare(SMS, EFFECT_ID) == twilio().prepare(SMS, EFFECT_ID)


def test_a_messaging_service_sends_in_place_of_a_number() -> None:
    service = "MG" + "0" * 32
    form = parse_qs(twilio(from_number=service).prepare(SMS, EFFECT_ID).body.decode())
    assert form["MessagingServiceSid"] == [service]
    assert "From" not in form


@pytest.mark.parametrize(
    ("effect", "field"),
    [
        (Sms(to="0151", text="x"), "to"),
        (Sms(to="+4915112345678", text=" "), "text"),
        (Sms(to="+4915112345678", text="x" * 1_601), "text"),
        (Sms(to="+4915112345678", text="\ud800"), "text"),
    ],
)
def test_a_message_that_twilio_would_refuse_is_refused_at_the_door(effect: Sms, field: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        twilio().prepare(effect, EFFECT_ID)
    assert refusal.value.field == field


def test_a_mail_is_no_text_message() -> None:
    with pytest.raises(InvalidMessage, match="was handed a Email"):
        twilio().prepare(Email(to="a@example.com", subject="x", text="y"), EFFECT_ID)


@pytest.mark.parametrize(
    "settings",
    [
        {"from_number": ""},
        {"from_number": "+49 151"},
        {"region": "Germany"},
        {"base_url": "api.twilio.com"},
        {"slots": 0},
        {"call_timeout": timedelta()},
        {"name": ""},
        {"receipts_url": "https://shop.example/sms"},
        {"receipt_secrets": ("0123456789abcdef",)},
        {"receipts_url": "https://shop.example/sms", "receipt_secrets": ("short",)},
        {"receipts_url": "shop.example/sms", "receipt_secrets": ("0123456789abcdef",)},
    ],
)
def test_a_setting_that_cannot_work_stops_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        twilio(**settings)
    with pytest.raises(ConfigurationError):
        TwilioSms("../evil", TOKEN, from_number="+15005550006")
