"""Reports that come in signed after Standard Webhooks, as Resend and others sign them.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from duly.errors import ConfigurationError, ReceiptRefused
from duly.ports.gateway import Incoming
from duly.ports.secret import Secret

Verifies: TypeAlias = Callable[[bytes, dict[str, str]], bool]
"""Whether a body came in with these headers, for one secret."""

_PREFIXES: Final = ("webhook", "svix")
"""Svix, where the standard comes from, sends the same headers under its own name."""
_PARTS: Final = ("id", "timestamp", "signature")


class SignedReports:
    """Verifies what comes in. Any of the secrets will do: that is how to rotate."""

    def __init__(self, gateway: str, secrets: Sequence[Secret | str]) -> None:
        """*secrets* are ``whsec_…``. Raises `ConfigurationError`, which does not repeat them."""
        # Not for everybody who posts JSON: standardwebhooks is needed only here.
        from duly.gateways.webhook_signing import secrets_mistake

        hidden = [secret if isinstance(secret, Secret) else Secret(secret) for secret in secrets]
        mistake = secrets_mistake(hidden)
        if mistake is not None:
            raise ConfigurationError([f"{gateway}: webhook_secrets cannot verify a report: {mistake}"])
        self._gateway = gateway
        self._verifiers = tuple(_verifier(secret) for secret in hidden)

    def verified(self, incoming: Incoming) -> str:
        """The id of the report *incoming*, the same when it comes again. Raises `ReceiptRefused`."""
        headers = next((found for prefix in _PREFIXES if (found := _headers(incoming, prefix)) is not None), None)
        if headers is None:
            raise ReceiptRefused(
                f"{self._gateway}: a report came in without signature headers. Nothing was changed. If the provider "
                "sent it, let the proxy in front pass webhook-id, webhook-timestamp and webhook-signature on."
            )
        if not any(verifies(incoming.body, headers) for verifies in self._verifiers):
            raise ReceiptRefused(
                f"{self._gateway}: a report came in whose signature is wrong, or more than five minutes old. Nothing "
                "was changed. Compare webhook_secrets with the provider's, and this machine's clock with the time."
            )
        return headers["webhook-id"]


def _headers(incoming: Incoming, prefix: str) -> dict[str, str] | None:
    values = {f"webhook-{part}": incoming.header(f"{prefix}-{part}") for part in _PARTS}
    found = {name: value for name, value in values.items() if value}
    return found if len(found) == len(_PARTS) else None


def _verifier(secret: Secret) -> Verifies:
    from standardwebhooks import Webhook, WebhookVerificationError

    webhook = Webhook(secret.reveal())

    def verifies(body: bytes, headers: dict[str, str]) -> bool:
        try:
            webhook.verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):  # ValueError: no base64, no UTF-8, a signature without a comma
            return False
        return True

    return verifies
