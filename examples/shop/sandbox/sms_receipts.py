"""Twilio's status callbacks: what they say, and how they are signed.

Sources: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status for the fields,
https://www.twilio.com/docs/usage/security#validating-requests for the signature.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5

from examples.shop.sandbox.courier import Post
from examples.shop.sandbox.receipt_plan import Step
from examples.shop.sandbox.receipt_rules import ReceiptRule, Result

STATUSES: Mapping[Result, tuple[str, ...]] = {
    "delivered": ("queued", "sent", "delivered"),
    "undelivered": ("queued", "sent", "undelivered"),
    "failed": ("queued", "failed"),
    "sent": ("queued", "sent"),
}
"""What becomes of a message, one status after the other. One that stays "sent" is never heard of again."""

ERRORS: Mapping[str, tuple[int, str]] = {
    "undelivered": (30005, "Unknown destination handset"),
    "failed": (30001, "Queue overflow"),
}
ANOTHER_TOKEN = "the-auth-token-of-somebody-else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """The status callbacks of one message; makes the post of each step.

    `document`: the message as the API answered it. `url`: its StatusCallback.
    """

    document: Mapping[str, object]
    url: str
    auth_token: str
    rule: ReceiptRule
    truth: str

    def post(self, step: Step) -> Post:
        """One callback, signed, or with the step's flaw."""
        sid = str(self.document["sid"])
        if step.flaw == "unknown_id":
            sid = "SM" + secrets.token_hex(16)
        form = self._form(sid, step.status)
        signed = self._form(sid, self.truth) if step.flaw == "changed_after_signing" else form
        token = ANOTHER_TOKEN if step.flaw == "wrong_secret" else self.auth_token
        return Post(
            url=self.url,
            headers={
                "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
                "User-Agent": "TwilioProxy/1.1",
                # The same when the same callback comes again.
                "I-Twilio-Idempotency-Token": str(uuid5(NAMESPACE_URL, f"{sid}/{step.status}")),
                "X-Twilio-Signature": signature(token, self.url, signed),
            },
            body=urlencode(form).encode(),
            channel="sms",
            provider_id=sid,
            recipient=form["To"],
            status=step.status,
            mood=self.rule.mood,
            flaw=step.flaw,
        )

    def _form(self, sid: str, status: str) -> dict[str, str]:
        form = {
            "SmsSid": sid,
            "SmsStatus": status,
            "MessageStatus": status,
            "To": str(self.document["to"]),
            "MessageSid": sid,
            "AccountSid": str(self.document["account_sid"]),
            "ApiVersion": str(self.document["api_version"]),
        }
        for name, field in (("From", "from"), ("MessagingServiceSid", "messaging_service_sid")):
            if self.document[field] is not None:
                form[name] = str(self.document[field])
        if status in ERRORS:
            form["ErrorCode"] = str(ERRORS[status][0])
        if status in ("delivered", "undelivered"):
            form["RawDlrDoneDate"] = datetime.now(UTC).strftime("%y%m%d%H%M")
        return form


def signature(auth_token: str, url: str, form: Mapping[str, str]) -> str:
    """X-Twilio-Signature: the URL, then each field's name and value in the order of the names; HMAC-SHA1, base64."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def opposite(result: Result) -> str:
    """What a lie about a message says."""
    return "undelivered" if result == "delivered" else "delivered"


def document_of(document: Mapping[str, object], status: str | None) -> dict[str, object]:
    """The message as the API shows it at this status; None is the one that it was taken with."""
    if status is None:
        return dict(document)
    moment = format_datetime(datetime.now(UTC))
    code, text = ERRORS.get(status, (None, None))
    date_sent = moment if status in ("sent", "delivered", "undelivered") else None
    changed = {"status": status, "date_updated": moment, "date_sent": date_sent}
    return {**document, **changed, "error_code": code, "error_message": text}
