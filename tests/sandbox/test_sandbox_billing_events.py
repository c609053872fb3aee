import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from examples.shop.sandbox.client import Sandbox, SandboxDidNotStart, Settings, start
from examples.shop.sandbox.receipt_rules import Mood, Result
from tests.sandbox.receiver import Received, Receiver
from tests.sandbox.senders import Senders, wait_until

ANNA = "cus_anna"
BERT = "cus_bert"


@pytest.fixture
def hearing(sandbox: Sandbox, receiver: Receiver) -> Iterator[Receiver]:
    sandbox.set_settings(Settings(receipt_delay_seconds=0.01, webhook_url=f"{receiver.url}/events"))
    yield receiver
    sandbox.reset()


def is_signed(got: Received, secret: str) -> bool:
    """Standard Webhooks by its specification: HMAC-SHA256 over id, time and body, each as it came."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    return got.headers["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()


def events(receiver: Receiver, customer: str = ANNA) -> list[str]:
    found = [json.loads(got.body) for got in receiver.received]
    return [event["type"] for event in found if event["data"]["customer"] == customer]


def invoice_all(sandbox: Sandbox, send: Senders, key: str = "key-1", customer: str = ANNA) -> dict[str, object]:
    invoice: dict[str, object] = send.invoice(customer, key, reference="order-1").json()
    wait_until(lambda: sandbox.pending_receipts() == 0)
    return invoice


def test_an_invoice_that_is_paid_is_reported(sandbox: Sandbox, send: Senders, hearing: Receiver) -> None:
    invoice = invoice_all(sandbox, send)
    [got] = hearing.received
    event = Webhook(sandbox.addresses.billing_webhook_secret).verify(got.body, got.headers)
    assert (event["type"], event["data"]) == ("invoice.paid", {**invoice, "status": "paid"})
    assert (event["data"]["idempotency_key"], event["data"]["reference"]) == ("key-1", "order-1")
    assert int(datetime.fromisoformat(event["timestamp"]).timestamp()) == int(got.headers["webhook-timestamp"])
    assert is_signed(got, sandbox.addresses.billing_webhook_secret)
    assert (got.target, got.headers["content-type"]) == ("/events", "application/json")
    assert send.invoices("key-1") == [{**invoice, "status": "paid"}]


def test_an_invoice_that_is_rejected_is_reported(sandbox: Sandbox, send: Senders, hearing: Receiver) -> None:
    sandbox.set_receipts("billing", ANNA, result="rejected")
    invoice_all(sandbox, send)
    assert events(hearing) == ["invoice.rejected"]
    assert send.invoice_by_reference("key-1").json()["status"] == "rejected"


def test_an_invoice_that_nobody_pays_has_no_event(sandbox: Sandbox, send: Senders, hearing: Receiver) -> None:
    sandbox.set_receipts("billing", ANNA, result="open")
    invoice_all(sandbox, send)
    invoice_all(sandbox, send, key="key-2", customer=BERT)
    assert (events(hearing, ANNA), events(hearing, BERT)) == ([], ["invoice.paid"])
    assert send.invoice_by_reference("key-1").json()["status"] == "open"


def test_a_repeat_of_the_request_has_no_event_of_its_own(sandbox: Sandbox, send: Senders, hearing: Receiver) -> None:
    invoice_all(sandbox, send)
    invoice_all(sandbox, send)
    assert events(hearing) == ["invoice.paid"]


def test_nothing_is_reported_without_a_url(sandbox: Sandbox, send: Senders) -> None:
    send.invoice(ANNA, "key-1")
    assert (sandbox.pending_receipts(), sandbox.receipts("billing")) == (0, [])


def test_a_lost_event_never_comes(sandbox: Sandbox, send: Senders, hearing: Receiver) -> None:
    sandbox.set_receipts("billing", ANNA, "none")
    invoice_all(sandbox, send)
    invoice_all(sandbox, send, key="key-2", customer=BERT)
    assert (events(hearing, ANNA), events(hearing, BERT)) == ([], ["invoice.paid"])


def test_a_late_event_comes_after_those_of_later_invoices(sandbox: Sandbox, send: Senders, hearing: Receiver) -> None:
    sandbox.set_receipts("billing", ANNA, "late", seconds=0.5)
    accepted_before = time.monotonic()
    send.invoice(ANNA, "key-1")
    wait_until(lambda: sandbox.pending_receipts() == 0)
    [got] = hearing.received
    assert got.at - accepted_before >= 0.5
    assert is_signed(got, sandbox.addresses.billing_webhook_secret)


def test_a_doubled_event_has_one_id(sandbox: Sandbox, send: Senders, hearing: Receiver) -> None:
    sandbox.set_receipts("billing", ANNA, "doubled")
    invoice_all(sandbox, send)
    assert events(hearing) == ["invoice.paid"] * 2
    assert len({got.headers["webhook-id"] for got in hearing.received}) == 1
    assert all(is_signed(got, sandbox.addresses.billing_webhook_secret) for got in hearing.received)


def test_an_early_event_comes_before_the_answer(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(Settings(receipt_delay_seconds=3600, webhook_url=receiver.url))
    sandbox.set_receipts("billing", ANNA, "early")
    invoice = send.invoice(ANNA, "key-1").json()
    [got] = receiver.received
    assert json.loads(got.body)["data"]["id"] == invoice["id"]
    assert is_signed(got, sandbox.addresses.billing_webhook_secret)


@pytest.mark.parametrize(("result", "lie"), [("paid", "rejected"), ("rejected", "paid"), ("open", "paid")])
@pytest.mark.parametrize("mood", ["forged", "tampered"])
def test_a_lie_about_an_invoice_has_no_signature_that_holds(
    sandbox: Sandbox, send: Senders, hearing: Receiver, mood: Mood, result: Result, lie: str
) -> None:
    sandbox.set_receipts("billing", ANNA, mood, result=result)
    invoice = invoice_all(sandbox, send)
    [got] = hearing.received
    event = json.loads(got.body)
    assert (event["type"], event["data"]["id"]) == (f"invoice.{lie}", invoice["id"])
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(sandbox.addresses.billing_webhook_secret).verify(got.body, got.headers)
    truth = got.body.replace(f'"invoice.{lie}"'.encode(), f'"invoice.{result}"'.encode())
    truth = truth.replace(f'"status": "{lie}"'.encode(), f'"status": "{result}"'.encode())
    holds_for_the_truth = is_signed(replace(got, body=truth), sandbox.addresses.billing_webhook_secret)
    assert holds_for_the_truth is (mood == "tampered")


def test_an_event_about_an_unknown_invoice_is_rightly_signed(
    sandbox: Sandbox, send: Senders, hearing: Receiver
) -> None:
    sandbox.set_receipts("billing", ANNA, "unknown_id")
    invoice = invoice_all(sandbox, send)
    [got] = hearing.received
    data = Webhook(sandbox.addresses.billing_webhook_secret).verify(got.body, got.headers)["data"]
    assert data["id"] != invoice["id"]
    for reference in (data["reference"], data["idempotency_key"]):
        assert send.invoice_by_reference(reference).status_code == 404


def test_a_stale_event_is_rightly_signed_but_too_old(sandbox: Sandbox, send: Senders, hearing: Receiver) -> None:
    sandbox.set_receipts("billing", ANNA, "stale")
    invoice_all(sandbox, send)
    [got] = hearing.received
    assert is_signed(got, sandbox.addresses.billing_webhook_secret)
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(sandbox.addresses.billing_webhook_secret).verify(got.body, got.headers)


def test_each_event_is_on_the_record(sandbox: Sandbox, send: Senders, hearing: Receiver) -> None:
    sandbox.set_receipts("billing", ANNA, "stale")
    invoice = invoice_all(sandbox, send)
    [receipt] = sandbox.receipts("billing")
    assert (receipt.provider_id, receipt.recipient, receipt.status) == (invoice["id"], ANNA, "paid")
    assert (receipt.mood, receipt.flaw, receipt.answer) == ("stale", "old_timestamp", 204)
    assert sandbox.receipts("sms") == []


def test_the_secret_is_given_at_the_start(tmp_path: Path, http: httpx.Client, receiver: Receiver) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    with start(tmp_path, webhook_secret=secret) as sandbox:
        assert sandbox.addresses.billing_webhook_secret == secret
        sandbox.set_settings(Settings(receipt_delay_seconds=0.01, webhook_url=receiver.url))
        invoice_all(sandbox, Senders(sandbox, http))
        [got] = receiver.received
        assert is_signed(got, secret)
        receiver.received.clear()
    assert (tmp_path / "stderr.txt").read_text() == ""


def test_a_secret_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SandboxDidNotStart, match="it is whsec_ and then base64"):
        start(tmp_path, webhook_secret="whsec_")
