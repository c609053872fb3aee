import pytest

from examples.shop.sandbox.client import Behaviour, ReceiptRule, Sandbox, Settings
from tests.sandbox.senders import Senders

ANNA = "+4915112345678"
BERT = "+4915187654321"


def test_a_behaviour_lasts_for_as_many_requests_as_it_says(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "unavailable", times=2)
    assert [send.sms(ANNA).status_code for _ in range(3)] == [503, 503, 201]


def test_a_behaviour_without_a_number_lasts_until_it_is_ok_again(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "unavailable")
    assert [send.sms(ANNA).status_code for _ in range(3)] == [503, 503, 503]
    sandbox.set_behaviour("sms", ANNA, "ok")
    assert send.sms(ANNA).status_code == 201
    assert sandbox.accepted("sms")[0].behaviour is None


def test_an_outage_is_for_everyone_without_a_behaviour_of_their_own(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", "*", "unavailable")
    sandbox.set_behaviour("sms", ANNA, "ok")
    assert (send.sms(ANNA).status_code, send.sms(BERT).status_code) == (201, 503)
    assert send.invoice("cus_1", "key-1").status_code == 201


def test_the_behaviours_in_force_are_listed_with_what_is_left_of_them(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "refuse", times=3)
    sandbox.set_behaviour("email", "a@example.com", "hang", seconds=5)
    send.sms(ANNA)
    assert sandbox.behaviours() == [
        Behaviour(channel="sms", recipient=ANNA, behaviour="refuse", times=2),
        Behaviour(channel="email", recipient="a@example.com", behaviour="hang", seconds=5),
    ]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"channel": "fax"}, "channel is one of sms, email, billing"),
        ({"recipient": ""}, "recipient is a string"),
        ({"recipient": None}, "recipient is a string"),
        ({"behaviour": "explode"}, "behaviour is one of ok, refuse"),
        ({"times": 0}, "times is a whole number"),
        ({"times": True}, "times is a whole number"),
        ({"seconds": -1}, "seconds is a number"),
        ({"second": 1}, "unknown fields: second"),
        ({"channel": "email", "behaviour": "accept_and_die"}, "a mail server has no behaviour accept_and_die"),
    ],
)
def test_a_behaviour_that_makes_no_sense_is_refused(
    sandbox: Sandbox, send: Senders, wrong: dict[str, object], text: str
) -> None:
    document = {"channel": "sms", "recipient": ANNA, "behaviour": "refuse", **wrong}
    answer = send.http.post(f"{sandbox.addresses.control_url}/behaviours", json=document)
    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert sandbox.behaviours() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
def test_what_is_no_json_object_is_no_behaviour(sandbox: Sandbox, send: Senders, body: bytes) -> None:
    assert send.http.post(f"{sandbox.addresses.control_url}/behaviours", content=body).status_code == 400


def test_the_client_tells_what_the_control_api_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="times is a whole number from 1, or null for always, not 0"):
        sandbox.set_behaviour("sms", ANNA, "refuse", times=0)


def test_a_reset_forgets_all_but_the_files(sandbox: Sandbox, send: Senders) -> None:
    sid, invoice = send.sms(ANNA).json()["sid"], send.invoice("cus_1", "key-1").json()
    sandbox.set_behaviour("sms", ANNA, "refuse")
    sandbox.reset()
    assert (sandbox.behaviours(), sandbox.accepted("sms"), sandbox.requests("billing")) == ([], [], [])
    assert send.http.get(f"{send.messages_url}/{sid}.json", auth=send.credentials).status_code == 404
    assert send.invoice("cus_1", "key-1").json()["id"] != invoice["id"]
    assert sandbox.recorded("sms")[-1].provider_id == sid


def test_the_rules_for_receipts_are_listed_with_what_is_left_of_them(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_receipts("sms", ANNA, "doubled", result="undelivered", times=2)
    sandbox.set_receipts("billing", "*", "late", seconds=5)
    send.sms(ANNA)
    send.sms(BERT)
    assert sandbox.receipt_rules() == [
        ReceiptRule(channel="sms", recipient=ANNA, mood="doubled", result="undelivered", times=1),
        ReceiptRule(channel="billing", recipient="*", mood="late", seconds=5),
    ]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"channel": "email"}, "channel is one of sms, billing, not 'email'"),
        ({"recipient": ""}, "recipient is a string"),
        ({"mood": "sad"}, "mood is one of normal, none, late"),
        ({"result": "paid"}, "result is one of delivered, undelivered, failed, sent, or null, not 'paid'"),
        ({"channel": "billing", "result": "delivered"}, "result is one of paid, rejected, open, or null"),
        ({"mood": "stale"}, "no time stamp"),
        ({"channel": "billing", "mood": "reordered"}, "one event alone"),
        ({"times": 0}, "times is a whole number"),
        ({"seconds": "1"}, "seconds is a number"),
        ({"moods": 1}, "unknown fields: moods"),
    ],
)
def test_a_rule_for_receipts_that_makes_no_sense_is_refused(
    sandbox: Sandbox, send: Senders, wrong: dict[str, object], text: str
) -> None:
    document = {"channel": "sms", "recipient": ANNA, "mood": "none", **wrong}
    answer = send.http.post(f"{sandbox.addresses.control_url}/receipts", json=document)
    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert sandbox.receipt_rules() == []


def test_settings_are_in_force_until_the_reset(sandbox: Sandbox) -> None:
    changed = Settings(
        receipt_delay_seconds=1, index_lag_seconds=2, key_lifetime_seconds=3, webhook_url="http://localhost:1/events"
    )
    sandbox.set_settings(changed)
    assert sandbox.settings() == changed
    sandbox.reset()
    assert sandbox.settings() == Settings()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"receipt_delay_seconds": -1}, "receipt_delay_seconds is a number"),
        ({"index_lag_seconds": True}, "index_lag_seconds is a number"),
        ({"key_lifetime_seconds": "1"}, "key_lifetime_seconds is a number"),
        ({"webhook_url": 7}, "webhook_url is a URL, or null, not 7"),
        ({"webhook_url": "http://shop.example/"}, "'http://shop.example/' leads away"),
        ({"speed": 1}, "unknown fields: speed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    sandbox: Sandbox, send: Senders, wrong: dict[str, object], text: str
) -> None:
    answer = send.http.put(f"{sandbox.addresses.control_url}/settings", json=wrong)
    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert sandbox.settings() == Settings()


def test_each_provider_has_a_record_of_its_own(sandbox: Sandbox, send: Senders) -> None:
    send.sms(ANNA)
    send.mail("a@example.com")
    send.invoice("cus_1", "key-1")
    recipients = [sandbox.accepted(channel)[0].recipient for channel in ("sms", "email", "billing")]
    assert recipients == [ANNA, "a@example.com", "cus_1"]
