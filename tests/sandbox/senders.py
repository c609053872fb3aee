"""What a sender does to each provider of the sandbox: with httpx, http.client and smtplib, as anyone's code would."""

import json
import smtplib
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit

import httpx

from examples.shop.sandbox.client import Sandbox


@dataclass(frozen=True, slots=True)
class Senders:
    """Sends to one sandbox; nothing is read from the environment."""

    sandbox: Sandbox
    http: httpx.Client

    @property
    def messages_url(self) -> str:
        addresses = self.sandbox.addresses
        return f"{addresses.sms_url}/2010-04-01/Accounts/{addresses.sms_account_sid}/Messages"

    @property
    def credentials(self) -> tuple[str, str]:
        return self.sandbox.addresses.sms_account_sid, self.sandbox.addresses.sms_auth_token

    def sms(self, to: str, body: str = "Your order is on its way", **more: str) -> httpx.Response:
        form = {"To": to, "From": "+4930901820", "Body": body, **more}
        return self.http.post(f"{self.messages_url}.json", data=form, auth=self.credentials)

    def invoice(self, customer: str, key: str, **more: object) -> httpx.Response:
        document = {"customer": customer, "amount": 1999, "currency": "EUR", **more}
        return self.http.post(
            f"{self.sandbox.addresses.billing_url}/invoices", json=document, headers={"Idempotency-Key": key}
        )

    def invoices(self, reference: str) -> list[dict[str, object]]:
        """What the list knows under a reference."""
        answer = self.http.get(f"{self.sandbox.addresses.billing_url}/invoices", params={"reference": reference})
        assert answer.status_code == 200
        data: list[dict[str, object]] = answer.json()["data"]
        return data

    def invoice_by_reference(self, reference: str) -> httpx.Response:
        return self.http.get(f"{self.sandbox.addresses.billing_url}/invoices/by-reference/{quote(reference, safe='')}")

    def mail(self, *recipients: str, mail: EmailMessage | None = None, timeout: float = 5) -> dict[str, int]:
        """Send one mail; returns the reply code of each recipient that was refused while others were not."""
        with self.mail_connection(timeout) as connection:
            refused = connection.send_message(mail or letter(), "shop@example.com", recipients)
            return {address: code for address, (code, _) in refused.items()}

    def mail_connection(self, timeout: float = 5) -> smtplib.SMTP:
        # A name of our own: smtplib would ask the DNS for it.
        return smtplib.SMTP("127.0.0.1", self.sandbox.addresses.smtp_port, "shop.test", timeout)

    def unread_invoice(self, customer: str, key: str) -> HTTPConnection:
        """Ask for an invoice and leave the answer unread; the caller closes the connection."""
        connection = HTTPConnection(urlsplit(self.sandbox.addresses.billing_url).netloc, timeout=5)
        body = json.dumps({"customer": customer, "amount": 1999, "currency": "EUR"})
        connection.request("POST", "/invoices", body, {"Idempotency-Key": key})
        return connection


def letter(text: str = "It is on its way.\n", message_id: str | None = "<1@shop.example.com>") -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = "Your order"
    if message_id is not None:
        mail["Message-ID"] = message_id
    mail.set_content(text)
    return mail


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for a condition; an AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
