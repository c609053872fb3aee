"""Resend: one mail is one request under one key, every answer has its outcome, every report its receipt."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from duly.errors import ConfigurationError, InvalidField, InvalidMessage, PayloadTooLarge, ReceiptRefused
from duly.gateways.resend import MAIL_BYTES_MAX, ResendMail
from duly.messages.attachment import AttachmentRef, bytes_digest
from duly.messages.standard_effects import Email, Sms
from duly.ports.gateway import Call, Receipt
from duly.ports.secret import Secret
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.delivery import Delivery, Engagement
from duly.states.policy import Keeps, Policy, policy_mistakes
from tests.gateways.calls import EFFECT_ID, call_for, send
from tests.gateways.http_server import Behaviour, answers, breaks_off, drop, hang, patience, provider, trickles
from tests.gateways.incoming import WEBHOOK_SECRET, standard_webhook

API_KEY, OUR_SECRET = "re_key-that-nobody-may-see", "secret-of-our-own"
MAIL = Email(to="ann@example.com", subject="Your order", text="Shipped — 5 €", html="<p>Shipped</p>")
PDF = b"%PDF-1.7 \x00\xff"
ATTACHED = AttachmentRef(
    name="invoice.pdf", content_type="application/pdf", reference="r-1", digest=bytes_digest(PDF), size=len(PDF)
)
# As in https://resend.com/docs/webhooks/emails/bounced
REPORT = {
    "type": "email.delivered",
    "created_at": "2026-11-22T23:41:12.126Z",
    "data": {
        "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
        "created_at": "2026-11-22T23:41:11.894719+00:00",
        "from": "Acme <onboarding@resend.dev>",
        "to": ["ann@example.com"],
        "subject": "Your order",
    },
}


def resend(base_url: str = "http://127.0.0.1:1", **settings: Any) -> ResendMail:
    settings = {"sender": "Shop <orders@shop.example>", "live": True, **settings}
    return ResendMail(Secret(API_KEY), base_url=base_url, **settings)


def hearing(base_url: str = "http://127.0.0.1:1", **settings: Any) -> ResendMail:
    secrets = {"webhook_secrets": (Secret(WEBHOOK_SECRET),), "receipt_secrets": (Secret(OUR_SECRET),)}
    return resend(base_url, **{**secrets, **settings})


def error(name: str) -> bytes:
    return json.dumps({"statusCode": 400, "name": name, "message": "ann@example.com is wrong"}).encode()


async def try_once(gateway: ResendMail, call: Call) -> Outcome:
    await gateway.open()
    try:
        return await gateway.call(call)
    finally:
        await gateway.close()


async def test_an_accepted_mail_has_the_id_of_resend() -> None:
    async with provider(answers(200, b'{"id": "49a3999c"}')) as it:
        assert await send(resend(it.url), MAIL) == Accepted(provider_id="49a3999c", evidence="HTTP 200")
        (request,) = it.requests
    assert request.line == "POST /emails HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.headers["idempotency-key"] == f"key-{EFFECT_ID}"
    assert request.headers["user-agent"] == "duly"
    assert msgspec.json.decode(request.body) == {
        "from": "Shop <orders@shop.example>",
        "to": ["ann@example.com"],
        "subject": "Your order",
        "text": "Shipped — 5 €",
        "html": "<p>Shipped</p>",
    }


async def test_every_attempt_has_the_same_key_and_the_same_bytes_also_with_files() -> None:
    async with provider(answers(500)) as it:
        gateway = hearing(it.url)
        mail = msgspec.structs.replace(MAIL, attachments=(ATTACHED,), reply_to="help@shop.example")  # type: ignore[type-var]
        for number in (1, 2):
            call = msgspec.structs.replace(call_for(gateway, mail, number=number), files=(PDF,))
            assert isinstance(await try_once(gateway, call), Unknown)
        first, second = it.requests
    assert (first.headers["idempotency-key"], first.body) == (second.headers["idempotency-key"], second.body)
    sent = msgspec.json.decode(first.body)
    (attachment,) = sent["attachments"]
    assert (attachment["filename"], attachment["content_type"]) == ("invoice.pdf", "application/pdf")
    assert b64decode(attachment["content"]) == PDF
    assert sent["reply_to"] == "help@shop.example"


@pytest.mark.parametrize("files", [(), (PDF[:-1],), (PDF[:-1] + b"?",)])
async def test_a_mail_whose_files_are_not_those_that_were_attached_is_not_sent(files: tuple[bytes, ...]) -> None:
    async with provider(answers(200, b'{"id": "x"}')) as it:
        gateway = resend(it.url)
        mail = msgspec.structs.replace(MAIL, attachments=(ATTACHED,))  # type: ignore[type-var]
        outcome = await try_once(gateway, msgspec.structs.replace(call_for(gateway, mail), files=files))
        assert it.connections == 0
    assert isinstance(outcome, NotSent)
    assert outcome.permanent
    assert "bytes of attachment" in outcome.reason
    assert "invoice.pdf" not in outcome.reason


@pytest.mark.parametrize("key", ["", "k" * 257])
async def test_a_key_that_resend_does_not_take_is_not_sent(key: str) -> None:
    gateway = resend()
    outcome = await gateway.call(msgspec.structs.replace(call_for(gateway, MAIL), key=key))
    assert isinstance(outcome, NotSent)
    assert outcome.permanent


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"size": MAIL_BYTES_MAX * 3 // 4}, PayloadTooLarge),
        ({"name": "../invoice.pdf"}, InvalidField),
        ({"content_type": "text/html; charset=utf-8"}, InvalidField),
    ],
)
def test_a_file_that_resend_does_not_take_is_refused_at_the_door(
    change: dict[str, Any], refusal: type[Exception]
) -> None:
    mail = msgspec.structs.replace(MAIL, attachments=(msgspec.structs.replace(ATTACHED, **change),))  # type: ignore[type-var]
    with pytest.raises(refusal):
        resend().prepare(mail, EFFECT_ID)


@pytest.mark.parametrize(
    "behaviour",
    [
        drop,
        hang,
        breaks_off(200),
        trickles(200),
        answers(200),
        answers(200, b"<html>"),
        answers(200, b'{"id": ""}'),
        answers(408),
        answers(409),
        answers(409, error("concurrent_idempotent_requests")),
        answers(500, error("application_error")),
        answers(503, Retry_After="5"),
    ],
)
async def test_whatever_may_have_been_taken_is_unknown_and_was_asked_once(behaviour: Behaviour) -> None:
    async with provider(behaviour) as it:
        assert isinstance(await send(resend(it.url, **patience(behaviour)), MAIL), Unknown)
        assert (it.connections, len(it.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("status", "name", "permanent", "fault"),
    [
        (400, "validation_error", True, Fault.MESSAGE),
        (400, "invalid_idempotency_key", True, Fault.MESSAGE),
        (422, "missing_required_field", True, Fault.MESSAGE),
        (422, "invalid_attachment", True, Fault.MESSAGE),
        (409, "invalid_idempotent_request", True, Fault.MESSAGE),
        (422, "invalid_from_address", False, Fault.GATEWAY),
        (401, "missing_api_key", False, Fault.GATEWAY),
        (403, "invalid_api_key", False, Fault.GATEWAY),
        (403, "validation_error", False, Fault.GATEWAY),
        (404, "not_found", False, Fault.GATEWAY),
        (405, "method_not_allowed", False, Fault.GATEWAY),
        (429, "rate_limit_exceeded", False, Fault.PROVIDER),
        (429, "daily_quota_exceeded", False, Fault.GATEWAY),
        (429, "monthly_quota_exceeded", False, Fault.GATEWAY),
    ],
)
async def test_each_error_of_resends_documentation_has_its_outcome(
    status: int, name: str, permanent: bool, fault: Fault
) -> None:
    async with provider(answers(status, error(name), Retry_After="30")) as it:
        outcome = await send(resend(it.url), MAIL)
        assert len(it.requests) == 1
    assert isinstance(outcome, NotSent)
    assert (outcome.permanent, outcome.fault) == (permanent, fault)
    assert outcome.retry_after == (timedelta(seconds=30) if status == 429 else None)
    assert str(status) in outcome.reason
    assert "ann@example.com" not in outcome.reason


@pytest.mark.parametrize("name", ["ann@example.com", "x y", "", "ü"])
async def test_what_is_no_name_of_an_error_is_not_repeated(name: str) -> None:
    async with provider(answers(422, error(name))) as it:
        outcome = await send(resend(it.url), MAIL)
    assert outcome == NotSent(reason="HTTP 422: the message was refused", permanent=True)


def test_it_is_keyed_and_its_schedule_fits_into_the_life_of_a_key() -> None:
    gateway = resend()
    assert gateway.keeps.default_policy is Policy.KEYED
    assert gateway.keeps.receipts is None
    assert hearing().keeps.receipts is not None
    for replay in (timedelta(), timedelta(hours=12)):
        assert not policy_mistakes(
            Policy.KEYED, gateway.keeps, gateway.retry, where="", call_timeout=gateway.call_timeout, replay=replay
        )


@pytest.mark.parametrize(
    ("mail", "field"),
    [
        (Email(to="ann", subject="x", text="y"), "to"),
        (Email(to="ann@example.com", subject="x\nBcc: bob@example.com", text="y"), "subject"),
        (Email(to="ann@example.com", subject="x", text="y", reply_to="nobody"), "reply_to"),
        (Email(to="ann@example.com", subject="x", text="\ud800"), "text"),
    ],
)
def test_a_mail_that_cannot_go_out_is_refused_at_the_door(mail: Email, field: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        resend().prepare(mail, EFFECT_ID)
    assert refusal.value.field == field


def test_a_text_message_is_no_mail() -> None:
    with pytest.raises(InvalidMessage):
        resend().prepare(Sms(to="+4915112345678", text="x"), EFFECT_ID)


def receipt(changes: dict[str, Any] | None = None, **data: object) -> Receipt | None:
    document = {**REPORT, **(changes or {}), "data": {**REPORT["data"], **data}}  # type: ignore[dict-item]
    body = json.dumps(document).encode()
    found = hearing().receipts(standard_webhook(body, report_id="msg_7", prefix="svix"))
    return found[0] if found else None


def test_a_report_of_resend_becomes_a_receipt() -> None:
    assert receipt() == Receipt(
        dedupe="msg_7",
        provider_id="56761188-7520-42d8-8898-ff6fc54ce618",
        delivery=Delivery.DELIVERED,
        detail="Resend: email.delivered",
        occurred_at=datetime(2026, 11, 22, 23, 41, 12, 126_000, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("kind", "delivery", "engagement", "suppresses"),
    [
        ("email.scheduled", None, None, ""),
        ("email.sent", Delivery.SENT, None, ""),
        ("email.delivered", Delivery.DELIVERED, None, ""),
        ("email.delivery_delayed", Delivery.DEFERRED, None, ""),
        ("email.bounced", Delivery.BOUNCED, None, ""),
        ("email.failed", Delivery.REJECTED, None, ""),
        ("email.suppressed", Delivery.REJECTED, None, "on Resend's suppression list"),
        ("email.opened", None, Engagement.OPENED, ""),
        ("email.clicked", None, Engagement.CLICKED, ""),
        ("email.complained", None, Engagement.COMPLAINED, "complained of a mail as spam"),
    ],
)
def test_each_event_of_resend_has_its_meaning(
    kind: str, delivery: Delivery | None, engagement: Engagement | None, suppresses: str
) -> None:
    found = receipt({"type": kind})
    assert found is not None
    assert (found.delivery, found.engagement, found.suppresses) == (delivery, engagement, suppresses)


@pytest.mark.parametrize("kind", ["email.received", "contact.created", "domain.updated", "email.something_new"])
def test_an_event_about_no_mail_of_ours_means_nothing(kind: str) -> None:
    assert receipt({"type": kind}) is None


@pytest.mark.parametrize(
    ("kind", "suppresses"), [("Permanent", "bounced for good"), ("Transient", ""), ("Undetermined", "")]
)
def test_only_a_permanent_bounce_suppresses_and_its_words_are_left_out(kind: str, suppresses: str) -> None:
    bounce = {"type": kind, "subType": "General", "message": "550 <ann@example.com> unknown"}
    found = receipt({"type": "email.bounced"}, bounce=bounce)
    assert found is not None
    assert (found.detail, found.suppresses) == (f"Resend: email.bounced, {kind}, General", suppresses)
    assert "ann@example.com" not in str(found)


async def test_a_receipt_names_the_effect_of_a_call_whose_answer_was_lost() -> None:
    async with provider(drop) as it:
        await send(hearing(it.url), MAIL)
        (tag,) = msgspec.json.decode(it.requests[0].body)["tags"]
    found = receipt(tags={tag["name"]: tag["value"]})
    forged = receipt(tags={tag["name"]: tag["value"][:-1] + "_"})
    assert found is not None
    assert forged is not None
    assert (found.effect_id, forged.effect_id) == (EFFECT_ID, None)


def test_a_report_that_resend_has_not_signed_is_refused() -> None:
    body = json.dumps(REPORT).encode()
    with pytest.raises(ReceiptRefused):
        hearing().receipts(standard_webhook(body, secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"))
    with pytest.raises(ReceiptRefused, match="email_id"):
        hearing().receipts(standard_webhook(b'{"type": "email.sent"}'))


@pytest.mark.parametrize(
    "settings",
    [
        {"sender": "nobody"},
        {"slots": 0},
        {"name": ""},
        {"base_url": "api.resend.com"},
        {"webhook_secrets": ("whsec_hush",)},
        {"receipt_secrets": (OUR_SECRET,)},
        {"webhook_secrets": (WEBHOOK_SECRET,), "receipt_secrets": ("hush",)},
    ],
)
def test_a_setting_that_cannot_work_stops_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        resend(**settings)
    assert not any(secret in str(refusal.value) for secret in (API_KEY, OUR_SECRET, "hush"))


@pytest.mark.parametrize("api_key", ["", " ", "re_\n", "re_ü"])
def test_a_key_that_cannot_be_one_stops_the_start(api_key: str) -> None:
    with pytest.raises(ConfigurationError, match="api_key"):
        ResendMail(api_key, sender="orders@shop.example")


def test_nothing_is_kept_beyond_what_resend_promises() -> None:
    assert hearing().keeps == Keeps(key=resend().keeps.key, receipts=hearing().keeps.receipts)
