"""What Twilio reports: verified as Twilio documents, then read, and the same report is the same receipt."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from duly.errors import ReceiptRefused
from duly.gateways.effect_token import EffectTokens
from duly.gateways.twilio import TwilioSms
from duly.gateways.twilio_receipts import signature_of
from duly.messages.standard_effects import Sms
from duly.ports.gateway import Incoming, Receipt
from duly.ports.secret import Secret
from duly.states.delivery import Delivery
from tests.gateways.calls import EFFECT_ID, send
from tests.gateways.http_server import answers, drop, provider
from tests.gateways.incoming import from_twilio, incoming

AUTH_TOKEN, SECONDARY = "primary-auth-token", "secondary-auth-token"
SECRET = "secret-of-our-own"
URL = "https://shop.example/receipts/twilio"
SMS = Sms(to="+4915112345678", text="Your code is 1234")
# As in https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
REPORT = {
    "AccountSid": "AC123",
    "ApiVersion": "2010-04-01",
    "From": "+15005550006",
    "MessageSid": "SM42",
    "MessageStatus": "delivered",
    "SmsSid": "SM42",
    "SmsStatus": "delivered",
    "To": "+4915112345678",
}


def twilio(**settings: Any) -> TwilioSms:
    settings = {
        "from_number": "+15005550006",
        "live": True,
        "receipts_url": URL,
        "receipt_secrets": (Secret(SECRET),),
        **settings,
    }
    return TwilioSms("AC123", Secret(AUTH_TOKEN), **settings)


def token_url(url: str = URL) -> str:
    return f"{url}?effect={EffectTokens('Twilio', 'twilio', [SECRET]).token(EFFECT_ID)}"


def report(url: str = "", *, auth_token: str = AUTH_TOKEN, **changes: str) -> Incoming:
    return from_twilio(url or token_url(), {**REPORT, **changes}, auth_token)


def read(it: Incoming, **settings: Any) -> Receipt:
    (receipt,) = twilio(**settings).receipts(it)
    return receipt


@pytest.mark.parametrize(
    ("form", "signature"),
    [
        # The worked example of Twilio's documentation of webhook security.
        (
            "Digits=1234&To=%2B18005551212&From=%2B12349013030&Caller=%2B12349013030&CallSid=CA1234567890ABCDE",
            "0/KCTR6DLpKmkAf8muzZqo1nDgQ=",
        ),
        # Those of the tests of twilio-python: another number, and fields that come several times.
        (
            "Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE",
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        ),
        ("Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234", "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
    ],
)
def test_the_signature_is_the_one_that_twilio_documents(form: str, signature: str) -> None:
    pairs = [(name, value) for name, values in parse_qs(form).items() for value in values]
    assert signature_of("https://mycompany.com/myapp.php?foo=1&bar=2", pairs, "12345") == signature


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        ("https://mycompany.com:1234/myapp.php", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("http://mycompany.com:1234/myapp.php", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        ("https://mycompany.com/myapp.php", "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("http://mycompany.com/myapp.php", "0ZXoZLH/DfblKGATFgpif+LLRf4="),
    ],
)
def test_twilio_may_sign_the_url_with_its_port_or_without(url: str, signature: str) -> None:
    # The signatures are those of the tests of twilio-python. They verify: what is missing is a message.
    body = b"Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE"
    signed = incoming("/myapp.php?foo=1&bar=2", body, {"X-Twilio-Signature": signature})
    gateway = TwilioSms("AC1", "12345", from_number="+15005550006", receipts_url=url, receipt_secrets=(SECRET,))
    with pytest.raises(ReceiptRefused, match="without MessageSid"):
        gateway.receipts(signed)


async def test_a_receipt_names_the_effect_of_a_call_whose_answer_was_lost() -> None:
    async with provider(drop) as it:
        gateway = twilio(base_url=it.url)
        await send(gateway, SMS)
        (callback,) = parse_qs(it.requests[0].body.decode())["StatusCallback"]
    (receipt,) = gateway.receipts(from_twilio(callback, REPORT, AUTH_TOKEN))
    assert (receipt.effect_id, receipt.provider_id, receipt.delivery) == (EFFECT_ID, "SM42", Delivery.DELIVERED)


@pytest.mark.parametrize(
    ("status", "delivery"),
    [
        ("accepted", None),
        ("scheduled", None),
        ("queued", None),
        ("sending", None),
        ("sent", Delivery.SENT),
        ("delivered", Delivery.DELIVERED),
        ("read", Delivery.READ),
        ("undelivered", Delivery.UNDELIVERED),
        ("failed", Delivery.REJECTED),
        ("canceled", Delivery.REJECTED),
        ("something_new", None),
    ],
)
def test_each_status_of_twilio_has_its_delivery(status: str, delivery: Delivery | None) -> None:
    receipt = read(report(MessageStatus=status))
    assert (receipt.delivery, receipt.detail) == (delivery, f"Twilio: {status}")
    assert (receipt.effect_id, receipt.provider_id, receipt.suppresses) == (EFFECT_ID, "SM42", "")


def test_the_detail_holds_the_code_of_an_error_and_neither_number_nor_text() -> None:
    receipt = read(report(MessageStatus="undelivered", ErrorCode="30003", ErrorMessage="to +4915112345678", Body="x"))
    assert receipt.detail == "Twilio: undelivered, error 30003, see https://www.twilio.com/docs/api/errors/30003"
    assert "4915112345678" not in str(receipt)


@pytest.mark.parametrize("code", ["", "0", "+4915112345678", "30003 for +49151", "9" * 40, "٣"])
def test_what_is_no_code_of_an_error_is_left_out(code: str) -> None:
    assert read(report(ErrorCode=code)).detail == "Twilio: delivered"


def test_who_has_answered_stop_is_suppressed_from_now_on() -> None:
    receipt = read(report(MessageStatus="failed", ErrorCode="21610"))
    assert (receipt.delivery, receipt.suppresses) == (Delivery.REJECTED, "opted out at the carrier (21610)")


def test_the_same_report_is_the_same_receipt_and_another_status_is_another() -> None:
    first, again, other = read(report()), read(report(RawDlrDoneDate="2605040302")), read(report(MessageStatus="sent"))
    assert first.dedupe == again.dedupe != other.dedupe
    assert read(report(MessageSid="SM43")).dedupe != first.dedupe
    assert read(report(ErrorCode="30003")).dedupe != first.dedupe


def test_fields_that_twilio_adds_without_notice_change_nothing() -> None:
    assert read(report(ChannelPrefix="", NewField=" with spaces & signs = 100 % ")) == read(report())


def test_the_auth_token_is_rotated_with_overlap() -> None:
    signed = report(auth_token=SECONDARY)
    assert read(signed, secondary_auth_token=Secret(SECONDARY)).provider_id == "SM42"
    with pytest.raises(ReceiptRefused):
        twilio().receipts(signed)


@pytest.mark.parametrize("url", [URL, f"{URL}?effect=", f"{URL}?effect={EFFECT_ID}", f"{URL}?effect={'x' * 90}"])
def test_a_receipt_without_a_token_of_ours_names_no_effect(url: str) -> None:
    receipt = read(report(url))
    assert (receipt.effect_id, receipt.provider_id) == (None, "SM42")


def test_a_url_with_parameters_of_its_own_keeps_them() -> None:
    url = f"{URL}?region=eu"
    token = token_url().partition("?")[2]
    assert read(report(f"{url}&{token}"), receipts_url=url).effect_id == EFFECT_ID


def forged() -> list[Incoming]:
    good = report()
    other = report(MessageStatus="failed")
    return [
        msgspec.structs.replace(good, headers=()),
        msgspec.structs.replace(good, headers=(("x-twilio-signature", ""),)),
        msgspec.structs.replace(good, headers=(("x-twilio-signature", "é\ud800"),)),
        msgspec.structs.replace(good, headers=other.headers),
        msgspec.structs.replace(good, body=other.body),
        msgspec.structs.replace(good, body=good.body + b"&ErrorCode=21610"),
        msgspec.structs.replace(good, body=b""),
        msgspec.structs.replace(good, body=b"\xff"),
        msgspec.structs.replace(good, body=b"a=%FF"),
        msgspec.structs.replace(good, body=b"&".join([b"a=1"] * 1_000)),
        msgspec.structs.replace(good, query=""),
        msgspec.structs.replace(good, query=good.query + "0"),
        msgspec.structs.replace(good, query="effect=\ud800"),
        report(auth_token="guessed"),
        report(auth_token=SECRET),
        report("https://evil.example/receipts/twilio"),
        from_twilio(URL, {"MessageStatus": "delivered"}, AUTH_TOKEN),
        from_twilio(URL, {"MessageSid": "SM42", "SmsStatus": "received", "Body": "hello"}, AUTH_TOKEN),
        from_twilio(URL, {"MessageSid": "x" * 300, "MessageStatus": "delivered"}, AUTH_TOKEN),
    ]


@pytest.mark.parametrize("number", range(len(forged())))
def test_a_receipt_that_is_forged_or_of_no_message_is_refused_and_not_quoted(number: int) -> None:
    with pytest.raises(ReceiptRefused) as refusal:
        twilio().receipts(forged()[number])
    assert not any(shown in str(refusal.value) for shown in ("4915112345678", AUTH_TOKEN, SECRET, "SM42"))


async def test_no_secret_is_shown_by_a_gateway_that_hears_receipts() -> None:
    async with provider(answers(201, b'{"sid": "SM42"}')) as it:
        gateway = twilio(base_url=it.url, secondary_auth_token=SECONDARY)
        outcome = await send(gateway, SMS)
        sent = it.requests[0].body.decode()
    assert not any(secret in f"{gateway!r} {outcome!r} {sent}" for secret in (AUTH_TOKEN, SECONDARY, SECRET))
