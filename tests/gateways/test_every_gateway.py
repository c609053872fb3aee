"""What all gateways promise alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from duly.errors import ReceiptRefused
from duly.gateways.console import ConsoleMail, ConsoleSms
from duly.gateways.http import KEYED_RETRY
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.recording import RecordingGateway
from duly.gateways.resend import ResendMail
from duly.gateways.smtp import SmtpGateway
from duly.gateways.twilio import TwilioSms
from duly.messages.message import Effect
from duly.messages.standard_effects import Email, Sms
from duly.ports.gateway import Gateway, TakesReceipts
from duly.states.attempt import NotSent
from duly.states.policy import Keeps, Policy
from duly.states.retry import EFFECT_RETRY, schedule_of
from tests.gateways.calls import EFFECT_ID, call_for, send
from tests.gateways.http_server import Behaviour, answers, drop, provider
from tests.gateways.incoming import incoming
from tests.gateways.smtp_server import Act, scripted

SECRET = "hush-hush"
SMS = Sms(to="+49 151 12345678", text="Shipped")
MAIL = Email(to="ann@example.com", subject="Shipped", text="Shipped", html="<p>Shipped</p>")


def twilio(port: int = 1, **settings: Any) -> Gateway:
    return TwilioSms("AC1", SECRET, from_number="+15005550006", base_url=f"http://127.0.0.1:{port}", **settings)


def json_http(port: int = 1, **settings: Any) -> Gateway:
    headers = {"Authorization": SECRET}
    url = f"http://127.0.0.1:{port}/{SECRET}"
    return JsonHttpGateway(Sms, url, name="json", recipient="to", headers=headers, **settings)


def smtp(port: int = 1, **settings: Any) -> Gateway:
    settings = {"sender": "a@shop.example", "tls": "none", "username": SECRET, "password": SECRET, **settings}
    return SmtpGateway("127.0.0.1", port, **settings)


def resend(port: int = 1, **settings: Any) -> Gateway:
    return ResendMail(SECRET, sender="a@shop.example", base_url=f"http://127.0.0.1:{port}", **settings)


REAL: list[tuple[Callable[..., Gateway], Effect]] = [(twilio, SMS), (json_http, SMS), (smtp, MAIL), (resend, MAIL)]
HARMLESS: list[tuple[Gateway, Effect]] = [
    (ConsoleSms(), SMS),
    (ConsoleMail(), MAIL),
    (RecordingGateway(Sms, Email), MAIL),
]


@pytest.mark.parametrize(("make", "effect"), REAL)
def test_a_real_gateway_reaches_nobody_unless_it_is_told(make: Callable[..., Gateway], effect: Effect) -> None:
    assert make().live is False
    assert make(live=True).live is True


@pytest.mark.parametrize(("make", "effect"), REAL)
async def test_a_gateway_that_is_not_live_refuses_even_to_be_called(
    make: Callable[..., Gateway], effect: Effect
) -> None:
    async with provider(answers(200, b'{"id": "x", "sid": "x"}')) as it:
        assert await send(make(it.port), effect) == NotSent(reason="not live", permanent=True)
        assert it.connections == 0


async def test_a_recording_gateway_can_play_one_that_is_not_live() -> None:
    gateway = RecordingGateway(Sms, live=False)
    assert await send(gateway, SMS) == NotSent(reason="not live", permanent=True)
    assert gateway.calls == []


@pytest.mark.parametrize(("gateway", "effect"), HARMLESS)
def test_what_reaches_nobody_is_always_live(gateway: Gateway, effect: Effect) -> None:
    assert gateway.live is True


@pytest.mark.parametrize(("gateway", "effect"), [*((make(), effect) for make, effect in REAL), *HARMLESS])
def test_the_same_effect_is_always_rendered_to_the_same_bytes(gateway: Gateway, effect: Effect) -> None:
    assert gateway.prepare(effect, EFFECT_ID) == gateway.prepare(effect, EFFECT_ID)
    assert type(effect) in gateway.effects


@pytest.mark.parametrize(("make", "effect"), REAL)
def test_slots_and_retries_are_settings_with_defaults(make: Callable[..., Gateway], effect: Effect) -> None:
    assert make().retry == (EFFECT_RETRY if make().keeps.key is None else KEYED_RETRY)
    assert make().slots in (4, 10)
    assert timedelta(seconds=30) <= make().call_timeout <= timedelta(minutes=13)
    schedule = schedule_of([1])
    changed = make(slots=2, retry=schedule)
    assert (changed.slots, changed.retry) == (2, schedule)


@pytest.mark.parametrize("behaviour", [answers(401, SECRET.encode()), answers(500, SECRET.encode()), drop])
@pytest.mark.parametrize(("make", "effect"), [(twilio, SMS), (json_http, SMS), (resend, MAIL)])
async def test_no_secret_is_shown_by_an_http_gateway_or_its_outcome(
    make: Callable[..., Gateway], effect: Effect, behaviour: Behaviour
) -> None:
    async with provider(behaviour) as it:
        gateway = make(it.port, live=True)
        outcome = await send(gateway, effect)
        assert len(it.requests) == 1
        assert SECRET in str(it.requests) or "Basic" in str(it.requests)
    for shown in (repr(gateway), str(gateway), repr(outcome), repr(call_for(gateway, effect))):
        assert SECRET not in shown


@pytest.mark.parametrize("reply", [f"535 no {SECRET}".encode(), f"454 no {SECRET}".encode(), Act.DROP])
async def test_no_secret_is_shown_by_the_mail_gateway_or_its_outcome(reply: bytes | Act) -> None:
    async with scripted(EHLO=b"250-loopback\r\n250 AUTH PLAIN", AUTH=reply) as it:
        gateway = smtp(it.port, live=True)
        outcome = await send(gateway, MAIL)
        assert "AUTH PLAIN" in str(it.commands)
    for shown in (repr(gateway), str(gateway), repr(outcome), repr(call_for(gateway, MAIL))):
        assert SECRET not in shown


async def test_a_gateway_can_be_closed_and_opened_again() -> None:
    async with provider(answers(201, b'{"sid": "SM1"}')) as it:
        gateway = twilio(it.port, live=True)
        for _ in range(2):
            await gateway.open()
            await gateway.open()
            await gateway.call(call_for(gateway, SMS))
            await gateway.close()
            await gateway.close()
        assert len(it.requests) == 2


def test_what_a_gateway_keeps_is_said_without_a_word_too_much() -> None:
    kept = {make.__name__: make().keeps.default_policy for make, _ in REAL}
    assert kept == {
        "twilio": Policy.AT_MOST_ONCE,
        "json_http": Policy.AT_MOST_ONCE,
        "smtp": Policy.AT_MOST_ONCE,
        "resend": Policy.KEYED,
    }
    assert all(gateway.keeps == Keeps() for gateway, _ in HARMLESS)


@pytest.mark.parametrize("make", [twilio, json_http, resend])
def test_a_gateway_that_was_told_nothing_of_receipts_hears_none(make: Callable[..., Gateway]) -> None:
    gateway = make()
    assert gateway.keeps.receipts is None
    assert isinstance(gateway, TakesReceipts)
    with pytest.raises(ReceiptRefused, match="hears no receipts"):
        gateway.receipts(incoming())


def without(*modules: str) -> str:
    return "import sys; sys.modules.update(dict.fromkeys(" + repr(modules) + ")); "


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def test_importing_the_package_imports_no_driver() -> None:
    drivers = "httpx,aiosmtplib,phonenumbers,email_validator,standardwebhooks"
    imports = "import sys, duly.gateways, duly.gateways.console, duly.gateways.recording; "
    assert run(f"{imports}print(set({drivers!r}.split(',')) & set(sys.modules))").strip() == "set()"


@pytest.mark.parametrize(
    ("missing", "code", "extra"),
    [
        ("httpx", "import duly.gateways.twilio", "duly[sms]"),
        ("httpx", "import duly.gateways.json_http", "duly[http]"),
        (
            "phonenumbers",
            "from duly.gateways.twilio import TwilioSms; TwilioSms('AC1', 't', from_number='X')",
            "duly[sms]",
        ),
        ("aiosmtplib", "import duly.gateways.smtp", "duly[mail]"),
        ("httpx", "import duly.gateways.resend", "duly[http]"),
        (
            "email_validator",
            "from duly.gateways.resend import ResendMail; ResendMail('re_1', sender='a@b.example')",
            "duly[mail]",
        ),
        (
            "standardwebhooks",
            "from duly.gateways.resend import ResendMail; "
            "ResendMail('re_1', sender='a@b.example', webhook_secrets=('whsec_' + 'A' * 32,))",
            "duly[webhooks]",
        ),
        (
            "email_validator",
            "from duly.gateways.smtp import SmtpGateway; SmtpGateway('h', 1, sender='a@b.example')",
            "duly[mail]",
        ),
    ],
)
def test_a_missing_driver_is_named_with_the_extra_that_brings_it(missing: str, code: str, extra: str) -> None:
    output = run(without(missing) + code)
    assert "ConfigurationError" in output
    assert "pip install" in output
    assert f"'{extra}'" in output
