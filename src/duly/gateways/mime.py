"""A mail as bytes: the same effect always gives the same bytes. Pure.

The Date is no part of them: it is put in front when the mail goes out, from the time at which the effect was requested.
Nor are the bytes of attachments: their parts are there with all headers, and empty until the mail goes out.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final

from duly.errors import ConfigurationError, InvalidField, PayloadTooLarge
from duly.gateways.addresses import email_address
from duly.messages.attachment import AttachmentRef, checked_attachment_name, checked_content_type
from duly.messages.identity import digest_of
from duly.messages.standard_effects import Email

MAIL_ATTACHMENTS_MAX: Final = 20
MAIL_ATTACHMENT_BYTES_MAX: Final = 15 * 1024 * 1024
"""Of all attachments of one mail: base64 makes a third more of it, and many servers take no more than 25 MB."""

# 7bit: quoted-printable or base64 where needed, so that no server has to offer 8BITMIME (RFC 6152).
_POLICY: Final = SMTP.clone(cte_type="7bit")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT: Final = re.compile(rb"(?m)^\.")
_BASE64_LINE: Final = 76


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
        message.set_boundary(_boundary(effect_id, email.text, email.html))
    if email.attachments:
        _add_empty_parts(message, email.attachments)
        digests = (attachment.digest for attachment in email.attachments)
        message.set_boundary(_boundary(effect_id, email.text, email.html or "", *digests))
    return message.as_bytes()


def with_files(mail: bytes, files: Sequence[bytes]) -> bytes:
    """A rendered *mail* with *files*, the bytes of its attachments in their order, in the parts that are empty so far.

    Raises `ValueError` when there are not as many of them as there are parts.
    """
    boundary = BytesHeaderParser(policy=_POLICY).parsebytes(mail).get_boundary() or ""
    delimiter = b"\r\n--" + boundary.encode()
    head, content, *parts, end = mail.split(delimiter)
    filled = [part + _encoded_lines(file) for part, file in zip(parts, files, strict=True)]
    return delimiter.join([head, content, *filled, end])


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


def _boundary(*content: str) -> str:
    """Depends on all of the content, so that no content can hold it and break out of its part.

    ``=_`` occurs neither in quoted-printable nor in base64 (RFC 2045, 6.7).
    """
    return f"=_duly_{digest_of(*content)[:32]}"


def _add_empty_parts(message: EmailMessage, attachments: tuple[AttachmentRef, ...]) -> None:
    """A part with all its headers for each attachment. Names beyond ASCII are written as RFC 2231 says."""
    size = sum(attachment.size for attachment in attachments)
    if len(attachments) > MAIL_ATTACHMENTS_MAX or size > MAIL_ATTACHMENT_BYTES_MAX:
        raise PayloadTooLarge(
            f"The mail has {len(attachments)} attachments of {size:,} bytes; the limit is {MAIL_ATTACHMENTS_MAX} of "
            f"{MAIL_ATTACHMENT_BYTES_MAX:,} bytes together. Send a link to what is large."
        )
    for attachment in attachments:
        main_type, _, subtype = checked_content_type(attachment.content_type).partition("/")
        name = _text(checked_attachment_name(attachment.name), "attachments")
        message.add_attachment(b"", maintype=main_type, subtype=subtype, filename=name)


def _encoded_lines(content: bytes) -> bytes:
    encoded = b64encode(content)
    return b"\r\n".join(encoded[start : start + _BASE64_LINE] for start in range(0, len(encoded), _BASE64_LINE))


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
