"""An invoice goes with its mail, from the handler to the mail server; without its bytes no mail goes out."""

from __future__ import annotations

import shutil
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from duly import Command, Duly, Effects, Email, EmailAddress, Module, Personal
from duly.attachments.folder import FolderAttachments
from duly.gateways.smtp import SmtpGateway
from duly.templates.folder import FolderTemplates
from duly.work.attachments import Attachments
from duly.work.templates import Templates
from tests.gateways.smtp_server import mailbox

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 4_000
"""More than a row may hold: a request has 256 KiB at most."""


class SendInvoice(Command):
    number: str
    email: Personal[EmailAddress]


billing = Module("billing")


@billing.command
async def send_invoice(command: SendInvoice, templates: Templates, attachments: Attachments, effects: Effects) -> None:
    mail = await templates.mail("invoice", locale="de-AT", number=command.number)
    invoice = await attachments.keep(f"Rechnung № {command.number}.pdf", PDF, content_type="application/pdf")
    effects.request(Email(to=command.email, subject=mail.subject, text=mail.text, attachments=(invoice,)))


def application(folder: Path, port: int, *, worker: bool = True) -> Duly:
    (folder / "templates/de").mkdir(parents=True, exist_ok=True)
    (folder / "templates/de/invoice.txt").write_text("Rechnung {{ number }}")
    (folder / "templates/de/invoice.subject.txt").write_text("Ihre Rechnung {{ number }}")
    return Duly(
        modules=[billing],
        store=f"sqlite:///{folder}/shop.db",
        gateways=[SmtpGateway("127.0.0.1", port, sender="a@shop.example", live=True, tls="none")],
        templates=FolderTemplates(folder / "templates"),
        attachments=FolderAttachments(folder / "attachments"),
        tenant="acme",
        worker=worker,
    )


async def test_a_mail_takes_its_invoice_along_though_no_row_could_hold_it(tmp_path: Path) -> None:
    async with mailbox() as it, application(tmp_path, it.port) as app:
        await app.execute(SendInvoice(number="7", email="ann@example.com"))
        await app.until_quiet()
        (effect,) = await app.ledger().effects()
    assert effect.state.value == "accepted"
    (envelope,) = it.envelopes
    assert isinstance(envelope.original_content, bytes)
    message = message_from_bytes(envelope.original_content, policy=default)
    assert isinstance(message, EmailMessage)
    (part,) = message.iter_attachments()
    assert (message["Subject"], part.get_filename()) == ("Ihre Rechnung 7", "Rechnung № 7.pdf")
    assert part.get_payload(decode=True) == PDF


async def test_a_mail_whose_invoice_is_lost_is_not_sent_and_says_why(tmp_path: Path) -> None:
    async with mailbox() as it:
        async with application(tmp_path, it.port, worker=False) as app:
            await app.execute(SendInvoice(number="7", email="ann@example.com"))
        shutil.rmtree(tmp_path / "attachments")
        async with application(tmp_path, it.port) as app:
            await app.until_quiet()
            (effect,) = await app.ledger().effects()
        assert it.envelopes == []
    assert effect.state.value == "failed"
    assert "are not there" in effect.reason


async def test_the_templates_of_tomorrow_do_not_change_the_mails_of_today(tmp_path: Path) -> None:
    async with mailbox() as it:
        async with application(tmp_path, it.port, worker=False) as app:
            await app.execute(SendInvoice(number="7", email="ann@example.com"))
        (tmp_path / "templates/de/invoice.subject.txt").write_text("Something else")
        later = Duly(
            modules=[billing],
            store=f"sqlite:///{tmp_path}/shop.db",
            gateways=[SmtpGateway("127.0.0.1", it.port, sender="a@shop.example", live=True, tls="none")],
            templates=FolderTemplates(tmp_path / "templates"),
            attachments=FolderAttachments(tmp_path / "attachments"),
            tenant="acme",
        )
        async with later as app:
            await app.until_quiet()
    content = it.envelopes[0].content
    assert isinstance(content, bytes)
    assert message_from_bytes(content, policy=default)["Subject"] == "Ihre Rechnung 7"
