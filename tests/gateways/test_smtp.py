"""SMTP: what happens before the final dot was not sent, what happens after it may have been."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import msgspec
import pytest

from duly.errors import ConfigurationError
from duly.gateways.smtp import SmtpGateway
from duly.messages.standard_effects import Email
from duly.states.attempt import Accepted, Fault, NotSent, Unknown
from tests.gateways.calls import EFFECT_ID, call_for, send
from tests.gateways.loopback_tls import server_context, trusting_context
from tests.gateways.smtp_server import Act, mailbox, scripted

MAIL = Email(to="ann@example.com", subject="Shipped", text="Your order was shipped.\n.\nBye")
MESSAGE_ID = f"<{EFFECT_ID}@shop.example>"
BEFORE_THE_DOT = ["greeting", "EHLO", "MAIL", "RCPT", "DATA"]


def smtp(port: int, **settings: Any) -> SmtpGateway:
    settings = {
        "sender": "Shop <orders@shop.example>",
        "live": True,
        "tls": "none",
        "command_timeout": timedelta(seconds=5),
        **settings,
    }
    return SmtpGateway("127.0.0.1", port, **settings)


def is_transient(outcome: object, fault: Fault = Fault.PROVIDER) -> bool:
    return isinstance(outcome, NotSent) and not outcome.permanent and outcome.fault is fault


async def test_a_mail_arrives_once_and_whole() -> None:
    async with mailbox() as it:
        outcome = await send(smtp(it.port), MAIL)
        (envelope,) = it.envelopes
    assert outcome == Accepted(provider_id=MESSAGE_ID, evidence="SMTP 250 OK queued as Q1")
    assert (envelope.mail_from, envelope.rcpt_tos) == ("orders@shop.example", ["ann@example.com"])
    assert isinstance(envelope.original_content, bytes)
    message = message_from_bytes(envelope.original_content, policy=default)
    assert message["Message-ID"] == MESSAGE_ID
    assert message["Date"] == "Mon, 04 May 2026 03:02:01 +0000"
    assert message.get_content().splitlines() == MAIL.text.splitlines()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_mail_goes_encrypted_and_with_a_login(tls: str, tmp_path: Path) -> None:
    server = {tls: server_context(tmp_path)}
    async with mailbox(auth=True, **server) as it:
        gateway = smtp(it.port, tls=tls, tls_context=trusting_context(), username="shop", password="right-password")
        assert isinstance(await send(gateway, MAIL), Accepted)
        assert it.secured == [True]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_server_with_a_certificate_that_nobody_vouches_for_gets_nothing(tls: str, tmp_path: Path) -> None:
    server = {tls: server_context(tmp_path)}
    async with mailbox(auth=True, **server) as it:
        outcome = await send(smtp(it.port, tls=tls, username="shop", password="right-password"), MAIL)
        assert is_transient(outcome)
        assert (it.envelopes, it.logins) == ([], 0)


async def test_a_refused_password_is_the_gateways_fault_and_is_not_repeated_to_anyone() -> None:
    async with mailbox(auth=True) as it:
        outcome = await send(smtp(it.port, username="shop", password="rotated-password"), MAIL)
        assert it.envelopes == []
    assert is_transient(outcome, Fault.GATEWAY)
    assert "535" in str(outcome)
    assert "rotated-password" not in str(outcome)


async def test_a_login_that_fails_for_now_is_the_servers_fault() -> None:
    async with scripted(EHLO=b"250-loopback\r\n250 AUTH PLAIN", AUTH=b"454 try later") as it:
        assert is_transient(await send(smtp(it.port, username="shop", password="p"), MAIL))


async def test_a_server_that_wants_a_login_makes_it_the_gateways_fault() -> None:
    async with scripted(RCPT=b"530 5.7.0 authentication required") as it:
        assert is_transient(await send(smtp(it.port), MAIL), Fault.GATEWAY)


@pytest.mark.parametrize(
    ("settings", "offer"),
    [({"tls": "starttls"}, b"250 loopback"), ({"username": "u", "password": "p"}, b"250 loopback")],
)
async def test_what_the_server_does_not_offer_is_not_done_without(settings: dict[str, Any], offer: bytes) -> None:
    async with scripted(EHLO=offer) as it:
        assert is_transient(await send(smtp(it.port, **settings), MAIL), Fault.GATEWAY)
        assert not [command for command in it.commands if command.startswith("MAIL")]


@pytest.mark.parametrize("step", BEFORE_THE_DOT)
async def test_a_connection_lost_before_the_dot_is_not_sent(step: str) -> None:
    async with scripted(**{step: Act.DROP}) as it:
        assert is_transient(await send(smtp(it.port), MAIL))
        assert (it.connections, it.mails) == (1, [])


@pytest.mark.parametrize("step", BEFORE_THE_DOT)
async def test_a_server_that_falls_silent_before_the_dot_is_not_sent(step: str) -> None:
    async with scripted(**{step: Act.HANG}) as it:
        assert is_transient(await send(smtp(it.port, command_timeout=timedelta(seconds=0.2)), MAIL))
        assert (it.connections, it.mails) == (1, [])


@pytest.mark.parametrize("step", BEFORE_THE_DOT)
async def test_nonsense_before_the_dot_is_not_sent(step: str) -> None:
    async with scripted(**{step: b"HTTP/1.1 400 Bad Request"}) as it:
        assert is_transient(await send(smtp(it.port), MAIL))
        assert it.mails == []


@pytest.mark.parametrize("act", [Act.DROP, Act.HANG])
async def test_a_body_that_is_not_taken_to_its_end_is_not_sent(act: Act) -> None:
    async with scripted(body=act) as it:
        gateway = smtp(it.port, session_timeout=timedelta(seconds=0.5))
        call = call_for(gateway, MAIL)
        large = msgspec.structs.replace(call.prepared, body=call.prepared.body + b"x" * 76 * 400_000)
        outcome = await gateway.call(msgspec.structs.replace(call, prepared=large))
        assert is_transient(outcome)
        assert "the body" in str(outcome)
        assert it.connections == 1


@pytest.mark.parametrize(
    "act", [Act.DROP, Act.HANG, b"HTTP/1.1 200 OK", b"354 go on", b"199 wait", b"250-never\r\n250-ends"]
)
async def test_without_a_clear_answer_after_the_dot_the_outcome_is_unknown(act: bytes | Act) -> None:
    async with scripted(dot=act) as it:
        assert isinstance(await send(smtp(it.port, dot_timeout=timedelta(seconds=0.3)), MAIL), Unknown)
        assert (it.connections, len(it.mails)) == (1, 1)


@pytest.mark.parametrize("step", [*BEFORE_THE_DOT, "dot"])
async def test_a_4xx_is_tried_again(step: str) -> None:
    async with scripted(**{step: b"451 4.7.1 come back later"}) as it:
        fault = Fault.MESSAGE if step == "RCPT" else Fault.PROVIDER
        assert is_transient(await send(smtp(it.port), MAIL), fault)
        assert it.connections == 1


async def test_a_closing_channel_is_the_servers_fault_even_at_rcpt() -> None:
    async with scripted(RCPT=b"421 4.3.2 shutting down") as it:
        assert is_transient(await send(smtp(it.port), MAIL))


@pytest.mark.parametrize("step", ["RCPT", "DATA", "dot"])
async def test_a_5xx_to_this_mail_is_final(step: str) -> None:
    async with scripted(**{step: b"550 5.1.1 <Ann@Example.com>: no such user"}) as it:
        outcome = await send(smtp(it.port), MAIL)
        assert it.connections == 1
    assert isinstance(outcome, NotSent)
    assert (outcome.permanent, outcome.fault) == (True, Fault.MESSAGE)
    assert "550" in outcome.reason
    assert "no such user" in outcome.reason
    assert "ann@example.com" not in outcome.reason.lower()


@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL"])
async def test_a_5xx_that_every_mail_would_meet_is_the_gateways_fault(step: str) -> None:
    async with scripted(**{step: b"554 5.7.1 not from you"}) as it:
        assert is_transient(await send(smtp(it.port), MAIL), Fault.GATEWAY)


async def test_a_refused_connection_is_not_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert is_transient(await send(smtp(unused.getsockname()[1]), MAIL))


@pytest.mark.parametrize("quit_reply", [Act.DROP, Act.HANG, b"500 no"])
async def test_a_farewell_that_fails_changes_nothing(quit_reply: bytes | Act) -> None:
    async with scripted(QUIT=quit_reply) as it:
        assert isinstance(await send(smtp(it.port), MAIL), Accepted)
        assert len(it.mails) == 1


async def test_a_line_of_one_dot_does_not_end_the_mail() -> None:
    async with scripted() as it:
        await send(smtp(it.port), MAIL)
        await it.left.wait()
        (mail,) = it.mails
    assert b"\r\n..\r\nBye\r\n.\r\n" in mail
    assert [command.split()[0] for command in it.commands] == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


async def test_a_cancelled_call_lets_go_of_its_connection() -> None:
    async with scripted(dot=Act.HANG) as it:
        gateway = smtp(it.port)
        call = asyncio.create_task(gateway.call(call_for(gateway, MAIL)))
        await it.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


def test_the_longest_call_counts_the_patience_after_the_dot() -> None:
    assert smtp(25).call_timeout == timedelta(minutes=12)
    assert smtp(25, dot_timeout=timedelta(minutes=1)).call_timeout == timedelta(minutes=3)


@pytest.mark.parametrize(
    "settings",
    [
        {"tls": "ssl"},
        {"username": "u"},
        {"password": "p"},
        {"slots": 0},
        {"dot_timeout": timedelta()},
        {"name": "a\nb"},
    ],
)
def test_a_setting_that_cannot_work_stops_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        smtp(25, **settings)


def test_a_password_is_not_sent_in_the_clear_to_another_machine() -> None:
    with pytest.raises(ConfigurationError, match="show the password"):
        SmtpGateway("mail.example.com", 25, sender="a@b.example", tls="none", username="u", password="hush")
