"""Mails through Resend: an HTTP API that remembers keys, so that an unknown outcome may be repeated under its key.

Source: https://resend.com/docs/api-reference/emails/send-email, https://resend.com/docs/api-reference/errors,
https://resend.com/docs/dashboard/emails/idempotency-keys
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from duly.errors import AttachmentLost, ConfigurationError, InvalidField, PayloadTooLarge, ReceiptRefused
from duly.gateways.addresses import email_address
from duly.gateways.effect_token import EffectTokens
from duly.gateways.http import (
    HTTP_CALL_TIMEOUT,
    HTTP_CONNECT_TIMEOUT,
    HTTP_READ_TIMEOUT,
    HTTP_SLOTS,
    KEYED_RETRY,
    HttpTransport,
    checked_url,
)
from duly.gateways.http_messages import HttpRequest, HttpResponse, provider_id
from duly.gateways.http_status import classify_status
from duly.gateways.mime import header_text, sender_address
from duly.gateways.resend_receipts import EFFECT_TAG, receipt_of
from duly.gateways.settings import NOT_LIVE, check_settings, one_line, revealed, wrong_effect
from duly.gateways.webhook_verifying import SignedReports
from duly.messages.attachment import AttachmentRef, checked_attachment_name, checked_content_type
from duly.messages.message import Effect
from duly.messages.standard_effects import Email
from duly.ports.attachments import verified
from duly.ports.gateway import Call, Incoming, Prepared, Receipt
from duly.ports.secret import Secret
from duly.states.allowance import Rate
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.policy import IdempotencyKey, Keeps, ReceiptWindow
from duly.states.retry import RetrySchedule

KEY_LIFETIME: Final = timedelta(hours=24)
KEY_CHARACTERS_MAX: Final = 256
MAIL_BYTES_MAX: Final = 40_000_000
"""Of a mail with its attachments in Base64."""

# Errors that any mail would meet, beside 401 and 403: no quota, a sender that is not ours, a URL that is not Resend's.
_GATEWAYS_OWN: Final = frozenset(
    {"daily_quota_exceeded", "monthly_quota_exceeded", "invalid_from_address", "not_found", "method_not_allowed"}
)
_ANOTHER_BODY: Final = "invalid_idempotent_request"


class ResendMail:
    """Sends `Email` from one Resend account, keyed: a repeat within 24 hours is no second mail."""

    def __init__(
        self,
        api_key: Secret | str,
        *,
        sender: str,
        live: bool = False,
        base_url: str = "https://api.resend.com",
        name: str = "resend",
        webhook_secrets: Sequence[Secret | str] = (),
        receipt_secrets: Sequence[Secret | str] = (),
        slots: int = HTTP_SLOTS,
        call_timeout: timedelta = HTTP_CALL_TIMEOUT,
        connect_timeout: timedelta = HTTP_CONNECT_TIMEOUT,
        read_timeout: timedelta = HTTP_READ_TIMEOUT,
        retry: RetrySchedule = KEYED_RETRY,
        rate: Rate | None = None,
        tenant_rate: Rate | None = None,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """*sender* is ``me@shop.example`` or ``Shop <me@shop.example>``, of a domain that Resend has verified.

        *webhook_secrets* (``whsec_…``) are Resend's; with them receipts are heard. *receipt_secrets* are our own: the
        first signs the tag by which a receipt names its effect, all verify it.
        """
        check_settings(
            "ResendMail",
            name,
            slots,
            call_timeout=call_timeout,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        label = f"ResendMail {name!r}"
        if not revealed(api_key).isascii() or not revealed(api_key).isprintable() or not revealed(api_key).strip():
            raise ConfigurationError([f"{label}: api_key is empty or malformed. Copy it anew: re_…"])
        if receipt_secrets and not webhook_secrets:
            raise ConfigurationError([f"{label}: receipt_secrets are of no use without webhook_secrets. Pass both."])
        self.name: Final = name
        self.channel: Final = "email"
        self.effects: Final[tuple[type[Effect], ...]] = (Email,)
        self.live: Final = live
        self.slots: Final = slots
        self.call_timeout: Final = call_timeout
        self.retry: Final = retry
        self.keeps: Final = Keeps(
            key=IdempotencyKey(lifetime=KEY_LIFETIME),
            receipts=ReceiptWindow() if webhook_secrets else None,
            rate=rate,
            tenant_rate=tenant_rate,
        )
        self._url = f"{checked_url(label, base_url).rstrip('/')}/emails"
        self._authorization = f"Bearer {revealed(api_key).strip()}"
        self._sender = str(sender_address(label, sender))
        self._signed = SignedReports(label, webhook_secrets) if webhook_secrets else None
        self._tokens = EffectTokens(label, name, receipt_secrets) if receipt_secrets else None
        self._http = HttpTransport(
            slots=slots,
            call_timeout=call_timeout,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            tls_context=tls_context,
        )

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """The JSON that is posted, but for the bytes of attachments. Raises `InvalidField`, `PayloadTooLarge`."""
        if not isinstance(effect, Email):
            raise wrong_effect(self.name, effect)
        to = email_address(effect.to, field="to")
        mail: dict[str, object] = {"from": self._sender, "to": [to], "subject": header_text(effect.subject, "subject")}
        mail["text"] = effect.text
        if effect.html is not None:
            mail["html"] = effect.html
        if effect.reply_to is not None:
            mail["reply_to"] = email_address(effect.reply_to, field="reply_to")
        if self._tokens is not None:
            mail["tags"] = [{"name": EFFECT_TAG, "value": self._tokens.token(effect_id)}]
        try:
            body = msgspec.json.encode(mail)
        except UnicodeEncodeError:
            raise InvalidField("text", "A text holds a lone surrogate, which is none. Replace the character.") from None
        _check_files(effect.attachments, len(body))
        return Prepared(
            recipient=to,
            summary=one_line(effect.subject),
            content_type="application/json",
            body=body,
            attachments=effect.attachments,
        )

    async def open(self) -> None:
        """Make ready to call."""
        await self._http.open()

    async def call(self, call: Call) -> Outcome:
        """Post once, under the effect's key."""
        if not self.live:
            return NOT_LIVE
        if not 0 < len(call.key) <= KEY_CHARACTERS_MAX:
            reason = f"a key of {len(call.key)} characters: Resend takes 1 to {KEY_CHARACTERS_MAX}"
            return NotSent(reason=reason, permanent=True)
        try:
            # Megabytes of base64 are not for the event loop.
            body = await asyncio.to_thread(_with_files, call) if call.prepared.attachments else call.prepared.body
        except AttachmentLost as error:
            return NotSent(reason=str(error), permanent=True)
        answer = await self._http.exchange(
            HttpRequest(
                url=self._url,
                content_type=call.prepared.content_type,
                body=body,
                headers=(("Authorization", self._authorization), ("Idempotency-Key", call.key)),
            )
        )
        return _outcome(answer) if isinstance(answer, HttpResponse) else answer

    def receipts(self, incoming: Incoming) -> Sequence[Receipt]:
        """The receipt in *incoming*, if Resend has signed it. Raises `ReceiptRefused`."""
        if self._signed is None:
            raise ReceiptRefused(f"The gateway {self.name!r} hears no receipts. Give it webhook_secrets=….")
        report_id = self._signed.verified(incoming)
        receipt = receipt_of(incoming.body, report_id, self._effect_of)
        return () if receipt is None else (receipt,)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    def _effect_of(self, tag: str) -> str | None:
        return None if self._tokens is None else self._tokens.effect_of(tag)


def _with_files(call: Call) -> bytes:
    """The body with its attachments, always the same for the same effect. Raises `AttachmentLost`."""
    attachments = call.prepared.attachments
    files = (*call.files, *[None] * len(attachments))
    mail = msgspec.json.decode(call.prepared.body, type=dict[str, object])
    mail["attachments"] = [
        {
            "filename": attachment.name,
            "content": b64encode(verified(attachment, file)).decode(),
            "content_type": attachment.content_type,
        }
        for attachment, file in zip(attachments, files, strict=False)
    ]
    return msgspec.json.encode(mail)


def _check_files(attachments: tuple[AttachmentRef, ...], mail_bytes: int) -> None:
    """Refuse what Resend would. Raises `InvalidField`, `PayloadTooLarge`."""
    for attachment in attachments:
        checked_attachment_name(attachment.name)
        checked_content_type(attachment.content_type)
    total = mail_bytes + sum(4 * -(-attachment.size // 3) for attachment in attachments)
    if total > MAIL_BYTES_MAX:
        raise PayloadTooLarge(
            f"A mail has {total:,} bytes with its attachments in Base64; Resend takes {MAIL_BYTES_MAX:,}. Send a link "
            "to what is large."
        )


def _outcome(answer: HttpResponse) -> Outcome:
    decided = classify_status(answer.status, answer.headers, keyed=True)
    error = answer.json().get("name")
    if answer.status == 409 and error == _ANOTHER_BODY:
        return NotSent(reason="HTTP 409: the key was used before, with another mail", permanent=True)
    if isinstance(decided, NotSent):
        return _with_name(decided, error)
    if decided is not None:
        return decided
    found = provider_id(answer.json().get("id"))
    if found is None:
        return Unknown(evidence=f"HTTP {answer.status}, but no id could be read in the answer")
    return Accepted(provider_id=found, evidence=f"HTTP {answer.status}")


def _with_name(refusal: NotSent, error: object) -> NotSent:
    """*refusal* with the name of Resend's error. Its message is left out: it may quote an address."""
    if not isinstance(error, str) or not error.isascii() or not error.replace("_", "").isalpha():
        return refusal
    reason = f"{refusal.reason}; Resend says {one_line(error, 40)}"
    if error in _GATEWAYS_OWN:
        return msgspec.structs.replace(refusal, reason=reason, permanent=False, fault=Fault.GATEWAY)
    return msgspec.structs.replace(refusal, reason=reason)
