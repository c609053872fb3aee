"""What the acts need from a store; sayable without SQL, but for the façade of `OpenTransaction`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

import msgspec

from duly.messages.envelope import Envelope
from duly.ports.archive import ArchiveStore
from duly.ports.change import Change, Repeat, Verdict
from duly.ports.housekeeping import HousekeepingStore
from duly.ports.later import LaterStore
from duly.ports.ledger import LedgerStore
from duly.ports.log import LogStore
from duly.ports.processes import ProcessStore
from duly.ports.projections import ProjectingTransaction, ProjectionStore, ReadModelReading
from duly.ports.rebuild import RebuildingTransaction
from duly.ports.replay import ReplayStore
from duly.ports.user_sql import SqlRow as SqlRow
from duly.ports.user_sql import SqlValue as SqlValue
from duly.ports.wake_ups import WakingStore


class StoredDocument(msgspec.Struct, frozen=True):
    """An aggregate's document as it was committed."""

    id: str
    version: int
    schema: int
    body: str


class StoredStream(msgspec.Struct, frozen=True):
    """The events of an event-sourced aggregate as they were committed, from a snapshot on if there is one."""

    id: str
    version: int
    """How many events it has."""
    head: str
    """What lies in the place of its document; not empty when it is a document."""
    snapshot: StoredDocument | None
    is_whole: bool
    """Whether every event is there, from the first, or the first after the snapshot, to the last."""
    kinds: Sequence[str]
    """Of each event its stored name and the version of its fields, parted by a space."""
    bodies: Sequence[str]
    personal: Sequence[str]
    """Of each event the personal fields, or nothing; or empty, when they were not asked for."""


class StreamNeeds(msgspec.Struct, frozen=True, kw_only=True):
    """What of a stream is to be read."""

    snapshots: range = range(0)
    """Versions of the fields of snapshots that the code can read; without any, all events are read."""
    personal: bool = True
    """Whether events may have personal fields."""


class Reading(ReadModelReading, Protocol):
    """Reads what was committed. Each call is a read of its own moment."""

    async def document(self, tenant: str, type_name: str, document_id: str) -> StoredDocument | None:
        """One document, or None."""

    async def documents_by(
        self, tenant: str, type_name: str, field: str, value: str, rows_max: int
    ) -> list[StoredDocument]:
        """The documents whose `Index` or `Unique` *field* has *value*, by id."""

    async def stream(self, tenant: str, type_name: str, aggregate_id: str, needs: StreamNeeds) -> StoredStream | None:
        """One event-sourced aggregate, or None; from its snapshot on, if that can be read."""

    async def streams(self, tenant: str, type_name: str, ids: Sequence[str], needs: StreamNeeds) -> list[StoredStream]:
        """Those of several event-sourced aggregates that there are, in no order."""

    async def inbox_row(self, tenant: str, command_id: str) -> Repeat | None:
        """What an earlier execution of this command left, or None."""

    async def select(self, statement: str, parameters: Mapping[str, SqlValue]) -> list[SqlRow]:
        """Rows of the user's own SELECT with ``:name`` parameters. Refuses to write."""

    async def decisions_about(self, tenant: str, process: str, process_id: str, message_id: str) -> list[str]:
        """What a process has decided about a message, as JSON: nothing, if it has not heard it."""


class OpenTransaction(ProjectingTransaction, RebuildingTransaction, Protocol):
    """A transaction held open for a handler that runs SQL of its own."""

    async def write(self, change: Change) -> Verdict:
        """Write a part of the change; `Done` means written, not committed.

        Any other verdict takes back everything and ends the transaction.
        """

    async def document(self, tenant: str, type_name: str, document_id: str) -> StoredDocument | None:
        """One document as this transaction sees it."""

    async def documents_by(
        self, tenant: str, type_name: str, field: str, value: str, rows_max: int
    ) -> list[StoredDocument]:
        """Documents by a findable value, as this transaction sees them."""

    async def stream(self, tenant: str, type_name: str, aggregate_id: str, needs: StreamNeeds) -> StoredStream | None:
        """One event-sourced aggregate as this transaction sees it."""

    async def streams(self, tenant: str, type_name: str, ids: Sequence[str], needs: StreamNeeds) -> list[StoredStream]:
        """Several event-sourced aggregates, as this transaction sees them."""

    async def execute(self, statement: str, parameters: Mapping[str, SqlValue]) -> int:
        """Run a statement of the user's own; the number of rows it changed."""

    async def fetch(self, statement: str, parameters: Mapping[str, SqlValue]) -> list[SqlRow]:
        """Run a statement of the user's own that returns rows."""

    async def savepoint(self, name: str) -> None:
        """Set a savepoint. *name* is a word of SQL."""

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint, which is gone, with all that were set after it."""

    async def rollback_to(self, name: str) -> None:
        """Take back what was done since the savepoint, which is gone; what failed since does not matter any more.

        Raises `StoreError`; then everything is taken back, and the transaction has ended.
        """

    async def commit(self) -> None:
        """Commit; nothing may be called afterwards."""

    async def rollback(self) -> None:
        """Take back everything; nothing may be called afterwards."""

    @property
    def raw(self) -> object:
        """The driver's own connection."""


class Committing(Reading, Protocol):
    """What a unit of work needs."""

    async def commit(self, change: Change) -> Verdict:
        """Commit a change, whole or not at all.

        A connection lost at COMMIT is resolved through the inbox row. Raises `StoreError`.
        """

    def begin(self) -> AbstractAsyncContextManager[OpenTransaction]:
        """Open a transaction; leaving the block without `commit` takes everything back."""


class Ownership(msgspec.Struct, frozen=True):
    """The buckets that a worker owns now, each with its fencing token, and how many are its fair share."""

    tokens: Mapping[int, str]
    share: int
    unclean: Mapping[int, int] = {}
    """Buckets taken just now from an owner that fell silent, each with the last row that anybody had promised then."""


LaneKey: TypeAlias = tuple[int, str]
"""Subscriber number and lane."""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """An outbox row that waits for its subscriber, with the failures that its lane has seen at it."""

    row: int
    bucket: int
    subscriber: int
    lane: str
    envelope: Envelope
    attempts: int
    is_held: bool = False
    """Whether its lane was put on hold: the delivery of any of its rows ends that."""


class Mark(msgspec.Struct, frozen=True):
    """How far rows of the outbox had been numbered at one moment, and what a later look knows that moment by."""

    last: int
    transaction: int = 0
    """A transaction that began after that moment; 0 where there is one writer."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What of the outbox is looked at, by row, as of one moment."""

    buckets: Sequence[int]
    subscribers: Sequence[int]
    rows_max: int
    after: int = 0
    """Only rows behind this one."""
    with_held: bool = True
    """Lanes whose hold is over, too. Otherwise lanes without a hold only."""
    but_for_lanes: Sequence[LaneKey] = ()
    but_for_rows: Sequence[int] = ()
    mark: Mark = Mark(0)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a look has seen."""

    rows: Sequence[Due]
    cut_at: int | None
    """The last row that was looked at, if there may be more."""
    is_decided: bool
    """Whether rows up to the look's mark were all committed by then, and shown, or never will be."""
    server: str
    """Another one after a fail-over or a restore: then numbers may have begun again from what they were."""
    next_hold: timedelta | None
    """How long until the next hold ends, of any lane; not above zero: some have, and were not asked for."""


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A message that stepped out of its lane, and why."""

    id: int
    tenant: str
    subscriber: str
    lane: str
    message_id: str
    message_name: str
    attempts: int
    reason: str
    parked_at: datetime


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A message that somebody is promised because of a row that is parked."""

    envelope: Envelope
    subscriber: int
    lane: str
    bucket: int


class Subscription(msgspec.Struct, frozen=True):
    """A subscriber's stored name, and the names it had before."""

    name: str
    formerly: tuple[str, ...] = ()


class OutboxStore(Protocol):
    """What the relay needs."""

    async def subscribe(self, subscriptions: Sequence[Subscription]) -> dict[str, int]:
        """The stable number of each subscriber by name; a renamed one keeps its number."""

    async def own_buckets(self, owner: str, lease: timedelta, *, let_go: Sequence[int]) -> Ownership:
        """Renew *owner*'s leases, let go of some buckets, take free ones up to its fair share."""

    async def disown(self, owner: str) -> None:
        """Let go of all of *owner*'s buckets at once: a planned end."""

    async def look(self, look: Look) -> Seen:
        """The first outbox rows of those that are looked for, as of one moment."""

    async def mark(self) -> Mark:
        """How far rows are numbered by now."""

    async def hold(self, due: Due, token: str, *, attempts: int, wait: timedelta, reason: str) -> bool:
        """Put a lane on hold for its head; False when the bucket has another owner."""

    async def park(self, due: Due, token: str, *, attempts: int, reason: str, notice: Notice | None = None) -> bool:
        """Move a row to the parked ones, with a *notice*; False when it is gone, or its bucket somebody else's."""

    async def parked(self, tenant: str, rows_max: int) -> list[Parked]:
        """A tenant's parked messages, the latest first."""

    async def unpark(self, tenant: str, parked_id: int) -> bool:
        """Put a parked message back at the end of its lane; False when there is none."""

    async def undelivered(self, within: timedelta) -> int:
        """How many promises are not kept yet, but for those that wait, or whose lanes do, for longer than *within*."""


class Schema(Protocol):
    """The database's form."""

    async def migrate(self, tables: Sequence[str]) -> list[str]:
        """Bring the schema up to date; run the modules' own statements that are new; what was done, by line."""

    async def check_schema(self, tables: Sequence[str] = ()) -> None:
        """Raises `SchemaMissing`, `SchemaOutdated` (also when a statement of *tables* was not run), `SchemaTooNew`."""

    async def is_empty(self) -> bool:
        """Whether the database is a new, empty SQLite file (which the start may fill without asking)."""


class Unfinished(msgspec.Struct, frozen=True):
    """What there is still to do, as of one moment."""

    undelivered: int
    unsettled: int


class Store(
    ArchiveStore,
    Committing,
    OutboxStore,
    HousekeepingStore,
    LaterStore,
    LedgerStore,
    LogStore,
    ProcessStore,
    ProjectionStore,
    ReplayStore,
    Schema,
    WakingStore,
    Protocol,
):
    """One database."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""

    async def unfinished(self, within: timedelta) -> Unfinished:
        """`undelivered` and `unsettled`, of the same moment: one may turn into the other."""

    async def open(self) -> None:
        """Connect. Raises `StoreError`."""

    async def close(self) -> None:
        """Let go of everything."""
