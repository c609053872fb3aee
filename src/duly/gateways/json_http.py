"""Any provider that takes an effect's fields as JSON and answers with an id: billing, logistics, a service in-house."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, Generic, TypeVar, get_type_hints

import msgspec

from duly.errors import ConfigurationError, InvalidField
from duly.gateways.http import (
    HTTP_CALL_TIMEOUT,
    HTTP_CONNECT_TIMEOUT,
    HTTP_READ_TIMEOUT,
    HTTP_SLOTS,
    HttpTransport,
    checked_headers,
    checked_url,
)
from duly.gateways.http_messages import HttpRequest, HttpResponse, provider_id
from duly.gateways.http_status import classify_status
from duly.gateways.settings import NOT_LIVE, check_settings, one_line, wrong_effect
from duly.messages.codec import Codec
from duly.messages.message import Effect
from duly.ports.gateway import Call, Prepared
from duly.states.attempt import Accepted, NotSent, Outcome, Unknown
from duly.states.policy import Keeps
from duly.states.retry import EFFECT_RETRY, RetrySchedule

E = TypeVar("E", bound=Effect)


class JsonHttpGateway(Generic[E]):
    """Posts one type of effect to one URL. With an idempotency header a call may be repeated under the same key."""

    def __init__(
        self,
        effect: type[E],
        url: str,
        *,
        name: str,
        recipient: str | Callable[[E], str],
        summary: Callable[[E], str] | None = None,
        channel: str = "http",
        headers: Mapping[str, str] | None = None,
        idempotency_header: str | None = "Idempotency-Key",
        id_field: str = "id",
        five_hundred_means_not_processed: bool = False,
        live: bool = False,
        slots: int = HTTP_SLOTS,
        call_timeout: timedelta = HTTP_CALL_TIMEOUT,
        connect_timeout: timedelta = HTTP_CONNECT_TIMEOUT,
        read_timeout: timedelta = HTTP_READ_TIMEOUT,
        retry: RetrySchedule = EFFECT_RETRY,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """*recipient* is the field that says for whom it is, or a function of the effect; so is *summary*.

        *id_field* is where the answer holds the provider's id; ``"data.id"`` looks inside ``data``.
        *five_hundred_means_not_processed* is the provider's promise, not a guess: 5xx is then tried again.
        """
        check_settings(
            "JsonHttpGateway",
            name,
            slots,
            call_timeout=call_timeout,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        if isinstance(recipient, str) and recipient not in get_type_hints(effect):
            raise ConfigurationError(
                [f"JsonHttpGateway {name!r}: {effect.__name__} has no field {recipient!r}. Name one it has."]
            )
        label = f"JsonHttpGateway {name!r}"
        self.name: Final = name
        self.channel: Final = channel
        self.effects: Final[tuple[type[Effect], ...]] = (effect,)
        self.live: Final = live
        self.slots: Final = slots
        self.call_timeout: Final = call_timeout
        self.retry: Final = retry
        self.keeps: Final = Keeps()
        self._effect = effect
        self._codec = Codec(effect, effect.__duly__.name)
        self._recipient = recipient
        self._summary = summary
        self._url = checked_url(label, url)
        self._headers = checked_headers(label, headers or {})
        self._idempotency_header = idempotency_header
        if idempotency_header is not None:
            checked_headers(label, {idempotency_header: "key"})
        self._id_path = id_field.split(".")
        self._five_hundred_means_not_processed = five_hundred_means_not_processed
        self._http = HttpTransport(
            slots=slots,
            call_timeout=call_timeout,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            tls_context=tls_context,
        )

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """All fields as one JSON object, keys sorted, personal ones included. Raises `InvalidMessage`."""
        if not isinstance(effect, self._effect):
            raise wrong_effect(self.name, effect)
        where = self._recipient
        recipient: object = getattr(effect, where) if isinstance(where, str) else where(effect)
        if not isinstance(recipient, str) or not recipient:
            field = where if isinstance(where, str) else "recipient"
            raise InvalidField(
                field, f"{field} names no recipient of this {self._codec.label}: {recipient!r}. Use a text that does."
            )
        return Prepared(
            recipient=recipient,
            summary=one_line(self._summary(effect) if self._summary else self._codec.label),
            content_type="application/json",
            body=self._codec.encode_whole(effect),
        )

    async def open(self) -> None:
        """Make ready to call."""
        await self._http.open()

    async def call(self, call: Call) -> Outcome:
        """Post once, under the effect's key."""
        if not self.live:
            return NOT_LIVE
        key = () if self._idempotency_header is None else ((self._idempotency_header, call.key),)
        answer = await self._http.exchange(
            HttpRequest(
                url=self._url,
                content_type=call.prepared.content_type,
                body=call.prepared.body,
                headers=(*self._headers, *key),
            )
        )
        return self._outcome(answer) if isinstance(answer, HttpResponse) else answer

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    def _outcome(self, answer: HttpResponse) -> Outcome:
        decided = classify_status(
            answer.status,
            answer.headers,
            keyed=self._idempotency_header is not None,
            five_hundred_means_not_processed=self._five_hundred_means_not_processed,
        )
        if isinstance(decided, NotSent) and answer.status == 400 and _is_idempotency_error(answer):
            return msgspec.structs.replace(decided, reason="HTTP 400: the key was used before, with other parameters")
        if decided is not None:
            return decided
        value: object = answer.json()
        for step in self._id_path:
            value = value.get(step) if isinstance(value, dict) else None
        found = provider_id(value)
        if found is None:
            return Unknown(evidence=f"HTTP {answer.status}, but no id could be read in the answer")
        return Accepted(provider_id=found, evidence=f"HTTP {answer.status}")


def _is_idempotency_error(answer: HttpResponse) -> bool:
    """Whether the body says so the way Stripe does. Source: https://docs.stripe.com/api/errors"""
    error = answer.json().get("error")
    return isinstance(error, dict) and error.get("type") == "idempotency_error"
