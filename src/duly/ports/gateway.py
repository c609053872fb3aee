"""The one object that can talk to a provider."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import msgspec

from duly.clock import EPOCH
from duly.messages.attachment import AttachmentRef
from duly.messages.message import Effect
from duly.states.attempt import Outcome
from duly.states.delivery import Delivery, Engagement
from duly.states.look_up import Found, LookUpAnswer, NotThere, Unclear
from duly.states.policy import Keeps
from duly.states.retry import RetrySchedule

__all__ = [
    "AttachmentRef",
    "Call",
    "Found",
    "Gateway",
    "Incoming",
    "LookUpAnswer",
    "LooksUp",
    "NotThere",
    "Prepared",
    "Receipt",
    "TakesReceipts",
    "Unclear",
    "decode_attachments",
    "encode_attachments",
]


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered request, frozen before the first attempt: the same effect always gives the same bytes.

    *summary* is what the tenant's view shows of it (a subject line, the beginning of a text). *destination* is what
    fails or is slow as one (a customer's host, a carrier): it has a breaker and a rate of its own. With *suppressed*
    the request is written down and never attempted, for that reason.
    """

    recipient: str
    summary: str
    content_type: str
    body: bytes
    destination: str = ""
    attachments: tuple[AttachmentRef, ...] = ()
    suppressed: str = ""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as its gateway sees it. `key` is the same in every attempt of the effect.

    `files` holds the bytes of the attachments, in their order.
    """

    effect_id: str
    key: str
    tenant: str
    number: int
    prepared: Prepared
    requested_at: datetime
    started_at: datetime = EPOCH
    """When this attempt began, by the database's clock."""
    files: tuple[bytes, ...] = ()


class Gateway(Protocol):
    """Talks to one account at one provider.

    Architecture invariant: a gateway knows nothing of acts, stores or other gateways, and never repeats a call by
    itself.
    """

    @property
    def name(self) -> str:
        """Unique among an application's gateways; stored with each effect, so keep it."""

    @property
    def channel(self) -> str:
        """What the tenant's view calls it: ``sms``, ``email``, ``billing``, …"""

    @property
    def effects(self) -> tuple[type[Effect], ...]:
        """The types of effects it takes."""

    @property
    def live(self) -> bool:
        """Whether it may reach anybody. When False every effect is ``suppressed (not live)``."""

    @property
    def slots(self) -> int:
        """How many calls may be under way at once in one process."""

    @property
    def call_timeout(self) -> timedelta:
        """The longest that one call can take; the lease of an attempt is longer."""

    @property
    def retry(self) -> RetrySchedule:
        """When an effect that was definitely not sent is tried again."""

    @property
    def keeps(self) -> Keeps:
        """What it can keep: an idempotency key, a look-up, receipts. ``Keeps()`` when nothing of it."""

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """Render *effect*. Pure: the same input gives the same bytes. Raises `InvalidInput` naming the field."""

    async def open(self) -> None:
        """Make ready to call. Runs in the worker's event loop."""

    async def call(self, call: Call) -> Outcome:
        """Try once. Returns what is known; an exception counts as unknown."""

    async def close(self) -> None:
        """Let go of connections."""


# What a gateway may have beyond that. What it declares in `keeps` it must have; the start says so.


@runtime_checkable
class LooksUp(Protocol):
    """A gateway that can ask its provider whether it has an effect."""

    async def look_up(self, call: Call, *, confirming: bool) -> LookUpAnswer:
        """Ask for *call*'s effect by our reference, once; an exception counts as unclear.

        *confirming*: the first answer was *not there*. Use the source that lags least, if there are several.
        """


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request as it came in at a receipt route. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    received_at: datetime

    def header(self, name: str) -> str | None:
        """The value of the first header *name* (lower case); None without one."""
        return next((value for header, value in self.headers if header == name), None)


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One report of a provider, verified. Which effect it is about: by *effect_id*, from a token that we have signed,
    or by *provider_id*.

    *dedupe* is the same when the same report comes again. *suppresses* takes the recipient off the channel from now on,
    for that reason (a complaint, an opt-out, an address that does not exist).
    """

    dedupe: str
    provider_id: str | None = None
    effect_id: str | None = None
    delivery: Delivery | None = None
    engagement: Engagement | None = None
    detail: str = ""
    """What the provider says, without addresses or texts: it stays when a person is erased."""
    occurred_at: datetime | None = None
    suppresses: str = ""


@runtime_checkable
class TakesReceipts(Protocol):
    """A gateway whose provider reports back over HTTP."""

    def receipts(self, incoming: Incoming) -> Sequence[Receipt]:
        """Verify *incoming* as the provider signs, before anything else, then read it; pure, no network.

        Raises `ReceiptRefused` when it is not verified, or cannot be read.
        """


_attachments = msgspec.json.Decoder(tuple[AttachmentRef, ...])


def encode_attachments(attachments: tuple[AttachmentRef, ...]) -> str:
    """References to files as JSON text."""
    return msgspec.json.encode(attachments).decode() if attachments else "[]"


def decode_attachments(text: str) -> tuple[AttachmentRef, ...]:
    """References to files from their JSON text."""
    return () if text == "[]" else _attachments.decode(text)
