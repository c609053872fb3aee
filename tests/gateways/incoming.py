"""Requests as they come in at a receipt route, signed or not."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

from standardwebhooks import Webhook

from duly.gateways.twilio_receipts import signature_of
from duly.ports.gateway import Incoming

RECEIVED_AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def incoming(url: str = "/", body: bytes = b"", headers: dict[str, str] | None = None) -> Incoming:
    """A POST to *url* with *headers* (in any case)."""
    parts = urlsplit(url)
    return Incoming(
        method="POST",
        path=parts.path,
        query=parts.query,
        headers=tuple((name.lower(), value) for name, value in (headers or {}).items()),
        body=body,
        received_at=RECEIVED_AT,
    )


def from_twilio(url: str, form: dict[str, str], auth_token: str) -> Incoming:
    """What Twilio sends to *url*."""
    signature = signature_of(url, form.items(), auth_token)
    return incoming(url, urlencode(form).encode(), {"X-Twilio-Signature": signature})


def standard_webhook(
    body: bytes,
    *,
    report_id: str = "msg_1",
    secret: str = WEBHOOK_SECRET,
    prefix: str = "webhook",
    at: datetime | None = None,
) -> Incoming:
    """A report with *body*, signed at *at* (now, since the library that verifies asks the clock)."""
    at = at or datetime.now(UTC)
    headers = {
        "id": report_id,
        "timestamp": str(int(at.timestamp())),
        "signature": Webhook(secret).sign(msg_id=report_id, timestamp=at, data=body.decode()),
    }
    return incoming("/", body, {f"{prefix}-{name}": value for name, value in headers.items()})
