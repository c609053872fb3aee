import re
from email.utils import parsedate_to_datetime

import httpx
import pytest

from examples.shop.sandbox.behaviours import BehaviourName
from examples.shop.sandbox.client import Sandbox, Settings
from examples.shop.sandbox.sms import ACCOUNT_SID, AUTH_TOKEN
from examples.shop.sandbox.sms_answers import segments
from tests.sandbox.senders import Senders

ANNA = "+4915112345678"
BERT = "+4915187654321"


def outcomes(sandbox: Sandbox) -> list[str]:
    return [attempt.outcome for attempt in sandbox.requests("sms")]


def test_an_accepted_sms_is_answered_as_twilio_answers(send: Senders) -> None:
    answer = send.sms(ANNA, "Hello")
    document = answer.json()
    account_sid, sid = document["account_sid"], document["sid"]
    assert answer.status_code == 201
    assert re.fullmatch("SM[0-9a-f]{32}", sid)
    assert parsedate_to_datetime(document.pop("date_created")) == parsedate_to_datetime(document.pop("date_updated"))
    assert document == {
        "account_sid": send.credentials[0],
        "api_version": "2010-04-01",
        "body": "Hello",
        "date_sent": None,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": "+4930901820",
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": "USD",
        "sid": sid,
        "status": "queued",
        "subresource_uris": {"media": f"/2010-04-01/Accounts/{account_sid}/Messages/{sid}/Media.json"},
        "to": ANNA,
        "uri": f"/2010-04-01/Accounts/{account_sid}/Messages/{sid}.json",
    }


def test_an_sms_is_in_the_file_when_its_answer_arrives(sandbox: Sandbox, send: Senders) -> None:
    sid = send.sms(ANNA, "Grüße", StatusCallback="http://127.0.0.1:1/sms").json()["sid"]
    last = sandbox.recorded("sms")[-1]
    assert (last.provider_id, last.recipient, last.body, last.reference) == (sid, ANNA, "Grüße", None)
    assert (last.behaviour, last.status_callback) == (None, "http://127.0.0.1:1/sms")
    assert outcomes(sandbox) == ["accepted"]


def test_the_same_sms_sent_twice_is_two_messages(sandbox: Sandbox, send: Senders) -> None:
    sids = {send.sms(ANNA).json()["sid"] for _ in range(2)}
    assert {taken.provider_id for taken in sandbox.accepted("sms")} == sids
    assert len(sids) == 2


def test_a_message_is_found_by_its_sid(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_settings(Settings(receipt_delay_seconds=3600))
    taken = send.sms(ANNA).json()
    found = send.http.get(f"{send.messages_url}/{taken['sid']}.json", auth=send.credentials)
    assert (found.status_code, found.json()) == (200, taken)


def test_an_unknown_sid_is_not_found(send: Senders) -> None:
    found = send.http.get(f"{send.messages_url}/SM{'0' * 32}.json", auth=send.credentials)
    assert (found.status_code, found.json()["code"]) == (404, 20404)


def test_a_messaging_service_takes_the_message_before_it_has_a_sender(send: Senders) -> None:
    document = send.sms(ANNA, From="", MessagingServiceSid="MG" + "0" * 32).json()
    assert (document["status"], document["from"], document["num_segments"]) == ("accepted", None, "0")
    assert document["messaging_service_sid"] == "MG" + "0" * 32


@pytest.mark.parametrize("credentials", [(ACCOUNT_SID, "wrong"), ("AC0", AUTH_TOKEN), ("", "")])
def test_wrong_credentials_are_unauthorized(sandbox: Sandbox, send: Senders, credentials: tuple[str, str]) -> None:
    form = {"To": ANNA, "From": "+4930901820", "Body": "Hello"}
    answer = send.http.post(f"{send.messages_url}.json", data=form, auth=credentials)
    assert answer.status_code == 401
    assert answer.json() == {
        "code": 20003,
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    }
    assert (outcomes(sandbox), sandbox.accepted("sms")) == (["unauthorized"], [])
    assert send.http.get(f"{send.messages_url}/SM0.json", auth=credentials).status_code == 401


def test_the_account_of_another_is_unauthorized(send: Senders) -> None:
    url = f"{send.sandbox.addresses.sms_url}/2010-04-01/Accounts/AC0/Messages.json"
    assert send.http.post(url, data={"To": ANNA}, auth=send.credentials).status_code == 401


def test_a_request_without_credentials_is_unauthorized(send: Senders) -> None:
    answer = send.http.post(f"{send.messages_url}.json", data={"To": ANNA})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="Twilio API"')


@pytest.mark.parametrize("header", ["Basic", "Basic ???", "Basic /w==", "Bearer abc"])
def test_an_authorization_that_makes_no_sense_is_unauthorized(send: Senders, header: str) -> None:
    answer = send.http.post(f"{send.messages_url}.json", data={"To": ANNA}, headers={"Authorization": header})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"To": "015112345678"}, 21211),
        ({"To": "+49151 12345678"}, 21211),
        ({"To": ""}, 21604),
        ({"From": ""}, 21603),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
    ],
)
def test_a_form_that_twilio_would_not_take_is_a_400(
    sandbox: Sandbox, send: Senders, form: dict[str, str], code: int
) -> None:
    answer = send.sms(**{"to": ANNA, **form})
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (400, code, 400)
    assert (outcomes(sandbox), sandbox.accepted("sms")) == (["refused"], [])


@pytest.mark.parametrize(
    ("behaviour", "status", "code", "outcome"),
    [
        ("refuse", 400, 21610, "refused"),
        ("unauthorized", 401, 20003, "unauthorized"),
        ("rate_limit", 429, 20429, "rate_limited"),
        ("unavailable", 503, 20503, "unavailable"),
    ],
)
def test_an_sms_that_is_turned_away_was_not_taken(
    sandbox: Sandbox, send: Senders, behaviour: BehaviourName, status: int, code: int, outcome: str
) -> None:
    sandbox.set_behaviour("sms", ANNA, behaviour, times=1)
    answer = send.sms(ANNA)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (outcomes(sandbox), sandbox.accepted("sms")) == ([outcome], [])
    assert send.sms(ANNA).status_code == 201


def test_a_rate_limit_tells_when_to_come_back(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "rate_limit", seconds=2.5)
    assert send.sms(ANNA).headers["Retry-After"] == "3"


def test_a_behaviour_is_for_one_recipient_alone(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "refuse")
    assert send.sms(BERT).status_code == 201


def test_a_dropped_sms_was_taken_and_is_on_the_record(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "accept_and_drop", times=1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        send.sms(ANNA)
    [taken] = sandbox.accepted("sms")
    assert (taken.recipient, taken.behaviour) == (ANNA, "accept_and_drop")
    assert sandbox.recorded("sms")[-1] == taken
    assert outcomes(sandbox) == ["dropped"]
    assert send.http.get(f"{send.messages_url}/{taken.provider_id}.json", auth=send.credentials).status_code == 200


def test_an_sms_that_is_taken_and_answered_with_500_is_on_the_record(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "accept_and_fail", times=1)
    answer = send.sms(ANNA)
    assert (answer.status_code, answer.json()["code"]) == (500, 20500)
    assert send.sms(ANNA).status_code == 201
    assert [taken.behaviour for taken in sandbox.accepted("sms")] == ["accept_and_fail", None]
    assert (outcomes(sandbox), sandbox.times_taken("sms")) == (["failed", "accepted"], {ANNA: 2})


def test_an_sms_that_is_taken_in_silence_is_on_the_record(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "accept_and_hang")
    form = {"To": ANNA, "From": "+4930901820", "Body": "Hello"}
    with pytest.raises(httpx.ReadTimeout):
        send.http.post(f"{send.messages_url}.json", data=form, auth=send.credentials, timeout=0.3)
    assert (outcomes(sandbox), [taken.recipient for taken in sandbox.accepted("sms")]) == (["silent"], [ANNA])
    sandbox.set_behaviour("sms", ANNA, "accept_and_hang", seconds=0.05)
    answer = send.sms(ANNA)
    assert (answer.status_code, answer.json()["sid"]) == (201, sandbox.accepted("sms")[-1].provider_id)


def test_a_hung_sms_gets_no_answer_and_was_not_taken(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "hang")
    form = {"To": ANNA, "From": "+4930901820", "Body": "Hello"}
    with pytest.raises(httpx.ReadTimeout):
        send.http.post(f"{send.messages_url}.json", data=form, auth=send.credentials, timeout=0.3)
    assert (outcomes(sandbox), sandbox.accepted("sms")) == (["hung"], [])


def test_a_silence_that_is_over_ends_as_unavailable(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("sms", ANNA, "hang", seconds=0.05)
    assert send.sms(ANNA).status_code == 503
    assert sandbox.accepted("sms") == []


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("Я" * 70, 1),
        ("Я" * 71, 2),
        ("💩" * 35, 1),
        ("💩" * 36, 2),
    ],
)
def test_a_text_is_counted_in_segments_by_its_alphabet(body: str, count: int) -> None:
    assert segments(body) == count
