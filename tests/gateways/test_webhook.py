"""Webhooks as a receiver sees them: signed as Standard Webhooks says, the same id and bytes in every attempt."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from standardwebhooks import Webhook as Receiver
from standardwebhooks import WebhookVerificationError

from duly import Command, Duly, Effects, Module
from duly.errors import ConfigurationError, InvalidField, InvalidMessage, PayloadTooLarge
from duly.gateways.webhook import WEBHOOK_RETRY, WebhookGateway
from duly.gateways.webhook_endpoints import MemoryWebhookEndpoints
from duly.gateways.webhook_signing import new_webhook_secret, signed_headers
from duly.messages.fields import field_names
from duly.messages.standard_effects import Sms, Webhook
from duly.ports.endpoints import WebhookEndpoint
from duly.ports.gateway import Gateway
from duly.ports.secret import Secret
from duly.runtime.settings import Settings
from duly.states.attempt import Accepted, Fault, NotSent, Unknown
from duly.states.policy import Policy
from tests.gateways.calls import EFFECT_ID, call_for, send
from tests.gateways.http_server import Behaviour, Provider, answers, breaks_off, drop, hang, provider, reset, trickles
from tests.gateways.loopback_tls import server_context
from tests.gateways.webhook_calls import NEW, OLD, PLACED, keeper, loopback_policy, webhooks

KEY = f"key-{EFFECT_ID}"


@asynccontextmanager
async def receiver(behaviour: Behaviour, folder: Path) -> AsyncIterator[tuple[Provider, str]]:
    """A customer's endpoint on loopback, over TLS, and its URL."""
    async with provider(behaviour, tls=server_context(folder)) as it:
        yield it, it.url.replace("http:", "https:") + "/hooks/url-token"


async def test_a_receiver_verifies_what_it_gets_with_its_own_library(tmp_path: Path) -> None:
    async with receiver(answers(204), tmp_path) as (it, url):
        outcome = await send(webhooks(url, port=it.port), PLACED)
        assert outcome == Accepted(provider_id=KEY, evidence="HTTP 204")
        (request,) = it.requests
    assert request.line == "POST /hooks/url-token HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == KEY
    read = Receiver(NEW.reveal()).verify(request.body, request.headers)
    assert read == {"type": "order.placed", "data": {"order": "O-7", "cents": 1250, "lines": [{"sku": "ä"}]}}
    with pytest.raises(WebhookVerificationError):
        Receiver(NEW.reveal()).verify(request.body + b" ", request.headers)
    with pytest.raises(WebhookVerificationError):
        Receiver(OLD.reveal()).verify(request.body, request.headers)


async def test_a_secret_is_rotated_with_overlap_and_every_webhook_is_verified_by_whoever_has_either(
    tmp_path: Path,
) -> None:
    stages: list[tuple[tuple[Secret, ...], tuple[bool, bool]]] = [
        ((OLD,), (True, False)),
        ((NEW, OLD), (True, True)),
        ((NEW,), (False, True)),
    ]
    async with receiver(answers(200), tmp_path) as (it, url):
        endpoints = keeper(url, OLD)
        gateway = webhooks(url, port=it.port, endpoints=endpoints)
        for secrets, (old_verifies, new_verifies) in stages:
            endpoints.put("main", "crm", WebhookEndpoint(url=url, secrets=secrets))
            assert isinstance(await send(gateway, PLACED), Accepted)
            request = it.requests[-1]
            assert len(request.headers["webhook-signature"].split(" ")) == len(secrets)
            for secret, verifies in ((OLD, old_verifies), (NEW, new_verifies)):
                assert is_verified(secret, request.body, request.headers) is verifies


def is_verified(secret: Secret, body: bytes, headers: dict[str, str]) -> bool:
    try:
        Receiver(secret.reveal()).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


async def test_every_attempt_has_the_same_id_and_bytes_and_a_time_and_signature_of_its_own(tmp_path: Path) -> None:
    begun = datetime.now(UTC).replace(microsecond=0)
    times = [begun, begun + timedelta(seconds=100), begun - timedelta(seconds=100)]
    async with receiver(answers(500), tmp_path) as (it, url):
        gateway = webhooks(url, port=it.port)
        for number, moment in enumerate(times, start=1):
            await send(gateway, PLACED, number=number, started_at=moment)
        requests = it.requests
    assert len({(request.headers["webhook-id"], request.body) for request in requests}) == 1
    assert [int(request.headers["webhook-timestamp"]) for request in requests] == [
        int(moment.timestamp()) for moment in times
    ]
    assert len({request.headers["webhook-signature"] for request in requests}) == 3
    assert all(is_verified(NEW, request.body, request.headers) for request in requests)


def test_a_signature_is_that_of_the_specification_whatever_the_time_zone() -> None:
    # The example that Svix and Standard Webhooks publish for their libraries.
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    for moment in (at, at.astimezone(timezone_of(hours=9)), at + timedelta(microseconds=999_999)):
        headers = dict(signed_headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", moment, b'{"test": 2432232314}'))
        assert headers == {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }


def timezone_of(*, hours: int) -> Any:
    return datetime.fromisoformat(f"2026-01-01T00:00:00+{hours:02}:00").tzinfo


@pytest.mark.parametrize("behaviour", [answers(200), answers(202, b"x" * 100_000), answers(299, b"no id"), drop])
async def test_any_2xx_is_accepted_by_its_status_alone(behaviour: Behaviour, tmp_path: Path) -> None:
    async with receiver(behaviour, tmp_path) as (it, url):
        outcome = await send(webhooks(url, port=it.port), PLACED)
        assert isinstance(outcome, Unknown if behaviour is drop else Accepted)


@pytest.mark.parametrize("behaviour", [trickles(200), breaks_off(200)])
async def test_a_2xx_whose_body_does_not_come_to_its_end_is_accepted(behaviour: Behaviour, tmp_path: Path) -> None:
    async with receiver(behaviour, tmp_path) as (it, url):
        outcome = await send(webhooks(url, port=it.port, answer_timeout=timedelta(seconds=3)), PLACED)
        assert outcome == Accepted(provider_id=KEY, evidence="HTTP 200")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 400, 404, 410, 422])
async def test_what_will_not_mend_by_itself_is_refused_for_good(status: int, tmp_path: Path) -> None:
    async with receiver(answers(status, Retry_After="7", Location="/"), tmp_path) as (it, url):
        outcome = await send(webhooks(url, port=it.port), PLACED)
        assert len(it.requests) == 1
    assert isinstance(outcome, NotSent)
    assert (outcome.permanent, outcome.fault) == (True, Fault.MESSAGE)
    assert outcome.reason.startswith(f"HTTP {status}: ")


@pytest.mark.parametrize("status", [401, 402, 403, 405, 406, 411, 413, 415, 418, 425, 429, 451, 499])
async def test_what_the_customer_may_mend_is_tried_again_and_holds_nobody_elses_webhooks(
    status: int, tmp_path: Path
) -> None:
    async with receiver(answers(status, Retry_After="7"), tmp_path) as (it, url):
        outcome = await send(webhooks(url, port=it.port), PLACED)
    assert isinstance(outcome, NotSent)
    # Fault.GATEWAY would hold every effect of the gateway.
    assert (outcome.permanent, outcome.fault) == (False, Fault.PROVIDER)
    assert outcome.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 599])
async def test_what_may_have_been_processed_is_unknown_and_its_wish_to_wait_is_kept(
    status: int, tmp_path: Path
) -> None:
    async with receiver(answers(status, Retry_After="7"), tmp_path) as (it, url):
        outcome = await send(webhooks(url, port=it.port), PLACED)
    assert outcome == Unknown(evidence=f"HTTP {status}", retry_after=timedelta(seconds=7))


@pytest.mark.parametrize("behaviour", [drop, reset, hang])
async def test_without_an_answer_the_outcome_is_unknown_and_it_was_asked_once(
    behaviour: Behaviour, tmp_path: Path
) -> None:
    async with receiver(behaviour, tmp_path) as (it, url):
        timeout = timedelta(seconds=3 if behaviour is hang else 20)
        outcome = await send(webhooks(url, port=it.port, answer_timeout=timeout), PLACED)
        assert isinstance(outcome, Unknown)
        assert (it.connections, len(it.requests)) == (1, 1)


async def test_gone_disables_the_endpoint_and_nothing_goes_there_again(tmp_path: Path) -> None:
    async with receiver(answers(410), tmp_path) as (it, url):
        endpoints = keeper(url)
        gateway = webhooks(url, port=it.port, endpoints=endpoints)
        first = await send(gateway, PLACED)
        assert first == NotSent(reason="HTTP 410: the endpoint is gone; it was disabled", permanent=True)
        assert endpoints.disabled_because("main", "crm") == "HTTP 410: the endpoint is gone"
        assert await send(gateway, PLACED) == NotSent(reason="the endpoint is disabled", permanent=True)
        assert it.connections == 1


class Broken(MemoryWebhookEndpoints):
    """A keeper whose database is away, or never answers."""

    def __init__(self, url: str, *, reads: bool, fails: Callable[[], Any]) -> None:
        super().__init__({("main", "crm"): WebhookEndpoint(url=url, secrets=(NEW,))})
        self._reads = reads
        self._fails = fails

    async def endpoint(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        if not self._reads:
            await self._fails()
        return await super().endpoint(tenant, endpoint_id)

    async def disable(self, tenant: str, endpoint_id: str, reason: str) -> None:
        await self._fails()


async def away() -> None:
    raise OSError("canary-of-the-database")


async def never() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("fails", "kind"), [(away, "OSError"), (never, "TimeoutError")])
async def test_endpoints_that_cannot_be_read_are_tried_again_and_those_that_cannot_be_disabled_are_said(
    fails: Callable[[], Any], kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiver(answers(410), tmp_path) as (it, url):
        settings: dict[str, Any] = {"port": it.port, "answer_timeout": timedelta(seconds=3)}
        unread = await send(webhooks(url, endpoints=Broken(url, reads=False, fails=fails), **settings), PLACED)
        assert unread == NotSent(
            reason=f"the endpoints could not be read: {kind}", permanent=False, fault=Fault.PROVIDER
        )
        assert it.connections == 0
        kept = await send(webhooks(url, endpoints=Broken(url, reads=True, fails=fails), **settings), PLACED)
        assert kept == NotSent(
            reason=f"HTTP 410: the endpoint is gone; it could not be disabled: {kind}", permanent=True
        )
    assert [record.levelname for record in caplog.records if record.name == "duly"] == ["ERROR", "ERROR"]
    assert "canary-of-the-database" not in caplog.text


async def test_a_missing_or_disabled_endpoint_and_that_of_another_tenant_get_nothing(tmp_path: Path) -> None:
    async with receiver(answers(200), tmp_path) as (it, url):
        endpoint = WebhookEndpoint(url=url, secrets=(NEW,))
        others = MemoryWebhookEndpoints({("other", "crm"): endpoint, ("main", "erp"): endpoint})
        missing = await send(webhooks(url, port=it.port, endpoints=others), PLACED)
        assert missing == NotSent(reason="there is no such endpoint", permanent=True)
        disabled = await send(webhooks(url, port=it.port, endpoints=keeper(url, disabled=True)), PLACED)
        assert disabled == NotSent(reason="the endpoint is disabled", permanent=True)
        idle = await send(webhooks(url, port=it.port, live=False), PLACED)
        assert idle == NotSent(reason="not live", permanent=True)
        assert it.connections == 0


class Unchecked(MemoryWebhookEndpoints):
    """A keeper that hands out whatever it was given."""

    def __init__(self, endpoint: WebhookEndpoint) -> None:
        super().__init__({})
        self._endpoint = endpoint

    async def endpoint(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        return self._endpoint


BAD_SECRETS = [
    (),
    (Secret(""),),
    (Secret("whsec_"),),
    (Secret("whsec_canary"),),
    (Secret("whsk_" + NEW.reveal().removeprefix("whsec_")),),
    (Secret("whsec_" + "canary-that-is-no-base64-at-all!"),),
    (Secret("whsec_" + "\u00e4" * 32),),
    (Secret("whsec_" + "A" * 30),),
    (Secret("whsec_" + "A" * 88),),
    (NEW, Secret("canary")),
]


@pytest.mark.parametrize("secrets", BAD_SECRETS)
async def test_nothing_goes_out_unsigned_or_signed_with_half_a_secret(
    secrets: tuple[Secret, ...], tmp_path: Path
) -> None:
    async with receiver(answers(200), tmp_path) as (it, url):
        endpoint = WebhookEndpoint(url=url, secrets=secrets)
        outcome = await send(webhooks(url, port=it.port, endpoints=Unchecked(endpoint)), PLACED)
        assert it.connections == 0
    assert isinstance(outcome, NotSent)
    assert (outcome.permanent, outcome.fault) == (False, Fault.PROVIDER)
    with pytest.raises(ConfigurationError, match="'crm' of 'main' cannot be signed for") as refusal:
        MemoryWebhookEndpoints({("main", "crm"): endpoint})
    assert "canary" not in str(refusal.value) + outcome.reason
    assert "canary" not in "".join(traceback.format_exception(refusal.value))


def test_a_new_secret_signs_and_is_never_the_same() -> None:
    made = {new_webhook_secret() for _ in range(100)}
    assert len(made) == 100
    for secret in made:
        MemoryWebhookEndpoints({("main", "crm"): WebhookEndpoint(url="https://crm.example/", secrets=(secret,))})


@pytest.mark.parametrize(
    "behaviour", [answers(200, NEW.reveal().encode()), answers(401, b"url-token"), answers(500), answers(410), drop]
)
async def test_neither_secrets_nor_urls_nor_answers_are_shown_anywhere(
    behaviour: Behaviour, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(logging.Formatter("%(message)s %(args)s %(pathname)s"))
    async with receiver(behaviour, tmp_path) as (it, url):
        endpoints = keeper(url, NEW, OLD)
        gateway = webhooks(url, endpoints=endpoints, port=it.port)
        outcome = await send(gateway, PLACED)
        assert len(it.requests) == 1
        endpoint = await endpoints.endpoint("main", "crm")
        call = call_for(gateway, PLACED)
    logged = [str(vars(record)) for record in caplog.records]
    assert logged
    shown = [repr(gateway), str(gateway), repr(endpoints), repr(endpoint), f"{endpoint}", repr(outcome), repr(call)]
    for text in [*shown, *logged, caplog.text]:
        for canary in (NEW, OLD):
            assert canary.reveal() not in text
            assert canary.reveal().removeprefix("whsec_") not in text
        assert "url-token" not in text
    assert "127.0.0.1" not in repr(outcome) + repr(call)


def test_a_secret_shows_itself_to_whoever_asks_and_to_nobody_else() -> None:
    secret = Secret("canary")
    assert secret.reveal() == "canary"
    assert {repr(secret), str(secret), f"{secret}", f"{secret!r:>5}", "%s" % secret} == {"Secret(…)"}  # noqa: UP031
    assert (secret == Secret("canary"), secret == Secret("other"), secret == "canary") == (True, False, False)
    assert len({secret, Secret("canary"), Secret("other")}) == 2
    attempts: list[Callable[[Any], object]] = [pickle.dumps, json.dumps, msgspec.json.encode, vars]
    for attempt in attempts:
        with pytest.raises(TypeError) as refusal:
            attempt(secret)
        assert "canary" not in str(refusal.value)
    endpoint = WebhookEndpoint(url="https://canary.example/", secrets=(secret,))
    with pytest.raises(TypeError) as refusal:
        msgspec.json.encode(endpoint)
    assert "canary" not in str(refusal.value) + repr(endpoint)


def changed(webhook: Webhook, **fields: Any) -> Webhook:
    return Webhook(**{**{name: getattr(webhook, name) for name in field_names(Webhook)}, **fields})


def test_the_body_is_what_standard_webhooks_recommends_and_always_the_same_bytes() -> None:
    gateway = webhooks("https://crm.example/")
    full = Webhook(
        endpoint="crm:1",
        event="order.placed",
        payload={"b": Decimal("9.90"), "a": [True, None, {"id": UUID(int=1)}], "at": datetime(2026, 5, 4, tzinfo=UTC)},
        occurred_at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
    )
    prepared = gateway.prepare(full, EFFECT_ID)
    assert prepared.body == (
        b'{"type":"order.placed","timestamp":"2026-05-04T03:02:01Z","data":{"a":[true,null,'
        b'{"id":"00000000-0000-0000-0000-000000000001"}],"at":"2026-05-04T00:00:00Z","b":"9.90"}}'
    )
    assert (prepared.recipient, prepared.destination, prepared.summary) == ("crm:1", "crm:1", "order.placed")
    reordered = changed(full, payload=dict(reversed(list(full.payload.items()))))
    assert gateway.prepare(reordered, EFFECT_ID) == prepared


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoint", ""),
        ("endpoint", "https://crm.example/hook"),
        ("endpoint", "a b"),
        ("endpoint", "a" * 201),
        ("endpoint", "crm\n"),
        ("event", ""),
        ("event", "order placed"),
        ("event", ".order"),
        ("event", "order..placed"),
        ("event", "order.placed\n"),
        ("event", "a" * 201),
        ("occurred_at", datetime(2026, 5, 4)),
    ],
)
def test_a_field_that_is_malformed_is_refused_by_its_name(field: str, value: object) -> None:
    with pytest.raises(InvalidField) as refusal:
        webhooks("https://crm.example/").prepare(changed(PLACED, **{field: value}), EFFECT_ID)
    assert refusal.value.field == field
    assert "crm.example" not in str(refusal.value)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({"a": float("nan")}, InvalidMessage),
        ({"a": "\ud800"}, InvalidMessage),
        ({"a": object()}, InvalidMessage),
        ({"a": "x" * 300_000}, PayloadTooLarge),
    ],
)
def test_a_payload_that_is_no_json_or_too_large_is_refused(payload: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        webhooks("https://crm.example/").prepare(changed(PLACED, payload=payload), EFFECT_ID)


def test_an_effect_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="does not take"):
        webhooks("https://crm.example/").prepare(Sms(to="+4915112345678", text="x"), EFFECT_ID)


def test_the_schedule_and_the_timeout_are_those_of_standard_webhooks_and_fit_the_defaults() -> None:
    gateway: Gateway = WebhookGateway(keeper("https://crm.example/"))
    assert (gateway.name, gateway.channel, gateway.live) == ("webhooks", "webhook", False)
    assert gateway.keeps.default_policy is Policy.AT_LEAST_ONCE
    assert gateway.retry is WEBHOOK_RETRY
    hours = timedelta(hours=1)
    assert [wait / hours for wait in gateway.retry.waits[3:]] == [2, 5, 10, 14, 20, 24]
    assert (gateway.retry.attempts_max, gateway.retry.longest) == (10, timedelta(hours=75, minutes=35, seconds=5))
    assert gateway.retry.longest < Settings().inbox_keep
    # The endpoint has 20 s from connection to answer; the rest is for look-ups and a second address.
    assert gateway.call_timeout == timedelta(seconds=40)
    changed = WebhookGateway(keeper("https://crm.example/"), slots=2, answer_timeout=timedelta(seconds=15))
    assert (changed.slots, changed.call_timeout) == (2, timedelta(seconds=30))


async def test_a_call_ends_within_its_timeout_whatever_is_slow(tmp_path: Path) -> None:
    async with receiver(hang, tmp_path) as (it, url):
        it.reads = False
        gateway = webhooks(url, port=it.port, answer_timeout=timedelta(seconds=3))
        async with asyncio.timeout(gateway.call_timeout.total_seconds()):
            assert isinstance(await send(gateway, PLACED), Unknown)


@pytest.mark.parametrize("settings", [{"slots": 0}, {"name": ""}, {"answer_timeout": timedelta()}])
def test_a_setting_that_cannot_work_stops_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        webhooks("https://crm.example/", **settings)


class PlaceOrder(Command):
    order: str


async def test_in_an_application_a_webhook_is_accepted_under_its_own_id(tmp_path: Path) -> None:
    shop = Module("shop")

    @shop.command
    async def place(command: PlaceOrder, effects: Effects) -> None:
        effects.request(Webhook(endpoint="crm", event="order.placed", payload={"order": command.order}))

    async with receiver(answers(200), tmp_path) as (it, url):
        gateway = webhooks(url, network=loopback_policy(it.port))
        async with Duly(modules=[shop], store="memory:", tenant="main", gateways=[gateway]) as app:
            await app.execute(PlaceOrder(order="O-7"))
            await app.until_quiet()
            (effect,) = await app.ledger().effects()
        (request,) = it.requests
    assert (effect.channel, effect.recipient, effect.state.value) == ("webhook", "crm", "accepted")
    assert effect.provider_id == effect.id == request.headers["webhook-id"]
    assert is_verified(NEW, request.body, request.headers)


@pytest.mark.parametrize("missing", ["standardwebhooks", "httpx"])
def test_a_missing_library_is_named_with_the_extra_that_brings_it(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import duly.gateways.webhook"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "ConfigurationError" in done.stderr
    assert f"{missing}, which is not installed" in done.stderr
    assert "'duly[webhooks]'" in done.stderr
