"""Signatures of Standard Webhooks: HMAC-SHA256 over ``{id}.{timestamp}.{body}``, one for each secret.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_bytes
from typing import Final

from duly.errors import ConfigurationError
from duly.ports.secret import Secret

try:
    import standardwebhooks
except ImportError:
    raise ConfigurationError(
        ["Webhooks need standardwebhooks, which is not installed: pip install 'duly[webhooks]'"]
    ) from None

_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = range(24, 64 + 1)
_NEW_KEY_BYTES: Final = 32


def new_webhook_secret() -> Secret:
    """A fresh secret for one endpoint: ``whsec_`` and 32 random bytes in Base64."""
    return Secret(_PREFIX + b64encode(token_bytes(_NEW_KEY_BYTES)).decode())


def secrets_mistake(secrets: Sequence[Secret]) -> str | None:
    """What is wrong with an endpoint's secrets, and what to do, without showing them; None when each can sign."""
    if not secrets:
        return "it has no secret. Give it one: new_webhook_secret()."
    for number, secret in enumerate(secrets, start=1):
        if _key(secret) is None:
            return (
                f"its secret number {number} is not whsec_ and {_KEY_BYTES.start} to {_KEY_BYTES.stop - 1} bytes in "
                "Base64. Copy it anew, or make one: new_webhook_secret()."
            )
    return None


def signed_headers(secrets: Sequence[Secret], key: str, at: datetime, body: bytes) -> tuple[tuple[str, str], ...]:
    """The three headers of one attempt at *at* (with a time zone); *secrets* without a mistake, *body* in UTF-8."""
    moment = at.astimezone(UTC)  # the library takes any time for UTC
    text = body.decode()
    signatures = [
        standardwebhooks.Webhook(raw).sign(msg_id=key, timestamp=moment, data=text)
        for secret in secrets
        if (raw := _key(secret)) is not None
    ]
    return (
        ("webhook-id", key),
        ("webhook-timestamp", str(int(moment.timestamp()))),
        ("webhook-signature", " ".join(signatures)),
    )


def _key(secret: Secret) -> bytes | None:
    """The bytes of a secret. Strictly Base64: the library would skip over what is none, and sign with the rest."""
    text = secret.reveal().removeprefix(_PREFIX)
    try:
        raw = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) in _KEY_BYTES else None
