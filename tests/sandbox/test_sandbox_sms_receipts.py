import base64
import hashlib
import hmac
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from examples.shop.sandbox.behaviours import BehaviourName
from examples.shop.sandbox.client import Receipt, Sandbox, Settings
from examples.shop.sandbox.receipt_rules import Result
from examples.shop.sandbox.sms import AUTH_TOKEN
from examples.shop.sandbox.sms_receipts import signature
from tests.sandbox.receiver import Received, Receiver
from tests.sandbox.senders import Senders, wait_until

ANNA = "+4915112345678"
BERT = "+4915187654321"
FAST = Settings(receipt_delay_seconds=0.01)


def signed_by(token: str, url: str, body: bytes) -> str:
    """Twilio's algorithm, written down once more from its documentation, on the raw form."""
    fields = sorted(parse_qsl(body.decode(), keep_blank_values=True))
    text = "".join([url, *(part for field in fields for part in field)])
    return base64.encodebytes(hmac.digest(token.encode(), text.encode("utf-8"), hashlib.sha1)).decode().strip()


def is_signed(got: Received, receiver: Receiver, token: str = AUTH_TOKEN) -> bool:
    return got.headers["x-twilio-signature"] == signed_by(token, receiver.url + got.target, got.body)


def statuses(receiver: Receiver, to: str = ANNA) -> list[str]:
    return [got.form["MessageStatus"] for got in receiver.received if got.form["To"] == to]


def send_all(sandbox: Sandbox, send: Senders, receiver: Receiver, to: str = ANNA) -> str:
    """Send an SMS and wait until all its receipts have been sent and written down; returns its sid."""
    sid = str(send.sms(to, StatusCallback=f"{receiver.url}/sms?token=a%2Fb~c").json()["sid"])
    wait_until(lambda: sandbox.pending_receipts() == 0)
    return sid


def test_the_example_of_twilios_documentation_has_twilios_signature() -> None:
    # https://www.twilio.com/docs/usage/security#validating-requests, as in the test of each of Twilio's libraries.
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    body = b"Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE"
    assert signature("12345", url, dict(parse_qsl(body.decode()))) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert signed_by("12345", url, body) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_a_message_is_reported_queued_then_sent_then_delivered(
    sandbox: Sandbox, send: Senders, receiver: Receiver
) -> None:
    sandbox.set_settings(FAST)
    sid = send_all(sandbox, send, receiver)
    assert statuses(receiver) == ["queued", "sent", "delivered"]
    assert all(got.target == "/sms?token=a%2Fb~c" and is_signed(got, receiver) for got in receiver.received)
    assert all(got.headers["content-type"].startswith("application/x-www-form-urlencoded") for got in receiver.received)
    assert receiver.received[1].form == {
        "SmsSid": sid,
        "SmsStatus": "sent",
        "MessageStatus": "sent",
        "To": ANNA,
        "MessageSid": sid,
        "AccountSid": sandbox.addresses.sms_account_sid,
        "ApiVersion": "2010-04-01",
        "From": "+4930901820",
    }
    assert set(receiver.received[2].form) - set(receiver.received[1].form) == {"RawDlrDoneDate"}


@pytest.mark.parametrize(
    ("result", "reported", "code"),
    [
        ("undelivered", ["queued", "sent", "undelivered"], "30005"),
        ("failed", ["queued", "failed"], "30001"),
        ("sent", ["queued", "sent"], None),
    ],
)
def test_a_message_that_does_not_arrive_is_reported_with_its_error(
    sandbox: Sandbox, send: Senders, receiver: Receiver, result: Result, reported: list[str], code: str | None
) -> None:
    sandbox.set_settings(FAST)
    sandbox.set_receipts("sms", ANNA, result=result)
    sid = send_all(sandbox, send, receiver)
    assert statuses(receiver) == reported
    assert [got.form.get("ErrorCode") for got in receiver.received] == [None] * (len(reported) - 1) + [code]
    assert all(is_signed(got, receiver) for got in receiver.received)
    found = send.http.get(f"{send.messages_url}/{sid}.json", auth=send.credentials).json()
    assert (found["status"], found["error_code"]) == (reported[-1], code and int(code))


def test_a_message_that_nobody_reports_on_is_delivered_all_the_same(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_settings(FAST)
    sid = send.sms(ANNA).json()["sid"]
    url = f"{send.messages_url}/{sid}.json"
    wait_until(lambda: send.http.get(url, auth=send.credentials).json()["status"] == "delivered")
    assert sandbox.receipts("sms") == []


def test_a_receipt_waits_for_its_time(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(Settings(receipt_delay_seconds=3600))
    send.sms(ANNA, StatusCallback=receiver.url)
    assert (receiver.received, sandbox.pending_receipts()) == ([], 3)


def test_a_lost_receipt_never_comes(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(FAST)
    sandbox.set_receipts("sms", ANNA, "none", times=1)
    send_all(sandbox, send, receiver)
    send_all(sandbox, send, receiver, to=BERT)
    assert (statuses(receiver, ANNA), len(statuses(receiver, BERT))) == ([], 3)
    send_all(sandbox, send, receiver)
    assert statuses(receiver) == ["queued", "sent", "delivered"]


def test_a_late_receipt_comes_later_than_those_of_later_messages(
    sandbox: Sandbox, send: Senders, receiver: Receiver
) -> None:
    sandbox.set_settings(FAST)
    sandbox.set_receipts("sms", ANNA, "late", seconds=3600)
    send.sms(ANNA, StatusCallback=receiver.url)
    send.sms(BERT, StatusCallback=receiver.url)
    wait_until(lambda: sandbox.pending_receipts() == 3)
    assert (statuses(receiver, ANNA), len(statuses(receiver, BERT))) == ([], 3)


def test_a_late_receipt_comes_in_the_end(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(FAST)
    send_all(sandbox, send, receiver)
    sandbox.set_receipts("sms", BERT, "late", seconds=0.2)
    on_time = receiver.received[-1].at
    send_all(sandbox, send, receiver, to=BERT)
    assert statuses(receiver, BERT) == ["queued", "sent", "delivered"]
    assert receiver.received[3].at - on_time >= 0.2
    assert all(is_signed(got, receiver) for got in receiver.received)


def test_a_doubled_receipt_comes_twice_byte_by_byte(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(FAST)
    sandbox.set_receipts("sms", ANNA, "doubled")
    send_all(sandbox, send, receiver)
    assert statuses(receiver) == ["queued", "queued", "sent", "sent", "delivered", "delivered"]
    first, again = receiver.received[:2]
    assert (first.body, first.headers) == (again.body, again.headers)
    tokens = {got.headers["i-twilio-idempotency-token"] for got in receiver.received}
    assert len(tokens) == 3


def test_reordered_receipts_say_delivered_before_sent(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(FAST)
    sandbox.set_receipts("sms", ANNA, "reordered")
    send_all(sandbox, send, receiver)
    assert statuses(receiver) == ["delivered", "sent", "queued"]
    assert all(is_signed(got, receiver) for got in receiver.received)


def test_early_receipts_come_before_the_answer(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(Settings(receipt_delay_seconds=3600))
    sandbox.set_receipts("sms", ANNA, "early")
    sid = send.sms(ANNA, StatusCallback=receiver.url + "/early").json()["sid"]
    assert statuses(receiver) == ["queued", "sent", "delivered"]
    assert all(got.form["MessageSid"] == sid and is_signed(got, receiver) for got in receiver.received)


@pytest.mark.parametrize(("result", "lie"), [("delivered", "undelivered"), ("undelivered", "delivered")])
def test_a_forged_receipt_lies_under_the_signature_of_somebody_else(
    sandbox: Sandbox, send: Senders, receiver: Receiver, result: Result, lie: str
) -> None:
    sandbox.set_settings(FAST)
    sandbox.set_receipts("sms", ANNA, "forged", result=result)
    sid = send_all(sandbox, send, receiver)
    [got] = receiver.received
    assert (got.form["MessageSid"], got.form["MessageStatus"]) == (sid, lie)
    assert not is_signed(got, receiver)
    assert len(base64.b64decode(got.headers["x-twilio-signature"])) == hashlib.sha1().digest_size


def test_a_tampered_receipt_lies_under_the_signature_of_the_truth(
    sandbox: Sandbox, send: Senders, receiver: Receiver
) -> None:
    sandbox.set_settings(FAST)
    sandbox.set_receipts("sms", ANNA, "tampered", result="failed")
    send_all(sandbox, send, receiver)
    [got] = receiver.received
    assert got.form["MessageStatus"] == "delivered"
    assert not is_signed(got, receiver)
    truth = got.form | {"MessageStatus": "failed", "SmsStatus": "failed", "ErrorCode": "30001"}
    del truth["RawDlrDoneDate"]
    assert got.headers["x-twilio-signature"] == signature(AUTH_TOKEN, receiver.url + got.target, truth)


def test_a_receipt_for_an_unknown_sid_is_rightly_signed(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(FAST)
    sandbox.set_receipts("sms", ANNA, "unknown_id")
    sid = send_all(sandbox, send, receiver)
    assert statuses(receiver) == ["queued", "sent", "delivered"]
    assert all(is_signed(got, receiver) for got in receiver.received)
    for got in receiver.received:
        unknown = got.form["MessageSid"]
        assert unknown != sid
        assert send.http.get(f"{send.messages_url}/{unknown}.json", auth=send.credentials).status_code == 404


def test_a_message_of_a_messaging_service_is_reported_without_a_sender(
    sandbox: Sandbox, send: Senders, receiver: Receiver
) -> None:
    sandbox.set_settings(FAST)
    service = "MG" + "0" * 32
    send.sms(ANNA, From="", MessagingServiceSid=service, StatusCallback=receiver.url + "/sms")
    wait_until(lambda: sandbox.pending_receipts() == 0)
    assert [got.form["MessagingServiceSid"] for got in receiver.received] == [service] * 3
    assert all("From" not in got.form and is_signed(got, receiver) for got in receiver.received)


@pytest.mark.parametrize("behaviour", ["accept_and_drop", "accept_and_die", "accept_and_fail", "accept_and_hang"])
def test_a_message_whose_answer_is_lost_is_reported(
    sandbox: Sandbox, send: Senders, receiver: Receiver, behaviour: BehaviourName
) -> None:
    sandbox.set_settings(FAST)
    sandbox.set_behaviour("sms", ANNA, behaviour, times=1, seconds=0)
    try:
        send.sms(ANNA, StatusCallback=receiver.url)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        assert behaviour in ("accept_and_drop", "accept_and_die")
    wait_until(lambda: statuses(receiver) == ["queued", "sent", "delivered"])
    assert {got.form["MessageSid"] for got in receiver.received} == {sandbox.accepted("sms")[0].provider_id}


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/sms",
        "http://10.0.0.1/sms",
        "http://0.0.0.0/sms",
        "http://127.0.0.1.example/sms",
        "http://127.0.0.1\\@shop.example/",
        "http://127.0.0.1@shop.example/",
        "https://127.0.0.1/sms",
        "file:///etc/passwd",
        "127.0.0.1/sms",
        "http://[::1/sms",
        "http://127.0.0.1:port/",
    ],
)
def test_a_callback_that_leads_away_is_refused(sandbox: Sandbox, send: Senders, url: str) -> None:
    answer = send.sms(ANNA, StatusCallback=url)
    assert (answer.status_code, answer.json()["code"]) == (400, 21609)
    assert (sandbox.accepted("sms"), sandbox.pending_receipts()) == ([], 0)


def test_a_receiver_that_redirects_is_not_followed(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(FAST)
    receiver.status, receiver.location = 307, f"{receiver.url}/elsewhere"
    send_all(sandbox, send, receiver)
    assert [got.target for got in receiver.received] == ["/sms?token=a%2Fb~c"] * 3
    assert [receipt.answer for receipt in sandbox.receipts("sms")] == [307] * 3


def test_each_receipt_is_on_the_record_with_its_answer(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(FAST)
    receiver.status = 503
    sandbox.set_receipts("sms", ANNA, "forged")
    sid = send_all(sandbox, send, receiver)
    [receipt] = sandbox.receipts("sms")
    assert receipt == Receipt(
        at=receipt.at,
        channel="sms",
        provider_id=sid,
        recipient=ANNA,
        status="undelivered",
        mood="forged",
        flaw="wrong_secret",
        url=f"{receiver.url}/sms?token=a%2Fb~c",
        answer=503,
        error=None,
    )
    assert sandbox.recorded_receipts("sms")[-1] == receipt


def test_a_receiver_that_is_not_there_gets_each_receipt_once(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_settings(FAST)
    send.sms(ANNA, StatusCallback="http://127.0.0.1:1/sms")
    wait_until(lambda: sandbox.pending_receipts() == 0)
    found = [(receipt.status, receipt.answer) for receipt in sandbox.receipts("sms")]
    assert found == [("queued", None), ("sent", None), ("delivered", None)]
    assert all(receipt.error is not None and "ConnectError" in receipt.error for receipt in sandbox.receipts("sms"))


def test_a_reset_sends_nothing_any_more(sandbox: Sandbox, send: Senders, receiver: Receiver) -> None:
    sandbox.set_settings(Settings(receipt_delay_seconds=3600))
    send.sms(ANNA, StatusCallback=receiver.url)
    sandbox.reset()
    assert (sandbox.pending_receipts(), sandbox.receipts("sms"), receiver.received) == (0, [], [])


def test_a_provider_that_died_answers_nobody_until_it_is_back(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "accept_and_die", times=1, seconds=3600)
    for number in (ANNA, BERT):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            send.sms(number)
    [taken] = sandbox.accepted("sms")
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        send.http.get(f"{send.messages_url}/{taken.provider_id}.json", auth=send.credentials)
    assert [attempt.outcome for attempt in sandbox.requests("sms")] == ["dropped", "down"]
    sandbox.reset()
    assert send.sms(BERT).status_code == 201


def test_a_path_of_the_callback_is_signed_as_it_is_asked_for(
    sandbox: Sandbox, send: Senders, receiver: Receiver
) -> None:
    sandbox.set_settings(FAST)
    url = f"{receiver.url}/receipts/twilio?effect=eyJhIjoxfQ.x-_~&next=%2Fa%20b"
    send.sms(ANNA, StatusCallback=url)
    wait_until(lambda: sandbox.pending_receipts() == 0)
    assert {receiver.url + got.target for got in receiver.received} == {url}
    assert urlsplit(url).query == "effect=eyJhIjoxfQ.x-_~&next=%2Fa%20b"
    assert all(is_signed(got, receiver) for got in receiver.received)
