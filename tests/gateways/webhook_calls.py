"""Webhook gateways that may reach loopback, and names that only tests know."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from duly.gateways.network_policy import NetworkPolicy, Resolver
from duly.gateways.webhook import WebhookGateway
from duly.gateways.webhook_endpoints import MemoryWebhookEndpoints
from duly.messages.standard_effects import Webhook
from duly.ports.endpoints import WebhookEndpoint
from duly.ports.secret import Secret
from tests.gateways.loopback_tls import trusting_context

NEW = Secret("whsec_" + "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldw==")
OLD = Secret("whsec_" + "b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLW9sZA==")
PLACED = Webhook(endpoint="crm", event="order.placed", payload={"order": "O-7", "cents": 1250, "lines": [{"sku": "ä"}]})


def loopback_policy(*ports: int, **more: Any) -> NetworkPolicy:
    """A policy that lets webhooks reach this machine at *ports*, by address or as localhost."""
    allowed = {"allow_networks": ("127.0.0.0/8", "::1/128"), "allow_names": ("localhost",), "ports": ports, **more}
    return NetworkPolicy(**allowed)


def keeper(url: str, *secrets: Secret, **more: Any) -> MemoryWebhookEndpoints:
    """One endpoint, ``crm`` of the tenant ``main``."""
    endpoint = WebhookEndpoint(url=url, secrets=secrets or (NEW,), **more)
    return MemoryWebhookEndpoints({("main", "crm"): endpoint})


def webhooks(url: str, *secrets: Secret, port: int = 443, **settings: Any) -> WebhookGateway:
    """A live gateway to one endpoint, which may be on loopback at *port*."""
    settings = {"live": True, "network": loopback_policy(port), "tls_context": trusting_context(), **settings}
    return WebhookGateway(settings.pop("endpoints", None) or keeper(url, *secrets), **settings)


def zone(names: Mapping[str, Sequence[str]]) -> Resolver:
    """A resolver that knows *names* only."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return names[host]

    return resolve
