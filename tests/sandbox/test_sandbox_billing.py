import json
import re

import httpx
import pytest

from examples.shop.sandbox.behaviours import BehaviourName
from examples.shop.sandbox.client import Sandbox, Settings
from tests.sandbox.senders import Senders, wait_until

ANNA = "cus_anna"


def outcomes(sandbox: Sandbox) -> list[str]:
    return [attempt.outcome for attempt in sandbox.requests("billing")]


def test_an_invoice_is_made_and_numbered(send: Senders) -> None:
    answer = send.invoice(ANNA, "key-1", reference="order-1")
    invoice = answer.json()
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers
    assert re.fullmatch("in_[0-9a-f]{24}", invoice["id"])
    assert (invoice["number"], invoice["object"], invoice["status"]) == ("INV-000001", "invoice", "open")
    assert (invoice["customer"], invoice["amount"], invoice["currency"]) == (ANNA, 1999, "EUR")
    assert send.invoice(ANNA, "key-2").json()["number"] == "INV-000002"


def test_an_invoice_is_in_the_file_when_its_answer_arrives(sandbox: Sandbox, send: Senders) -> None:
    invoice = send.invoice(ANNA, "key-1", reference="order-1").json()
    last = sandbox.recorded("billing")[-1]
    assert (last.provider_id, last.recipient, last.reference) == (invoice["id"], ANNA, "key-1")
    assert json.loads(last.body) == {"customer": ANNA, "amount": 1999, "currency": "EUR", "reference": "order-1"}
    assert (last.behaviour, outcomes(sandbox)) == (None, ["accepted"])


def test_the_same_key_with_the_same_body_replays_the_first_answer(sandbox: Sandbox, send: Senders) -> None:
    first, again = send.invoice(ANNA, "key-1"), send.invoice(ANNA, "key-1")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (len(sandbox.accepted("billing")), outcomes(sandbox)) == (1, ["accepted", "replayed"])


def test_the_order_of_the_fields_does_not_make_another_body(send: Senders) -> None:
    first = send.invoice(ANNA, "key-1")
    url, headers = f"{send.sandbox.addresses.billing_url}/invoices", {"Idempotency-Key": "key-1"}
    again = send.http.post(url, json={"currency": "EUR", "amount": 1999, "customer": ANNA}, headers=headers)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")


def test_the_same_key_with_another_body_is_an_idempotency_error(sandbox: Sandbox, send: Senders) -> None:
    send.invoice(ANNA, "key-1")
    answer = send.invoice(ANNA, "key-1", amount=1)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "idempotency_error")
    assert (len(sandbox.accepted("billing")), outcomes(sandbox)) == (1, ["accepted", "refused"])


def test_a_key_that_is_in_progress_is_a_conflict_until_its_sender_has_gone(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("billing", ANNA, "hang", times=1)
    hanging = send.unread_invoice(ANNA, "key-1")
    wait_until(lambda: outcomes(sandbox) == ["hung"])
    conflict = send.invoice(ANNA, "key-1")
    assert (conflict.status_code, conflict.json()["error"]["type"]) == (409, "idempotency_error")
    assert send.invoice(ANNA, "key-2").status_code == 201
    hanging.close()
    wait_until(lambda: send.invoice(ANNA, "key-1").status_code == 201)
    assert [taken.reference for taken in sandbox.accepted("billing")] == ["key-2", "key-1"]
    assert outcomes(sandbox)[:3] == ["hung", "conflicted", "accepted"]


def test_invoices_are_found_by_our_reference(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_settings(Settings(receipt_delay_seconds=3600))
    invoice = send.invoice(ANNA, "key-1", reference="order-1").json()
    send.invoice(ANNA, "key-2", reference="order-2")
    assert send.invoices("order-1") == [invoice]
    assert send.invoices("order-3") == []
    assert send.http.get(f"{send.sandbox.addresses.billing_url}/invoices").status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"amount": 1}', b'{"customer": 7}', b'{"customer": ""}'])
def test_a_body_without_customer_is_an_invalid_request(sandbox: Sandbox, send: Senders, body: bytes) -> None:
    url, headers = f"{send.sandbox.addresses.billing_url}/invoices", {"Idempotency-Key": "key-1"}
    answer = send.http.post(url, content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert (outcomes(sandbox), sandbox.accepted("billing")) == (["refused"], [])


def test_a_request_without_a_key_is_an_invalid_request(sandbox: Sandbox, send: Senders) -> None:
    answer = send.http.post(f"{send.sandbox.addresses.billing_url}/invoices", json={"customer": ANNA})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert (outcomes(sandbox), sandbox.accepted("billing")) == (["refused"], [])


@pytest.mark.parametrize(
    ("behaviour", "status", "kind", "outcome"),
    [
        ("refuse", 422, "invalid_request_error", "refused"),
        ("unauthorized", 401, "authentication_error", "unauthorized"),
        ("rate_limit", 429, "rate_limit_error", "rate_limited"),
        ("unavailable", 503, "api_error", "unavailable"),
    ],
)
def test_an_invoice_that_is_turned_away_was_not_made_and_its_key_is_free(
    sandbox: Sandbox, send: Senders, behaviour: BehaviourName, status: int, kind: str, outcome: str
) -> None:
    sandbox.set_behaviour("billing", ANNA, behaviour, times=1)
    answer = send.invoice(ANNA, "key-1", reference="order-1")
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
    assert (outcomes(sandbox), sandbox.accepted("billing"), send.invoices("order-1")) == ([outcome], [], [])
    again = send.invoice(ANNA, "key-1", reference="order-1")
    assert (again.status_code, "Idempotent-Replayed" in again.headers) == (201, False)


def test_a_rate_limit_tells_when_to_come_back(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("billing", ANNA, "rate_limit")
    assert send.invoice(ANNA, "key-1").headers["Retry-After"] == "1"


def test_a_dropped_invoice_was_made_and_the_next_try_gets_it(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("billing", ANNA, "accept_and_drop", times=2)
    for _ in range(2):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            send.invoice(ANNA, "key-1", reference="order-1")
    [taken] = sandbox.accepted("billing")
    assert (taken.recipient, taken.behaviour) == (ANNA, "accept_and_drop")
    assert sandbox.recorded("billing")[-1] == taken
    assert [invoice["id"] for invoice in send.invoices("order-1")] == [taken.provider_id]
    again = send.invoice(ANNA, "key-1", reference="order-1")
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (taken.provider_id, "true")
    assert outcomes(sandbox) == ["dropped", "dropped", "replayed"]


def test_an_invoice_that_exists_is_replayed_to_a_customer_who_would_be_refused(sandbox: Sandbox, send: Senders) -> None:
    first = send.invoice(ANNA, "key-1")
    sandbox.set_behaviour("billing", ANNA, "refuse")
    assert send.invoice(ANNA, "key-1").json() == first.json()
    assert send.invoice(ANNA, "key-2").status_code == 422


def test_a_hung_invoice_gets_no_answer_and_was_not_made(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("billing", ANNA, "hang", times=1)
    url, headers = f"{sandbox.addresses.billing_url}/invoices", {"Idempotency-Key": "key-1"}
    with pytest.raises(httpx.ReadTimeout):
        send.http.post(url, json={"customer": ANNA}, headers=headers, timeout=0.3)
    assert (outcomes(sandbox), sandbox.accepted("billing")) == (["hung"], [])


def test_a_silence_that_is_over_ends_as_unavailable(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("billing", ANNA, "hang", seconds=0.05, times=1)
    assert send.invoice(ANNA, "key-1").status_code == 503
    assert send.invoice(ANNA, "key-1").status_code == 201
