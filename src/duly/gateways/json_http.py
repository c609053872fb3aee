"""Any provider that takes an effect's fields as JSON and answers with an id: billing, logistics, a service in-house."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Generic, TypeVar, get_type_hints

import msgspec

from duly.errors import ConfigurationError, InvalidField, ReceiptRefused
from duly.gateways.http import (
    HTTP_CALL_TIMEOUT,
    HTTP_CONNECT_TIMEOUT,
    HTTP_READ_TIMEOUT,
    HTTP_SLOTS,
    KEYED_RETRY,
    HttpTransport,
    checked_headers,
    checked_url,
)
from duly.gateways.http_messages import HttpRequest, HttpResponse, field_at, provider_id
from duly.gateways.http_status import classify_status
from duly.gateways.json_look_up import AlreadyThere, JsonLookUp
from duly.gateways.json_receipts import JsonReceipts
from duly.gateways.settings import NOT_LIVE, check_settings, one_line, wrong_effect
from duly.messages.codec import Codec
from duly.messages.message import Effect
from duly.ports.gateway import Call, Incoming, LookUpAnswer, Prepared, Receipt, Unclear
from duly.states.allowance import Rate
from duly.states.attempt import Accepted, NotSent, Outcome, Unknown
from duly.states.policy import IdempotencyKey, Keeps
from duly.states.retry import EFFECT_RETRY, RetrySchedule

E = TypeVar("E", bound=Effect)


class JsonHttpGateway(Generic[E]):
    """Posts one type of effect to one URL. What it can keep is what it was told of the provider, and nothing else."""

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
        key_lifetime: timedelta | None = None,
        id_field: str = "id",
        already_there: AlreadyThere | None = None,
        look_up: JsonLookUp | None = None,
        receipts: JsonReceipts | None = None,
        five_hundred_means_not_processed: bool = False,
        live: bool = False,
        slots: int = HTTP_SLOTS,
        call_timeout: timedelta = HTTP_CALL_TIMEOUT,
        connect_timeout: timedelta = HTTP_CONNECT_TIMEOUT,
        read_timeout: timedelta = HTTP_READ_TIMEOUT,
        retry: RetrySchedule | None = None,
        rate: Rate | None = None,
        tenant_rate: Rate | None = None,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """*recipient* is the field that says for whom it is, or a function of the effect; so is *summary*.

        *id_field* is where the answer holds the provider's id; ``"data.id"`` looks inside ``data``. *key_lifetime* is
        how long the provider says that it remembers a key; until that is stated a key goes along, and nobody counts on
        it. *retry* is `EFFECT_RETRY` by default, with a stated lifetime `KEYED_RETRY`, which fits into 24 hours.
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
        label = f"JsonHttpGateway {name!r}"
        mistakes = [] if look_up is None else look_up.mistakes(label, get_type_hints(effect))
        for field in (recipient, already_there and already_there.reference):
            if isinstance(field, str) and field not in get_type_hints(effect):
                mistakes.append(f"{label}: {effect.__name__} has no field {field!r}. Name one it has.")
        if key_lifetime is not None and (idempotency_header is None or key_lifetime <= timedelta()):
            mistakes.append(
                f"{label}: key_lifetime={key_lifetime} without a header or a duration. Pass both, or neither."
            )
        if mistakes:
            raise ConfigurationError(mistakes)
        self.name: Final = name
        self.channel: Final = channel
        self.effects: Final[tuple[type[Effect], ...]] = (effect,)
        self.live: Final = live
        self.slots: Final = slots
        self.call_timeout: Final = call_timeout
        self.retry: Final = retry or (EFFECT_RETRY if key_lifetime is None else KEYED_RETRY)
        self.keeps: Final = Keeps(
            key=None if key_lifetime is None else IdempotencyKey(lifetime=key_lifetime),
            look_up=None if look_up is None else look_up.keeps,
            receipts=None if receipts is None else receipts.keeps,
            rate=rate,
            tenant_rate=tenant_rate,
        )
        self._effect = effect
        self._codec = Codec(effect, effect.__duly__.name)
        self._recipient = recipient
        self._summary = summary
        self._url = checked_url(label, url)
        self._headers = checked_headers(label, headers or {})
        self._idempotency_header = idempotency_header
        if idempotency_header is not None:
            checked_headers(label, {idempotency_header: "key"})
        self._id_field = id_field
        self._already_there = already_there
        self._look_up = look_up
        self._receipts = None if receipts is None else receipts.reader(label)
        self._five_hundred_means_not_processed = five_hundred_means_not_processed
        self._http = HttpTransport(
            # A look-up must not wait for calls that hang: it has connections of its own.
            slots=slots if look_up is None else slots * 2,
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
            body=self._codec.encode_whole(effect).encode(),
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
        return self._outcome(call, answer) if isinstance(answer, HttpResponse) else answer

    async def look_up(self, call: Call, *, confirming: bool) -> LookUpAnswer:
        """Ask for *call*'s effect by our reference, once."""
        if self._look_up is None or not self.live:
            return Unclear(evidence="the gateway has no look-up" if self._look_up is None else "not live")
        reference = self._look_up.reference(call)
        if reference is None:
            return Unclear(evidence="the effect holds no reference to ask for")
        url = self._look_up.address(reference, confirming=confirming)
        answer = await self._http.exchange(HttpRequest(url=url, method="GET", headers=self._headers))
        match answer:
            case HttpResponse():
                return self._look_up.read(answer, reference, confirming=confirming)
            case NotSent(reason=seen) | Unknown(evidence=seen):
                return Unclear(evidence=seen)

    def receipts(self, incoming: Incoming) -> Sequence[Receipt]:
        """The receipt in *incoming*, if the provider has signed it. Raises `ReceiptRefused`."""
        if self._receipts is None:
            raise ReceiptRefused(f"The gateway {self.name!r} hears no receipts. Give it receipts=JsonReceipts(…).")
        return self._receipts.read(incoming)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    def _outcome(self, call: Call, answer: HttpResponse) -> Outcome:
        there = None if self._already_there is None else self._already_there.provider_id(answer, call.prepared.body)
        if there is not None:
            return Accepted(provider_id=there, evidence=f"HTTP {answer.status}: it is there already")
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
        found = provider_id(field_at(answer.json(), self._id_field))
        if found is None:
            return Unknown(evidence=f"HTTP {answer.status}, but no id could be read in the answer")
        return Accepted(provider_id=found, evidence=f"HTTP {answer.status}")


def _is_idempotency_error(answer: HttpResponse) -> bool:
    """Whether the body says so the way Stripe does. Source: https://docs.stripe.com/api/errors"""
    error = answer.json().get("error")
    return isinstance(error, dict) and error.get("type") == "idempotency_error"
