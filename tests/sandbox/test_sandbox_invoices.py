"""What the billing API remembers: its invoices, its keys, and what its look-ups tell of them."""

from dataclasses import dataclass, field

import httpx
import pytest

from examples.shop.sandbox.client import Sandbox, Settings
from examples.shop.sandbox.invoices import Invoices
from examples.shop.sandbox.settings import SettingsInForce
from tests.sandbox.senders import Senders, letter, wait_until

ANNA = "cus_anna"


@dataclass
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Books:
    """Invoices under a clock that the test moves."""

    settings: SettingsInForce = field(default_factory=SettingsInForce)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.invoices = Invoices(self.settings, self.clock)

    def make(self, key: str = "key-1") -> str:
        document, _ = self.invoices.make(key, {"customer": ANNA, "reference": "order-1"}, "{}", ("paid",))
        return str(document["id"])


def test_the_list_knows_an_invoice_when_its_index_has_caught_up() -> None:
    books = Books()
    books.settings.now = Settings(index_lag_seconds=5)
    made = books.make()
    books.clock.seconds += 4.9
    assert books.invoices.listed("key-1") == []
    books.clock.seconds += 0.1
    assert [invoice["id"] for invoice in books.invoices.listed("key-1")] == [made]


def test_a_key_is_known_for_its_lifetime() -> None:
    books = Books()
    books.settings.now = Settings(key_lifetime_seconds=60)
    made = books.make()
    books.clock.seconds += 59.9
    first = books.invoices.first("key-1")
    assert first is not None
    assert first.invoice["id"] == made
    books.clock.seconds += 0.1
    assert books.invoices.first("key-1") is None
    assert [invoice["id"] for invoice in books.invoices.listed("key-1")] == [made]


def test_a_repeat_after_its_key_was_forgotten_starts_a_new_lifetime() -> None:
    books = Books()
    books.settings.now = Settings(key_lifetime_seconds=60)
    books.make()
    books.clock.seconds += 60
    again = books.make()
    books.clock.seconds += 59
    first = books.invoices.first("key-1")
    assert first is not None
    assert first.invoice["id"] == again


def test_an_invoice_is_paid_when_its_time_has_come() -> None:
    books = Books()
    books.settings.now = Settings(receipt_delay_seconds=10)
    books.make()
    assert [invoice["status"] for invoice in books.invoices.listed("key-1")] == ["open"]
    books.clock.seconds += 10
    assert [invoice["status"] for invoice in books.invoices.listed("key-1")] == ["paid"]


def test_by_reference_has_no_lag(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_settings(Settings(index_lag_seconds=3600, receipt_delay_seconds=3600))
    invoice = send.invoice(ANNA, "acme:order/1", reference="order-1").json()
    assert (send.invoices("acme:order/1"), send.invoices("order-1")) == ([], [])
    for reference in ("acme:order/1", "order-1"):
        found = send.invoice_by_reference(reference)
        assert (found.status_code, found.json()) == (200, invoice)
    assert send.invoice_by_reference("order-2").status_code == 404


def test_the_list_catches_up(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_settings(Settings(index_lag_seconds=0.2))
    invoice = send.invoice(ANNA, "key-1").json()
    wait_until(lambda: [found["id"] for found in send.invoices("key-1")] == [invoice["id"]])


def test_a_repeat_after_the_keys_lifetime_is_a_second_invoice_and_a_duplicate(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_settings(Settings(key_lifetime_seconds=0))
    first, second = (send.invoice(ANNA, "key-1").json() for _ in range(2))
    send.invoice(ANNA, "key-2")
    assert [found["id"] for found in send.invoices("key-1")] == [first["id"], second["id"]]
    assert (first["number"], second["number"]) == ("INV-000001", "INV-000002")
    assert send.invoice_by_reference("key-1").json()["id"] == first["id"]
    [duplicate] = sandbox.duplicates("billing")
    assert (duplicate.provider_id, duplicate.duplicate_of) == (second["id"], first["id"])
    assert sandbox.times_taken_by_reference("billing") == {"key-1": 2, "key-2": 1}
    assert sandbox.times_taken("billing") == {ANNA: 3}
    assert duplicate in sandbox.recorded("billing")


def test_forgotten_keys_are_forgotten_at_once(sandbox: Sandbox, send: Senders) -> None:
    first = send.invoice(ANNA, "key-1").json()
    assert send.invoice(ANNA, "key-1").json()["id"] == first["id"]
    sandbox.forget_keys()
    second = send.invoice(ANNA, "key-1", amount=1).json()
    assert second["id"] != first["id"]
    assert [taken.duplicate_of for taken in sandbox.accepted("billing")] == [None, first["id"]]


def test_a_replay_is_no_duplicate(sandbox: Sandbox, send: Senders) -> None:
    for _ in range(3):
        send.invoice(ANNA, "key-1")
    assert (sandbox.duplicates("billing"), sandbox.times_taken_by_reference("billing")) == ([], {"key-1": 1})


def test_a_mail_that_comes_twice_is_a_duplicate_for_each_of_its_recipients(sandbox: Sandbox, send: Senders) -> None:
    send.mail("a@example.com", "b@example.com", mail=letter(message_id="<1@shop.example.com>"))
    assert sandbox.duplicates("email") == []
    send.mail("b@example.com", mail=letter(message_id="<1@shop.example.com>"))
    assert [taken.recipient for taken in sandbox.duplicates("email")] == ["b@example.com"]
    assert sandbox.times_taken_by_reference("email") == {"<1@shop.example.com>": 2}
    assert sandbox.times_taken("email") == {"a@example.com": 1, "b@example.com": 2}


def test_an_sms_has_no_reference_and_each_one_counts(sandbox: Sandbox, send: Senders) -> None:
    for _ in range(2):
        send.sms("+4915112345678")
    assert (sandbox.times_taken("sms"), sandbox.duplicates("sms")) == ({"+4915112345678": 2}, [])
    assert sandbox.times_taken_by_reference("sms") == {}


def test_an_invoice_that_is_taken_and_answered_with_500_exists(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("billing", ANNA, "accept_and_fail", times=1)
    answer = send.invoice(ANNA, "key-1")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "api_error")
    again = send.invoice(ANNA, "key-1")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    [taken] = sandbox.accepted("billing")
    assert (taken.provider_id, taken.behaviour) == (again.json()["id"], "accept_and_fail")
    assert [attempt.outcome for attempt in sandbox.requests("billing")] == ["failed", "replayed"]


def test_an_invoice_that_is_taken_in_silence_exists_before_its_answer(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("billing", ANNA, "accept_and_hang", times=1)
    waiting = send.unread_invoice(ANNA, "key-1")
    wait_until(lambda: [attempt.outcome for attempt in sandbox.requests("billing")] == ["silent"])
    assert send.invoice_by_reference("key-1").status_code == 200
    assert send.invoice(ANNA, "key-1").status_code == 409
    waiting.close()
    wait_until(lambda: send.invoice(ANNA, "key-1").status_code == 201)
    assert len(sandbox.accepted("billing")) == 1


def test_a_silence_after_taking_ends_with_the_answer(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("billing", ANNA, "accept_and_hang", seconds=0.05)
    answer = send.invoice(ANNA, "key-1")
    assert (answer.status_code, answer.json()["id"]) == (201, sandbox.accepted("billing")[0].provider_id)


def test_a_billing_api_that_died_after_taking_answers_no_look_up_either(sandbox: Sandbox, send: Senders) -> None:
    lost = (httpx.RemoteProtocolError, httpx.ReadError)
    sandbox.set_behaviour("billing", ANNA, "accept_and_die", times=1, seconds=0.3)
    with pytest.raises(lost):
        send.invoice(ANNA, "key-1")
    with pytest.raises(lost):
        send.invoice_by_reference("key-1")
    with pytest.raises(lost):
        send.invoices("key-1")
    with pytest.raises(lost):
        send.invoice("cus_bert", "key-2")
    assert [attempt.outcome for attempt in sandbox.requests("billing")] == ["dropped", "down"]

    def is_back() -> bool:
        try:
            return send.invoice_by_reference("key-1").status_code == 200
        except lost:
            return False

    wait_until(is_back)
    assert len(sandbox.accepted("billing")) == 1
