"""Webhooks to customers' endpoints, as Standard Webhooks says (https://www.standardwebhooks.com).

Rules
 1. ``webhook-id`` is the effect's key and the body is the same bytes in every attempt; by the id the receiver knows a
    second one. So an unknown outcome may be tried again. Time and signatures are those of the attempt.
 2. Any 2xx means accepted, by the status line alone. A receiver gives no id: the provider's id is the ``webhook-id``,
    under which both sides can find it.
 3. 3xx is not followed and refuses for good, and so do 400, 404, 410 and 422. 410 also disables the endpoint.
 4. 408, 409 and 5xx may have been processed: unknown. Their Retry-After is obeyed.
 5. Every other status was not taken, and is tried again: 401, 402 and 403 too. They are the customer's own affair, not
    this gateway's, and must not hold the webhooks of anybody else.
 6. An endpoint that is missing, disabled or not allowed by the `NetworkPolicy` refuses for good. One that cannot be
    read or signed for is our mistake, and mendable: tried again. Nothing goes out unsigned.
 7. Neither URLs, hosts, secrets nor anything of an answer but its status is shown.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from datetime import datetime, timedelta
from typing import Final

import msgspec

from duly.errors import InvalidField
from duly.gateways.http import HTTP_CONNECT_TIMEOUT, HTTP_SLOTS, HttpTransport, target_of
from duly.gateways.http_messages import HttpRequest, HttpResponse
from duly.gateways.http_status import classify_status, retry_after
from duly.gateways.network_policy import (
    NetworkPolicy,
    Refused,
    Resolver,
    Unresolved,
    checked_addresses,
    system_resolver,
)
from duly.gateways.settings import NOT_LIVE, check_settings, one_line, wrong_effect
from duly.gateways.webhook_signing import secrets_mistake, signed_headers
from duly.messages.codec import Codec
from duly.messages.message import Effect
from duly.messages.standard_effects import Webhook
from duly.ports.endpoints import WebhookEndpoint, WebhookEndpoints
from duly.ports.gateway import Call, Prepared
from duly.states.allowance import Rate
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.policy import Keeps
from duly.states.retry import RetrySchedule, schedule_of
from duly.telemetry import log

WEBHOOK_RETRY: Final = schedule_of([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400])
"""The schedule of Standard Webhooks, with full jitter: ten attempts within some three days."""
WEBHOOK_ANSWER_TIMEOUT: Final = timedelta(seconds=20)

_ENDPOINT: Final = re.compile(r"[A-Za-z0-9._:-]{1,200}")
_EVENT: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_EVENT_CHARACTERS: Final = 200
_REFUSES_FOR_GOOD: Final = frozenset({400, 404, 422})
_MAY_HAVE_BEEN_TAKEN: Final = frozenset({408, 409})
_PARTS: Final = 6
"""An attempt looks the endpoint up, resolves its name, connects to an address in vain and may disable the endpoint: at
most a sixth of the answer's time each, and a half for the connection (its pool, its handshake)."""


class _Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    type: str
    timestamp: datetime | None = None
    data: dict[str, object]


class WebhookGateway:
    """Posts `Webhook` effects to the endpoints of tenants. At least once: see the module."""

    def __init__(
        self,
        endpoints: WebhookEndpoints,
        *,
        name: str = "webhooks",
        live: bool = False,
        network: NetworkPolicy | None = None,
        slots: int = HTTP_SLOTS,
        answer_timeout: timedelta = WEBHOOK_ANSWER_TIMEOUT,
        connect_timeout: timedelta = HTTP_CONNECT_TIMEOUT,
        retry: RetrySchedule = WEBHOOK_RETRY,
        rate: Rate | None = None,
        tenant_rate: Rate | None = None,
        tls_context: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        """*answer_timeout* is what an endpoint has from the connection to its answer; a call takes twice that at most.

        *network* is where endpoints may be: by default anywhere public, over https. *connect_timeout* is cut to a sixth
        of *answer_timeout*. *resolver* looks names up, by default this machine's own.
        """
        check_settings("WebhookGateway", name, slots, answer_timeout=answer_timeout, connect_timeout=connect_timeout)
        self.name: Final = name
        self.channel: Final = "webhook"
        self.effects: Final[tuple[type[Effect], ...]] = (Webhook,)
        self.live: Final = live
        self.slots: Final = slots
        self.call_timeout: Final = answer_timeout * 2
        self.retry: Final = retry
        self.keeps: Final = Keeps(receiver_deduplicates=True, rate=rate, tenant_rate=tenant_rate)
        self._endpoints = endpoints
        self._network = network or NetworkPolicy()
        self._resolver = resolver or system_resolver
        self._body_codec = Codec(_Body, Webhook.__duly__.name)
        self._part_s = answer_timeout.total_seconds() / _PARTS
        self._http = HttpTransport(
            slots=slots,
            call_timeout=answer_timeout,
            connect_timeout=min(connect_timeout, answer_timeout / _PARTS),
            read_timeout=answer_timeout,
            tls_context=tls_context,
        )

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """``{"type":…,"timestamp":…,"data":…}``. Raises `InvalidField`, `InvalidMessage`, `PayloadTooLarge`."""
        if not isinstance(effect, Webhook):
            raise wrong_effect(self.name, effect)
        if not _ENDPOINT.fullmatch(effect.endpoint):
            raise InvalidField(
                "endpoint",
                "endpoint is no id: use 1 to 200 ASCII letters, digits, '.', '_', '-', ':'. A URL belongs to the "
                "keeper of endpoints, under such an id.",
            )
        if len(effect.event) > _EVENT_CHARACTERS or not _EVENT.fullmatch(effect.event):
            raise InvalidField(
                "event", f"event is no type of event: {effect.event!r:.80}. Use words with full stops: order.placed."
            )
        if effect.occurred_at is not None and effect.occurred_at.utcoffset() is None:
            raise InvalidField("occurred_at", "occurred_at has no time zone. Use datetime.now(UTC), or give it one.")
        body = _Body(type=effect.event, timestamp=effect.occurred_at, data=dict(effect.payload))
        return Prepared(
            recipient=effect.endpoint,
            summary=one_line(effect.event),
            content_type="application/json",
            body=self._body_codec.encode_whole(body).encode(),
            destination=effect.endpoint,
        )

    async def open(self) -> None:
        """Make ready to call."""
        await self._http.open()

    async def call(self, call: Call) -> Outcome:
        """Look the endpoint up, check where it leads, sign, post once."""
        if not self.live:
            return NOT_LIVE
        endpoint_id = call.prepared.recipient
        try:
            async with asyncio.timeout(self._part_s):
                endpoint = await self._endpoints.endpoint(call.tenant, endpoint_id)
        except Exception as error:
            self._say("the endpoints cannot be read", call, error)
            return _mendable(f"the endpoints could not be read: {type(error).__name__}")
        if endpoint is None:
            return _refused("there is no such endpoint")
        if endpoint.disabled:
            return _refused("the endpoint is disabled")
        answer = await self._post(endpoint, call)
        if not isinstance(answer, HttpResponse):
            return answer
        if answer.status == 410:
            return await self._gone(call)
        return _outcome(answer, call.key)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    async def _post(self, endpoint: WebhookEndpoint, call: Call) -> HttpResponse | NotSent | Unknown:
        mistake = secrets_mistake(endpoint.secrets)
        if mistake:
            return _mendable(f"the endpoint cannot be signed for: {mistake}")
        target = target_of(endpoint.url)
        if target is None:
            return _refused("the endpoint's URL cannot be read")
        addresses = await checked_addresses(self._network, target, self._resolver, self._part_s)
        if isinstance(addresses, Refused):
            return _refused(f"the endpoint's URL is not allowed: {addresses.kind}")
        if isinstance(addresses, Unresolved):
            return _mendable(f"the endpoint's name could not be resolved: {addresses.kind}")
        headers = signed_headers(endpoint.secrets, call.key, call.started_at, call.prepared.body)
        request = HttpRequest(
            url=endpoint.url,
            content_type=call.prepared.content_type,
            body=call.prepared.body,
            headers=(("Accept", "*/*"), *headers),
        )
        *others, last = addresses
        for address in others:
            answer = await self._http.exchange(request, address=address)
            # Only where no connection came about is the other family of addresses tried: nothing was written.
            if not isinstance(answer, NotSent) or answer.fault is not Fault.PROVIDER:
                return answer
        return await self._http.exchange(request, address=last)

    async def _gone(self, call: Call) -> NotSent:
        """410: the receiver wants no more."""
        reason = "HTTP 410: the endpoint is gone"
        try:
            async with asyncio.timeout(self._part_s):
                await self._endpoints.disable(call.tenant, call.prepared.recipient, reason)
        except Exception as error:
            self._say("an endpoint that is gone could not be disabled", call, error)
            return _refused(f"{reason}; it could not be disabled: {type(error).__name__}")
        return _refused(f"{reason}; it was disabled")

    def _say(self, text: str, call: Call, error: Exception) -> None:
        log(logging.ERROR, text, gateway=self.name, effect_id=call.effect_id, error=type(error).__name__)


def _outcome(answer: HttpResponse, key: str) -> Outcome:
    status, wait = answer.status, retry_after(answer.headers)
    if 300 <= status < 400:
        return _refused(f"HTTP {status}: a redirect, which is not followed; give the endpoint its final URL")
    if status in _REFUSES_FOR_GOOD:
        return _refused(f"HTTP {status}: the endpoint refused it")
    if status in _MAY_HAVE_BEEN_TAKEN:
        return Unknown(evidence=f"HTTP {status}", retry_after=wait)
    decided = classify_status(status, answer.headers)
    match decided:
        case None:
            return Accepted(provider_id=key, evidence=f"HTTP {status}")
        case NotSent():
            return _mendable(f"HTTP {status}: the endpoint did not take it", wait)
        case Unknown():
            return msgspec.structs.replace(decided, retry_after=wait)


def _refused(reason: str) -> NotSent:
    return NotSent(reason=reason, permanent=True, fault=Fault.MESSAGE)


def _mendable(reason: str, wait: timedelta | None = None) -> NotSent:
    return NotSent(reason=reason, permanent=False, fault=Fault.PROVIDER, retry_after=wait)
