"""Attachments of a mail: the parts are rendered once, the bytes come along at each attempt, or nothing goes out."""

from __future__ import annotations

import base64
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import msgspec
import pytest

from duly.attachments.memory import MemoryAttachments
from duly.errors import InvalidField, InvalidInput
from duly.gateways.mime import MAIL_ATTACHMENT_BYTES_MAX, MAIL_ATTACHMENTS_MAX, with_files
from duly.gateways.smtp import SmtpGateway
from duly.messages.attachment import AttachmentRef
from duly.messages.standard_effects import Email
from duly.ports.attachments import ATTACHMENT_BYTES_MAX
from duly.ports.gateway import Call
from duly.states.attempt import Accepted, NotSent
from tests.gateways.calls import EFFECT_ID, REQUESTED_AT
from tests.gateways.smtp_server import mailbox, scripted

PDF = b"%PDF-1.7\r\n.\r\n..\n\x00\xff" * 5_000
CSV = "article;price\r\nGrün;1\r\n".encode()
FILES = [("invoice.pdf", "application/pdf", PDF), ("größe & 'preis'.csv", "text/csv", CSV), ("empty", "a/b", b"")]


async def kept(files: list[tuple[str, str, bytes]]) -> tuple[AttachmentRef, ...]:
    keeper = MemoryAttachments()
    return tuple([await keeper.keep("acme", "ann", name, kind, content) for name, kind, content in files])


async def mail(files: list[tuple[str, str, bytes]] = FILES, **changes: Any) -> Email:
    fields: dict[str, Any] = {"to": "ann@example.com", "subject": "Invoice", "text": "Grüße", "html": "<p>Hi</p>"}
    return Email(**{**fields, "attachments": await kept(files), **changes})


def smtp(port: int = 25, **settings: Any) -> SmtpGateway:
    return SmtpGateway("127.0.0.1", port, sender="shop@shop.example", live=True, tls="none", **settings)


def call(gateway: SmtpGateway, email: Email, files: tuple[bytes, ...], number: int = 1) -> Call:
    return Call(
        effect_id=EFFECT_ID,
        key="key",
        tenant="acme",
        number=number,
        prepared=gateway.prepare(email, EFFECT_ID),
        requested_at=REQUESTED_AT,
        files=files,
    )


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    assert [part.defects for part in message.walk() if part.defects] == []
    return message


def attachments_of(message: EmailMessage) -> list[tuple[str | None, str, bytes]]:
    found: list[tuple[str | None, str, bytes]] = []
    for part in message.iter_attachments():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        assert part.get_content_disposition() == "attachment"
        found.append((part.get_filename(), part.get_content_type(), content))
    return found


@pytest.mark.parametrize("html", ["<p>Grüße</p>", None])
async def test_a_mail_arrives_with_its_attachments_whole_and_in_order(html: str | None) -> None:
    email = await mail(html=html)
    async with mailbox() as it:
        gateway = smtp(it.port)
        outcome = await gateway.call(call(gateway, email, tuple(content for _, _, content in FILES)))
        (envelope,) = it.envelopes
    assert isinstance(outcome, Accepted)
    assert isinstance(envelope.original_content, bytes)
    message = parsed(envelope.original_content)
    assert attachments_of(message) == FILES
    text = message.get_body(["plain"])
    assert text is not None
    assert text.get_content().strip() == "Grüße"
    assert (message.get_body(["html"]) is None) == (html is None)


async def test_every_attempt_gives_the_same_bytes() -> None:
    email, files = await mail(), tuple(content for _, _, content in FILES)
    async with mailbox() as it:
        gateway = smtp(it.port)
        for number in (1, 2, 3):
            await gateway.call(call(gateway, email, files, number))
        mails = [envelope.original_content for envelope in it.envelopes]
    assert len(mails) == 3
    assert len(set(mails)) == 1


async def test_the_prepared_request_holds_the_references_and_none_of_the_bytes() -> None:
    email = await mail()
    prepared = smtp().prepare(email, EFFECT_ID)
    assert prepared.attachments == email.attachments
    assert len(prepared.body) < 3_000
    assert base64.b64encode(PDF)[:40] not in prepared.body
    assert attachments_of(parsed(prepared.body)) == [(name, kind, b"") for name, kind, _ in FILES]


async def test_other_bytes_under_the_same_name_are_another_request() -> None:
    one, other = await mail([("a.pdf", "a/pdf", b"one")]), await mail([("a.pdf", "a/pdf", b"two")])
    assert smtp().prepare(one, EFFECT_ID).body != smtp().prepare(other, EFFECT_ID).body


async def test_a_mail_without_attachments_is_rendered_as_ever() -> None:
    email = await mail([])
    assert b"multipart/mixed" not in smtp().prepare(email, EFFECT_ID).body


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ((), "3 attachments, and the bytes of 0"),
        ((PDF, CSV), "3 attachments, and the bytes of 2"),
        ((PDF, CSV, b"", b""), "3 attachments, and the bytes of 4"),
        ((PDF, PDF, b""), "have changed"),
        ((CSV, PDF, b""), "have changed"),
        ((PDF[:-1], CSV, b""), "have changed"),
    ],
)
async def test_without_the_very_bytes_nobody_is_even_called(files: tuple[bytes, ...], what: str) -> None:
    async with scripted() as it:
        gateway = smtp(it.port)
        outcome = await gateway.call(call(gateway, await mail(), files))
        assert it.connections == 0
    assert isinstance(outcome, NotSent)
    assert outcome.permanent
    assert what in outcome.reason
    assert "invoice.pdf" not in outcome.reason


async def test_bytes_that_come_along_with_a_mail_that_has_no_attachments_are_not_dropped_silently() -> None:
    async with scripted() as it:
        gateway = smtp(it.port)
        outcome = await gateway.call(call(gateway, await mail([]), (PDF,)))
        assert it.connections == 0
    assert isinstance(outcome, NotSent)


@pytest.mark.parametrize(
    "name",
    [
        "größe.pdf",
        "請求書.pdf",
        "Rechnung – März 2026 (Kopie).pdf",
        'a "quoted" name.pdf',
        "semi;colon=x.pdf",
        "per%20cent.pdf",
        "it's.pdf",
        "emoji 🧾.pdf",
        "x" * 146 + ".pdf",
        "ü" * 146 + ".pdf",
    ],
)
async def test_a_name_arrives_as_it_is_in_whatever_script_and_however_long(name: str) -> None:
    body = smtp().prepare(await mail([(name, "application/pdf", b"x")]), EFFECT_ID).body
    message = parsed(with_files(body, [b"x"]))
    assert [found for found, _, _ in attachments_of(message)] == [name]
    assert body.isascii()
    assert max(len(line) for line in body.split(b"\r\n")) <= 998


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a.pdf\r\nBcc: eve@example.com"},
        {"name": "a\nX-Evil: 1"},
        {"name": "../a.pdf"},
        {"name": "=?utf-8?q?evil=2Eexe?=.pdf"},
        {"name": ""},
        {"name": "\ud800.pdf"},
        {"content_type": "application/pdf\r\nBcc: eve@example.com"},
        {"content_type": "application/pdf; boundary=x"},
        {"content_type": "multipart/mixed"},
        {"content_type": "message/rfc822"},
        {"content_type": ""},
    ],
)
async def test_a_forged_reference_becomes_no_header(change: dict[str, Any]) -> None:
    (attachment,) = await kept([("a.pdf", "application/pdf", b"x")])
    forged = msgspec.structs.replace(attachment, **change)
    with pytest.raises(InvalidField):
        smtp().prepare(await mail(attachments=(forged,)), EFFECT_ID)


async def test_no_text_and_no_file_can_break_out_of_its_part() -> None:
    email = await mail()
    boundary = parsed(smtp().prepare(email, EFFECT_ID).body).get_boundary()
    evil = f"--{boundary}\r\nContent-Type: text/html\r\n\r\nevil\r\n--{boundary}--"
    guess = await mail([("a.txt", "text/plain", evil.encode())], text=evil, html=evil)
    message = parsed(with_files(smtp().prepare(guess, EFFECT_ID).body, [evil.encode()]))
    assert len(list(message.walk())) == 5
    assert attachments_of(message) == [("a.txt", "text/plain", evil.encode())]


async def test_too_many_or_too_large_attachments_are_refused_when_they_are_requested() -> None:
    (attachment,) = await kept([("a.pdf", "application/pdf", b"x")])
    most = (attachment,) * MAIL_ATTACHMENTS_MAX
    assert len(smtp().prepare(await mail(attachments=most), EFFECT_ID).attachments) == MAIL_ATTACHMENTS_MAX
    large = msgspec.structs.replace(attachment, size=MAIL_ATTACHMENT_BYTES_MAX)
    for refused in ((*most, attachment), (large, attachment)):
        with pytest.raises(InvalidInput, match="Send a link"):
            smtp().prepare(await mail(attachments=refused), EFFECT_ID)


async def test_the_largest_mail_goes_out_in_lines_that_every_server_takes() -> None:
    content = bytes(range(256)) * (ATTACHMENT_BYTES_MAX // 256)
    rest = bytes(MAIL_ATTACHMENT_BYTES_MAX - ATTACHMENT_BYTES_MAX)
    files = [("a.bin", "application/octet-stream", content), ("b.bin", "application/octet-stream", rest)]
    async with mailbox() as it:
        gateway = smtp(it.port)
        assert isinstance(await gateway.call(call(gateway, await mail(files), (content, rest))), Accepted)
        raw = it.envelopes[0].original_content
    assert isinstance(raw, bytes)
    assert max(len(line) for line in raw.split(b"\r\n")) <= 78
    assert attachments_of(parsed(raw)) == files
