"""Any JSON provider: the key goes with every attempt, and the provider's promises decide what may be repeated."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from duly.errors import ConfigurationError, InvalidField, InvalidMessage
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.json_look_up import AlreadyThere
from duly.messages.fields import Personal
from duly.messages.message import Effect
from duly.messages.standard_effects import Sms
from duly.states.attempt import Accepted, Fault, NotSent, Unknown
from duly.states.policy import IdempotencyKey, Keeps, Policy, policy_mistakes
from tests.gateways.calls import EFFECT_ID, call_for, send
from tests.gateways.http_server import Behaviour, answers, breaks_off, drop, hang, patience, provider, trickles


class RaiseInvoice(Effect, name="tests.raise_invoice"):
    """Asks billing for an invoice."""

    customer: Personal[str]
    order: str
    cents: int


INVOICE = RaiseInvoice(customer="ann@example.com", order="O-7", cents=1250)


def billing(url: str = "http://127.0.0.1:1", **settings: Any) -> JsonHttpGateway[RaiseInvoice]:
    settings = {
        "name": "billing",
        "channel": "billing",
        "recipient": "customer",
        "headers": {"Authorization": "Bearer token-that-nobody-may-see"},
        "live": True,
        **settings,
    }
    return JsonHttpGateway(RaiseInvoice, url + "/invoices", **settings)


async def test_an_accepted_effect_has_the_id_of_the_provider() -> None:
    async with provider(answers(201, b'{"id": "inv_1"}')) as it:
        assert await send(billing(it.url), INVOICE) == Accepted(provider_id="inv_1", evidence="HTTP 201")
        (request,) = it.requests
    assert request.line == "POST /invoices HTTP/1.1"
    assert request.headers["idempotency-key"] == f"key-{EFFECT_ID}"
    assert request.headers["authorization"] == "Bearer token-that-nobody-may-see"
    assert msgspec.json.decode(request.body) == {"customer": "ann@example.com", "order": "O-7", "cents": 1250}


async def test_every_attempt_has_the_same_key_and_the_same_bytes() -> None:
    async with provider(answers(500)) as it:
        for number in (1, 2, 3):
            await send(billing(it.url), INVOICE, number=number)
        first, *others = it.requests
    assert [(other.headers["idempotency-key"], other.body) for other in others] == [
        (first.headers["idempotency-key"], first.body)
    ] * 2


@pytest.mark.parametrize(
    ("body", "id_field", "found"),
    [
        (b'{"data": {"id": "x"}}', "data.id", "x"),
        (b'{"number": 17}', "number", "17"),
        (b'{"id": true}', "id", None),
        (b'{"id": {"id": "x"}}', "id", None),
        (b'{"data": []}', "data.id", None),
        (b"{}", "id", None),
        (b"", "id", None),
        (b"\xff", "id", None),
        (b'{"id": "x"} trailing', "id", None),
        (b"[" * 5_000, "id", None),
    ],
)
async def test_an_answer_is_accepted_only_with_an_id_that_can_be_read(
    body: bytes, id_field: str, found: str | None
) -> None:
    async with provider(answers(200, body)) as it:
        outcome = await send(billing(it.url, id_field=id_field), INVOICE)
    assert (
        isinstance(outcome, Unknown) if found is None else outcome == Accepted(provider_id=found, evidence="HTTP 200")
    )


@pytest.mark.parametrize(
    "behaviour",
    [drop, hang, trickles(200), breaks_off(200), answers(204), answers(408), answers(409), answers(500), answers(503)],
)
async def test_whatever_may_have_been_taken_is_unknown_and_was_asked_once(behaviour: Behaviour) -> None:
    async with provider(behaviour) as it:
        assert isinstance(await send(billing(it.url, **patience(behaviour)), INVOICE), Unknown)
        assert (it.connections, len(it.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("behaviour", "permanent", "fault"),
    [
        (answers(400), True, Fault.MESSAGE),
        (answers(422), True, Fault.MESSAGE),
        (answers(401), False, Fault.GATEWAY),
        (answers(402), False, Fault.GATEWAY),
        (answers(302, Location="/"), False, Fault.GATEWAY),
        (answers(429), False, Fault.PROVIDER),
    ],
)
async def test_whatever_was_refused_is_not_sent_and_was_asked_once(
    behaviour: Behaviour, permanent: bool, fault: Fault
) -> None:
    async with provider(behaviour) as it:
        outcome = await send(billing(it.url), INVOICE)
        assert len(it.requests) == 1
    assert isinstance(outcome, NotSent)
    assert (outcome.permanent, outcome.fault) == (permanent, fault)


async def test_a_key_that_came_with_other_parameters_is_refused_for_good() -> None:
    async with provider(answers(400, b'{"error": {"type": "idempotency_error", "message": "ann@example.com"}}')) as it:
        outcome = await send(billing(it.url), INVOICE)
    assert outcome == NotSent(reason="HTTP 400: the key was used before, with other parameters", permanent=True)


async def test_a_5xx_is_tried_again_when_the_provider_promises_that_nothing_was_processed() -> None:
    async with provider(answers(503, Retry_After="9")) as it:
        outcome = await send(billing(it.url, five_hundred_means_not_processed=True), INVOICE)
    assert isinstance(outcome, NotSent)
    assert (outcome.permanent, outcome.retry_after) == (False, timedelta(seconds=9))


async def test_without_an_idempotency_header_no_key_is_sent_and_a_conflict_is_a_refusal() -> None:
    async with provider(answers(409)) as it:
        outcome = await send(billing(it.url, idempotency_header=None), INVOICE)
        assert "idempotency-key" not in it.requests[0].headers
    assert isinstance(outcome, NotSent)
    assert outcome.permanent


def test_a_key_is_counted_on_only_when_its_lifetime_is_stated() -> None:
    assert billing().keeps == Keeps()
    stated = billing(key_lifetime=timedelta(hours=24))
    assert stated.keeps == Keeps(key=IdempotencyKey(lifetime=timedelta(hours=24)))
    assert stated.keeps.default_policy is Policy.KEYED


@pytest.mark.parametrize("replay", [timedelta(), timedelta(hours=12)])
def test_the_schedule_of_a_keyed_gateway_fits_into_the_life_of_its_keys(replay: timedelta) -> None:
    it = billing(key_lifetime=timedelta(hours=24))
    assert not policy_mistakes(
        Policy.KEYED, it.keeps, it.retry, where="billing", call_timeout=it.call_timeout, replay=replay
    )


DUPLICATE = AlreadyThere(reference="order", field="error.code", value="duplicate_number")


@pytest.mark.parametrize(
    ("body", "id_field", "found"),
    [
        (b'{"error": {"code": "duplicate_number", "invoice": "inv_7"}}', "error.invoice", "inv_7"),
        (b'{"error": {"code": "duplicate_number"}}', "error.invoice", "O-7"),
        (b'{"error": {"code": "duplicate_number", "invoice": "inv_7"}}', None, "O-7"),
    ],
)
async def test_a_number_that_the_provider_has_already_means_that_it_has_landed(
    body: bytes, id_field: str | None, found: str
) -> None:
    there = replace(DUPLICATE, id_field=id_field)
    async with provider(answers(409, body)) as it:
        outcome = await send(billing(it.url, already_there=there), INVOICE, number=2)
    assert outcome == Accepted(provider_id=found, evidence="HTTP 409: it is there already")


@pytest.mark.parametrize(
    "behaviour",
    [answers(409), answers(409, b'{"error": {"code": "in_progress"}}'), answers(409, b'{"error": "duplicate_number"}')],
)
async def test_any_other_conflict_is_unknown_as_before(behaviour: Behaviour) -> None:
    async with provider(behaviour) as it:
        assert isinstance(await send(billing(it.url, already_there=DUPLICATE), INVOICE), Unknown)


async def test_another_status_with_the_same_words_is_not_taken_for_it() -> None:
    async with provider(answers(400, b'{"error": {"code": "duplicate_number"}}')) as it:
        assert isinstance(await send(billing(it.url, already_there=DUPLICATE), INVOICE), NotSent)


def test_the_tenants_view_shows_recipient_and_summary() -> None:
    gateway = billing(recipient=lambda it: it.customer.upper(), summary=lambda it: f"{it.cents} cents\nfor {it.order}")
    prepared = call_for(gateway, INVOICE).prepared
    assert (prepared.recipient, prepared.summary) == ("ANN@EXAMPLE.COM", "1250 cents for O-7")
    assert call_for(billing(), INVOICE).prepared.summary == "tests.raise_invoice"


def test_an_effect_without_a_recipient_or_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidField, match="customer names no recipient"):
        billing().prepare(RaiseInvoice(customer="", order="O-7", cents=1), EFFECT_ID)
    with pytest.raises(InvalidMessage, match="does not take"):
        billing().prepare(Sms(to="+4915112345678", text="x"), EFFECT_ID)


@pytest.mark.parametrize(
    "settings",
    [
        {"recipient": "customre"},
        {"headers": {"Host": "x"}},
        {"headers": {"X": "a\nb"}},
        {"idempotency_header": "Idempotency Key"},
        {"slots": 0},
        {"url": "ftp://x"},
        {"idempotency_header": None, "key_lifetime": timedelta(hours=24)},
        {"key_lifetime": timedelta()},
        {"already_there": AlreadyThere(reference="number")},
    ],
)
def test_a_setting_that_cannot_work_stops_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        billing(**settings)
