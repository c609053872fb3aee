"""A mail is rendered once and for all; nothing in it can become a header, another part or another mail."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from duly.errors import ConfigurationError, InvalidField
from duly.gateways.mime import dated, message_id, transparent
from duly.gateways.smtp import SmtpGateway
from duly.messages.standard_effects import Email
from tests.gateways.calls import EFFECT_ID

FIELDS = {
    "to": "ann@example.com",
    "subject": "Ihre Bestellung wurde verschickt – größer als gedacht, und noch dazu viel schneller als erwartet",
    "text": "Grüße\n.\n..\nEnde",
    "html": "<p>Grüße</p>\n.\n",
    "reply_to": "help@shop.example",
}


def mail(**changes: Any) -> Email:
    fields: dict[str, Any] = {**FIELDS, **changes}
    return Email(**fields)


MAIL = mail()


def rendered(email: Email = MAIL, *, sender: str = "Shop & Söhne <orders@shop.example>") -> bytes:
    return SmtpGateway("127.0.0.1", 25, sender=sender).prepare(email, EFFECT_ID).body


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def test_the_same_effect_gives_the_same_bytes() -> None:
    assert rendered() == rendered()
    assert len({rendered() for _ in range(20)}) == 1


def test_a_mail_says_what_the_effect_says() -> None:
    message = parsed(rendered())
    assert message["To"] == "ann@example.com"
    assert message["From"].addresses[0].addr_spec == "orders@shop.example"
    assert message["From"].addresses[0].display_name == "Shop & Söhne"
    assert message["Reply-To"] == "help@shop.example"
    assert message["Subject"] == MAIL.subject
    assert message["Message-ID"] == f"<{EFFECT_ID}@shop.example>"
    assert message["X-Duly-Effect"] == EFFECT_ID
    text, html = (message.get_body([kind]) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == MAIL.text.splitlines()
    assert html.get_content().splitlines() == (MAIL.html or "").splitlines()
    assert [part.defects for part in message.walk()] == [[], [], []]


def test_a_mail_has_no_date_until_it_goes_out_and_then_always_the_same() -> None:
    assert parsed(rendered())["Date"] is None
    requested_at = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    assert parsed(dated(rendered(), requested_at))["Date"] == "Mon, 04 May 2026 03:02:01 +0000"
    assert parsed(dated(rendered(), requested_at))["Subject"] == MAIL.subject


@pytest.mark.parametrize("domain", ["shop.example", ".".join(["a" * 40] * 4) + ".example"])
def test_the_message_id_is_found_again_whatever_its_length(domain: str) -> None:
    assert message_id(rendered(sender=f"orders@{domain}")) == f"<{EFFECT_ID}@{domain}>"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"subject": "Hello\r\nBcc: eve@example.com"}, "subject"),
        ({"subject": "Hello\nBcc: eve@example.com"}, "subject"),
        ({"subject": "Hello\rBcc: eve@example.com"}, "subject"),
        ({"subject": "Hello\n"}, "subject"),
        ({"subject": "Hello\u2028Bcc: eve@example.com"}, "subject"),
        ({"subject": "Hello\0"}, "subject"),
        ({"subject": "\ud800"}, "subject"),
        ({"to": "ann@example.com\r\nBcc: eve@example.com"}, "to"),
        ({"to": "ann@example.com, eve@example.com"}, "to"),
        ({"to": "ann@example.com> SIZE=1"}, "to"),
        ({"reply_to": "help@shop.example\nBcc: eve@example.com"}, "reply_to"),
        ({"text": "a\0b"}, "text"),
        ({"html": "\ud800"}, "html"),
    ],
)
def test_a_value_that_would_become_a_header_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        rendered(mail(**change))
    assert refusal.value.field == field


@pytest.mark.parametrize("text", ["a\r\n.\r\nMAIL FROM:<eve@x.com>", "a\n.\nb", "a\r.\rb", ".", ".a", "x" * 3_000, ""])
def test_no_text_can_end_the_mail_or_break_a_line(text: str) -> None:
    on_the_wire = transparent(rendered(mail(text=text, html=None)))
    assert b"\r\n.\r\n" not in on_the_wire
    assert on_the_wire.endswith(b"\r\n")
    assert b"\n" not in on_the_wire.replace(b"\r\n", b"")
    assert b"\r" not in on_the_wire.replace(b"\r\n", b"")
    assert max(len(line) for line in on_the_wire.split(b"\r\n")) <= 998
    assert on_the_wire.isascii()


def test_bare_line_ends_of_a_stored_body_are_made_whole_before_they_go_out() -> None:
    assert transparent(b"a\n.\nb\r.\r\nc") == b"a\r\n..\r\nb\r\n..\r\nc\r\n"


def test_no_text_can_break_out_of_its_part() -> None:
    boundary = parsed(rendered()).get_boundary()
    guess = mail(text=f"--{boundary}\r\nContent-Type: text/html\r\n\r\nevil")
    assert len(list(parsed(rendered(guess)).walk())) == 3


@pytest.mark.parametrize("sender", ["", "shop", "Shop <shop>", "orders@shop.example\r\nBcc: eve@example.com"])
def test_a_sender_that_is_no_address_stops_the_start(sender: str) -> None:
    with pytest.raises(ConfigurationError, match="sender"):
        rendered(sender=sender)
