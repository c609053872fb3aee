"""Endpoints that are given as values and kept in memory: for tests, and for the few that stand in a configuration."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from duly.errors import ConfigurationError
from duly.gateways.webhook_signing import secrets_mistake
from duly.ports.endpoints import WebhookEndpoint


class MemoryWebhookEndpoints:
    """Keeps endpoints by (tenant, endpoint id). What a process disables, or puts, is gone with the process."""

    def __init__(self, endpoints: Mapping[tuple[str, str], WebhookEndpoint]) -> None:
        """Raises `ConfigurationError` for secrets that sign nothing, without showing them."""
        self._endpoints: dict[tuple[str, str], WebhookEndpoint] = {}
        self._disabled: dict[tuple[str, str], str] = {}
        for (tenant, endpoint_id), endpoint in endpoints.items():
            self.put(tenant, endpoint_id, endpoint)

    def put(self, tenant: str, endpoint_id: str, endpoint: WebhookEndpoint) -> None:
        """Keep *endpoint* under this id from now on, in place of what was there. Raises `ConfigurationError`."""
        mistake = secrets_mistake(endpoint.secrets)
        if mistake:
            raise ConfigurationError([f"The endpoint {endpoint_id!r} of {tenant!r} cannot be signed for: {mistake}"])
        self._endpoints[tenant, endpoint_id] = endpoint
        self._disabled.pop((tenant, endpoint_id), None)

    def disabled_because(self, tenant: str, endpoint_id: str) -> str | None:
        """Why an endpoint was disabled by its receiver; None when it was not."""
        return self._disabled.get((tenant, endpoint_id))

    async def endpoint(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        """That tenant's endpoint."""
        return self._endpoints.get((tenant, endpoint_id))

    async def disable(self, tenant: str, endpoint_id: str, reason: str) -> None:
        """Mark it as disabled."""
        kept = self._endpoints.get((tenant, endpoint_id))
        if kept is not None:
            self._endpoints[tenant, endpoint_id] = msgspec.structs.replace(kept, disabled=True)
            self._disabled[tenant, endpoint_id] = reason
