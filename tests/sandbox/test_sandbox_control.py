import pytest

from examples.shop.sandbox.client import Behaviour, Sandbox
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


def test_each_provider_has_a_record_of_its_own(sandbox: Sandbox, send: Senders) -> None:
    send.sms(ANNA)
    send.mail("a@example.com")
    send.invoice("cus_1", "key-1")
    recipients = [sandbox.accepted(channel)[0].recipient for channel in ("sms", "email", "billing")]
    assert recipients == [ANNA, "a@example.com", "cus_1"]
