"""A mail as bytes: the same effect always gives the same bytes. Pure.

The Date is no part of them: it is put in front when the mail goes out, from the time at which the effect was requested.
"""

from __future__ import annotations

import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final

from duly.errors import ConfigurationError, InvalidField
from duly.gateways.addresses import email_address
from duly.messages.identity import digest_of
from duly.messages.standard_effects import Email

# 7bit: quoted-printable or base64 where needed, so that no server has to offer 8BITMIME (RFC 6152).
_POLICY: Final = SMTP.clone(cte_type="7bit")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT: Final = re.compile(rb"(?m)^\.")


def render(email: Email, effect_id: str, *, sender: Address, to: str, reply_to: str | None) -> bytes:
    """*email* as MIME in CRLF lines, without a Date; *to* and *reply_to* are checked already. Raises `InvalidField`."""
    message = EmailMessage(policy=_POLICY)
    message["Message-ID"] = f"<{header_text(effect_id, 'effect_id')}@{sender.domain}>"
    message["X-Duly-Effect"] = effect_id
    message["From"] = sender
    message["To"] = to
    if reply_to is not None:
        message["Reply-To"] = reply_to
    message["Subject"] = header_text(email.subject, "subject")
    message.set_content(_body_text(email.text, "text"))
    if email.html is not None:
        message.add_alternative(_body_text(email.html, "html"), subtype="html")
        # Depends on all of the content, so that no content can hold it and break out of its part. "=_" occurs neither
        # in quoted-printable nor in base64 (RFC 2045, 6.7).
        message.set_boundary(f"=_duly_{digest_of(effect_id, email.text, email.html)[:32]}")
    return message.as_bytes()


def sender_address(gateway: str, sender: str) -> Address:
    """*sender*, with or without a display name, as an address. Raises `ConfigurationError`."""
    try:
        display_name, address = parseaddr(header_text(sender, "sender"))
        return Address(display_name=display_name, addr_spec=email_address(address, field="sender"))
    except InvalidField as error:
        raise ConfigurationError([f"{gateway}: {error}"]) from None


def dated(mail: bytes, requested_at: datetime) -> bytes:
    """*mail* with a Date header in front."""
    return f"Date: {format_datetime(requested_at)}\r\n".encode() + mail


def message_id(mail: bytes) -> str:
    """The Message-ID of a rendered mail, with its angle brackets."""
    return str(BytesHeaderParser(policy=_POLICY).parsebytes(mail)["Message-ID"]).strip()


def transparent(mail: bytes) -> bytes:
    """*mail* as DATA takes it: CRLF lines only, leading dots doubled (RFC 5321, 4.5.2), the final dot still to come.

    Not one bare CR or LF may be left: servers that take ``LF . LF`` for the end would read a second, smuggled mail.
    """
    lines = _LINE_END.sub(b"\r\n", mail)
    return _LEADING_DOT.sub(b"..", lines if lines.endswith(b"\r\n") else lines + b"\r\n")


def header_text(value: str, field: str) -> str:
    """*value* if it can be a header's value. Raises `InvalidField` for line breaks and other control characters."""
    if len(value.splitlines()) > 1 or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise InvalidField(
            field,
            f"{field} holds a line break or another control character, which would begin a new header of the mail. "
            "Remove it.",
        )
    return _text(value, field)


def _body_text(value: str, field: str) -> str:
    if "\0" in value:
        raise InvalidField(field, f"{field} holds a NUL character, which a mail cannot (RFC 5322, 4). Remove it.")
    return _text(value, field)


def _text(value: str, field: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidField(field, f"{field} holds a lone surrogate, which is no text. Replace the character.") from None
    return value
