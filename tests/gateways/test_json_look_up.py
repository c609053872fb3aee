"""A look-up says found, not there or unclear; and *not there* only when that is what was said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from duly.errors import ConfigurationError
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.json_look_up import JsonLookUp
from duly.messages.message import Effect
from duly.ports.gateway import Call, Found, LooksUp, LookUpAnswer, NotThere, Unclear
from duly.states.policy import Keeps, LookUp, Policy
from tests.gateways.calls import EFFECT_ID, call_for
from tests.gateways.http_server import Behaviour, answers, breaks_off, drop, hang, patience, provider, trickles


class RaiseInvoice(Effect, name="tests.raise_numbered_invoice"):
    """Asks billing for an invoice under our own number."""

    customer: str
    reference: str


INVOICE = RaiseInvoice(customer="c-1", reference="2026/7 a&b")
LISTED = {"list_field": "data", "reference_field": "reference"}
ONE = {"id": "inv_7", "reference": "2026/7 a&b"}


def billing(url: str = "http://127.0.0.1:1", **settings: Any) -> JsonHttpGateway[RaiseInvoice]:
    ask = {"url": url + "/invoices?reference={reference}&limit=5", **LISTED}
    settings = {
        "name": "billing",
        "recipient": "customer",
        "headers": {"Authorization": "Bearer token-that-nobody-may-see"},
        "live": True,
        "look_up": JsonLookUp(**{**ask, **settings.pop("ask", {})}),
        **settings,
    }
    return JsonHttpGateway(RaiseInvoice, url + "/invoices", **settings)


async def look_up(gateway: JsonHttpGateway[RaiseInvoice], *, confirming: bool = False) -> LookUpAnswer:
    await gateway.open()
    try:
        return await gateway.look_up(call_for(gateway, INVOICE), confirming=confirming)
    finally:
        await gateway.close()


def listing(*items: Mapping[str, object]) -> Behaviour:
    return answers(200, json.dumps({"data": items}).encode())


async def test_what_is_there_is_found_by_our_reference_with_one_get() -> None:
    async with provider(listing(ONE)) as it:
        assert await look_up(billing(it.url)) == Found(provider_id="inv_7", evidence="HTTP 200")
        (request,) = it.requests
    assert request.line == "GET /invoices?reference=2026%2F7%20a%26b&limit=5 HTTP/1.1"
    assert request.headers["authorization"] == "Bearer token-that-nobody-may-see"
    assert not {"content-type", "content-length", "idempotency-key"} & set(request.headers)


async def test_an_empty_list_says_that_it_is_not_there() -> None:
    async with provider(listing()) as it:
        assert await look_up(billing(it.url)) == NotThere(evidence="HTTP 200, an empty list")


@pytest.mark.parametrize(
    ("behaviour", "answer"),
    [
        (answers(404), NotThere(evidence="HTTP 404")),
        (trickles(404), NotThere(evidence="HTTP 404")),
        (answers(200, json.dumps(ONE).encode()), Found(provider_id="inv_7", evidence="HTTP 200")),
        (answers(200, b"{}"), Unclear(evidence="HTTP 200, but no id could be read in the answer")),
        (answers(410), Unclear(evidence="HTTP 410")),
    ],
)
async def test_one_thing_under_its_own_address_is_there_or_404(behaviour: Behaviour, answer: LookUpAnswer) -> None:
    async with provider(behaviour) as it:
        ask = {"url": it.url + "/invoices/{reference}", "list_field": None, "reference_field": None}
        assert await look_up(billing(it.url, ask=ask, **patience(behaviour))) == answer
        assert it.requests[0].line == "GET /invoices/2026%2F7%20a%26b HTTP/1.1"


@pytest.mark.parametrize(
    "behaviour",
    [
        drop,
        hang,
        breaks_off(200),
        trickles(200),
        answers(204),
        answers(200, b"<html>"),
        answers(200, b"[]"),
        answers(200, b'{"data": {}}'),
        answers(200, b'{"data": [' + b" " * 70_000 + b"]}"),
        listing({"reference": "2026/7 a&b"}),
        listing({"id": "inv_8", "reference": "2026/8"}),
        listing(ONE, {**ONE, "id": "inv_8"}),
        answers(302, Location="/"),
        answers(401, b"token-that-nobody-may-see"),
        answers(404),
        answers(429, Retry_After="5"),
        answers(500),
        answers(503),
    ],
)
async def test_what_is_not_said_clearly_is_unclear_and_was_asked_once(behaviour: Behaviour) -> None:
    async with provider(behaviour) as it:
        answer = await look_up(billing(it.url, **patience(behaviour)))
        assert (it.connections, len(it.requests)) == (1, 1)
    assert isinstance(answer, Unclear)
    assert answer.evidence
    assert "nobody-may-see" not in answer.evidence


async def test_an_answer_that_is_too_large_says_so() -> None:
    async with provider(answers(200, b" " * 70_000)) as it:
        answer = await look_up(billing(it.url))
    assert answer == Unclear(evidence="HTTP 200, but the answer did not come in whole, or is too large")


async def test_a_provider_that_ignores_the_filter_is_not_believed() -> None:
    others = [{"id": f"inv_{number}", "reference": f"2026/{number}"} for number in (1, 2)]
    async with provider(listing(*others)) as it:
        answer = await look_up(billing(it.url))
    assert answer == Unclear(evidence="HTTP 200: 2 came, and none under our reference. Is it filtered?")
    async with provider(listing(*others, ONE)) as it:
        assert await look_up(billing(it.url)) == Found(provider_id="inv_7", evidence="HTTP 200")


async def test_the_confirming_question_goes_to_the_source_that_lags_least() -> None:
    async with provider(listing()) as it:
        gateway = billing(it.url, ask={"confirm_url": it.url + "/all?key={key}"})
        await look_up(gateway)
        await look_up(gateway, confirming=True)
        assert [request.line.split()[1].split("?")[0] for request in it.requests] == ["/invoices", "/all"]


@pytest.mark.parametrize(("name", "value"), [("key", f"key-{EFFECT_ID}"), ("effect_id", EFFECT_ID)])
async def test_the_key_and_the_effect_are_references_too(name: str, value: str) -> None:
    async with provider(listing({"id": 7, "ours": value})) as it:
        ask = {"url": it.url + "/invoices?ours={" + name + "}", "reference_field": "ours"}
        assert await look_up(billing(it.url, ask=ask)) == Found(provider_id="7", evidence="HTTP 200")
        assert it.requests[0].line == f"GET /invoices?ours={value} HTTP/1.1"


@pytest.mark.parametrize("reference", ["", ".", ".."])
async def test_a_reference_that_leads_elsewhere_is_not_asked_for(reference: str) -> None:
    async with provider(answers(404)) as it:
        gateway = billing(it.url, ask={"url": it.url + "/invoices/{reference}", "list_field": None})
        await gateway.open()
        call = call_for(gateway, RaiseInvoice(customer="c-1", reference=reference))
        assert isinstance(await gateway.look_up(call, confirming=False), Unclear)
        assert isinstance(await gateway.look_up(erased(call), confirming=False), Unclear)
        await gateway.close()
        assert it.connections == 0


def erased(call: Call) -> Call:
    return msgspec.structs.replace(call, prepared=msgspec.structs.replace(call.prepared, body=b""))


async def test_a_gateway_that_is_not_live_or_has_no_look_up_asks_nobody() -> None:
    async with provider(listing(ONE)) as it:
        assert await look_up(billing(it.url, live=False)) == Unclear(evidence="not live")
        assert await look_up(billing(it.url, look_up=None)) == Unclear(evidence="the gateway has no look-up")
        assert it.connections == 0


async def test_without_a_connection_it_is_unclear() -> None:
    answer = await look_up(billing("http://127.0.0.1:1"))
    assert isinstance(answer, Unclear)
    assert "no connection" in answer.evidence


def test_a_look_up_is_declared_with_its_times() -> None:
    gateway = billing(ask={"settle": timedelta(seconds=5), "lag": timedelta(hours=1)})
    assert gateway.keeps == Keeps(look_up=LookUp(settle=timedelta(seconds=5), lag=timedelta(hours=1)))
    assert gateway.keeps.default_policy is Policy.RECONCILE
    assert isinstance(gateway, LooksUp)
    assert billing(look_up=None).keeps.look_up is None


@pytest.mark.parametrize(
    "ask",
    [
        {"url": "https://billing.example/invoices"},
        {"url": "https://billing.example/invoices?reference={number}"},
        {"url": "https://billing.example/{customer}?reference={reference}"},
        {"url": "https://{reference}/invoices"},
        {"url": "https://billing.example/invoices?reference={reference"},
        {"url": "https://billing.example/invoices?reference={reference.secret}"},
        {"url": "billing.example/invoices?reference={reference}"},
        {"url": "https://user:hush@billing.example/invoices?reference={reference}"},
        {"confirm_url": "https://billing.example/invoices"},
        {"reference_field": None},
    ],
)
def test_a_look_up_that_cannot_work_stops_the_start(ask: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        billing(ask=ask)
    assert "hush" not in str(refusal.value)
