"""Where webhooks go: the endpoints of customers. Their URLs and secrets are never in an effect's rows."""

from __future__ import annotations

from typing import Protocol

import msgspec

from duly.ports.secret import Secret


class WebhookEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint of one tenant.

    *secrets* are ``whsec_…`` texts, 24 to 64 bytes in Base64, the newest first; each of them signs. Two of them are a
    rotation under way. The URL often holds a token, so neither it nor a secret is ever shown.
    """

    url: str
    secrets: tuple[Secret, ...]
    disabled: bool = False

    def __repr__(self) -> str:
        return f"WebhookEndpoint(url=…, secrets={len(self.secrets)}, disabled={self.disabled})"


class WebhookEndpoints(Protocol):
    """Keeps endpoints: in memory, in a table of the application, in a vault."""

    async def endpoint(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        """That tenant's endpoint; None when it has none of this id, whoever else may have. Asked in every attempt."""

    async def disable(self, tenant: str, endpoint_id: str, reason: str) -> None:
        """Send nothing there from now on: the receiver has answered that it is gone. May come more than once."""
