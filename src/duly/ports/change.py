"""The change that one unit of work makes, as one value, and what a store says to it."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

import msgspec

from duly.messages.envelope import Envelope, Link
from duly.ports.gateway import Prepared
from duly.states.effect import Dispatch
from duly.states.policy import Policy


class InboxWrite(msgspec.Struct, frozen=True, kw_only=True):
    """The command's inbox row. `token` tells this execution from every other one of the same command."""

    id: str
    name: str
    digest: str
    token: str
    result: str
    keep: timedelta


class DocumentWrite(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate's new document. `expected` is the version it was loaded with, 0 for a new one; None body removes.

    Of an event-sourced aggregate it is the head of its stream, with an empty body: its version counts events.
    """

    type: str
    id: str
    expected: int
    schema: int
    body: str | None
    grows: int = 1
    """By how much the version grows."""


class SnapshotWrite(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an event-sourced aggregate after *version* events; it takes the place of an older one."""

    type: str
    id: str
    version: int
    schema: int
    body: str


class ProcessStep(msgspec.Struct, frozen=True, kw_only=True):
    """What a process heard, and what it decided; *number* counts from 1."""

    process: str
    id: str
    number: int
    message_id: str
    kind: str
    name: str
    version: int
    body: str
    """Of the message that was heard, without its personal fields."""
    decision: str
    """JSON."""


class VersionCheck(msgspec.Struct, frozen=True):
    """An aggregate that was got and not changed: its version must still be *expected* (0: it must not exist)."""

    type: str
    id: str
    expected: int


class Entry(msgspec.Struct, frozen=True):
    """A findable value of an aggregate. *slot* is empty for a unique value, else the aggregate's id."""

    type: str
    field: str
    value: str
    slot: str
    id: str


class Promise(msgspec.Struct, frozen=True):
    """An outbox row to be: message number *ordinal* of this change, for one subscriber, in one lane."""

    ordinal: int
    subscriber: int
    lane: str
    bucket: int
    later: Later | None = None
    """When it is to be delivered, if not at once."""


class Later(msgspec.Struct, frozen=True, kw_only=True):
    """A time to come, and what the promise may be cancelled by: unique in its tenant; the first one stands."""

    id: str
    at_ms: int | None = None
    """Not before this time."""
    after_ms: int = 0
    """Without `at_ms`: not before so many milliseconds after the commit."""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """An effect to be."""

    id: str
    type: str
    channel: str
    gateway: str
    key: str
    handler: str
    chain: tuple[Link, ...]
    subject: str
    digest: str
    prepared: Prepared
    recipient_hash: str
    policy: Policy
    correlation: str
    """Id of the first message of its chain."""
    reference: str | None = None
    """What the application finds it by: an order's number."""
    urgent: bool = False
    at_ms: int | None = None
    """Not before this time."""
    after_ms: int = 0
    """Without `at_ms`: not before so many milliseconds after the commit."""
    expires_at_ms: int | None = None
    expires_after_ms: int | None = None
    """Without `expires_at_ms`: not later than so many milliseconds after the commit."""
    trace: str | None = None

    @property
    def begins(self) -> Dispatch:
        """The state in which it begins."""
        return Dispatch.REQUESTED if self.at_ms is None and not self.after_ms else Dispatch.SCHEDULED


class Delivered(msgspec.Struct, frozen=True):
    """Completion of a delivery: outbox row *row* is to be deleted, under the token of its bucket."""

    row: int
    bucket: int
    token: str
    subscriber: int
    lane: str
    is_held: bool
    """Whether the lane has a row of failures, which goes with the outbox row."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one unit of work writes: it commits whole or not at all."""

    tenant: str
    inbox: InboxWrite | None = None
    delivered: Delivered | None = None
    checks: tuple[VersionCheck, ...] = ()
    documents: tuple[DocumentWrite, ...] = ()
    entries_removed: tuple[Entry, ...] = ()
    entries_added: tuple[Entry, ...] = ()
    messages: tuple[Envelope, ...] = ()
    events: int = 0
    """How many of the messages are domain events; these come first."""
    promises: tuple[Promise, ...] = ()
    lanes_locked: tuple[str, ...] = ()
    """Lanes shared by several aggregates: commits are numbered under their locks, so that order is kept."""
    intents: tuple[Intent, ...] = ()
    cancelled: tuple[str, ...] = ()
    """Ids of promises for later that are withdrawn; what is due already goes its way."""
    snapshots: tuple[SnapshotWrite, ...] = ()
    steps: tuple[ProcessStep, ...] = ()


class Done(msgspec.Struct, frozen=True, eq=False):
    """It is committed (or, in an open transaction, written). As verdicts, all of them are equal."""

    commit: int | None = None
    """Its row in the log of commits; None when it said nothing."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Done)

    def __hash__(self) -> int:
        return hash(Done)


class Repeat(msgspec.Struct, frozen=True):
    """The inbox holds this command id already."""

    name: str
    digest: str
    result: str


class Conflict(msgspec.Struct, frozen=True):
    """Somebody else has changed *type* / *id* since it was read."""

    type: str
    id: str


class Exists(msgspec.Struct, frozen=True):
    """A new aggregate has the id of one that exists."""

    type: str
    id: str


class Taken(msgspec.Struct, frozen=True):
    """A unique value belongs to another aggregate."""

    type: str
    field: str
    value: str


class Void(msgspec.Struct, frozen=True):
    """The outbox row is gone, or its bucket has another owner: the promise is somebody else's, or kept already."""

    reason: str


Verdict: TypeAlias = Done | Repeat | Conflict | Exists | Taken | Void
