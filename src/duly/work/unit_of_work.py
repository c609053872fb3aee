"""What one transaction has touched, and the cascade of handlers within it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from duly import telemetry
from duly.domain.aggregate import Aggregate
from duly.errors import ReadOnlyUse, ScopeClosed, TooManyMessages
from duly.messages.catalog import Catalog
from duly.messages.envelope import MESSAGES_PER_COMMAND_MAX, Envelope
from duly.messages.message import Command, Effect, Message
from duly.ports.attachments import AttachmentKeeper
from duly.ports.change import Change, Delivered, Done, InboxWrite, Intent, ProcessStep, Verdict
from duly.ports.projections import ReadModelReading
from duly.ports.store import Committing, OpenTransaction
from duly.ports.templates import TemplateKeeper
from duly.work.aggregate_type import AggregateType
from duly.work.identity_map import DocumentChanges, IdentityMap
from duly.work.routes import COMMAND_TAKER, Handler, Routes
from duly.work.savepoints import Savepoints
from duly.work.saying import Saying
from duly.work.scope import Handling, Post
from duly.work.sending import Way
from duly.work.stream_type import StreamType

A = TypeVar("A", bound=Aggregate)

OnCommit: TypeAlias = Callable[[bool, bool], None]
"""Told of a commit: whether it promised deliveries, and whether it requested effects."""


class WriteRefused(Exception):
    """A write in an open transaction met a conflict: the unit of work cannot go on, whoever catches this."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(repr(verdict))


class UnitOfWork:
    """Runs one handler and the cascade of `in_transaction` handlers after it, and gathers the change they make."""

    def __init__(
        self,
        routes: Routes,
        store: Committing,
        tenant: str,
        *,
        read_only: bool = False,
        is_watched: bool | None = None,
    ) -> None:
        """*is_watched*: whether anybody takes spans or debug records of it, if the caller has asked that already."""
        self._routes = routes
        self.store = store
        self.tenant = tenant
        self._read_only = read_only
        self._map = IdentityMap()
        self._saying = Saying(routes, tenant)
        self.is_watched = telemetry.is_watched() if is_watched is None else is_watched
        self._handling: Handling | None = None
        self._intents: list[Intent] = []
        self._withdrawn: list[str] = []
        self._steps: list[ProcessStep] = []
        # What most units of work never need is made when it is.
        self._savepoints: Savepoints | None = None
        self._sql_turn: asyncio.Lock | None = None
        self._opened: AbstractAsyncContextManager[OpenTransaction] | None = None
        self._transaction: OpenTransaction | None = None
        self.doomed: BaseException | None = None
        self.promised = False
        """Whether its change promises deliveries."""
        self.intended = False
        """Whether its change requests effects."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._handling = None
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, traceback)

    # Running handlers.

    def run(self, handler: Handler, message: Message, cause: Envelope) -> Awaitable[object]:
        """Run *handler*, then the cascade until quiet: events first in, first out. The handler's result."""
        return self._run(handler, message, _begun(handler, cause))

    async def run_each(self, calls: Sequence[tuple[Handler, Message]], cause: Envelope) -> None:
        """Run handlers for each of the messages that *cause* holds today. What one handler makes is counted through."""
        begun: dict[str, Handling] = {}
        for handler, message in calls:
            handling = begun.setdefault(handler.identity, _begun(handler, cause))
            await self._run(handler, message, handling)

    async def _run(self, handler: Handler, message: Message, handling: Handling) -> object:
        result = await self._call(handler, message, handling)
        while (next_event := self._saying.next_event()) is not None:
            event, envelope, listeners = next_event
            for listener in listeners:
                await self._call(listener, event, _begun(listener, envelope))
        return result

    async def _call(self, handler: Handler, message: Message, handling: Handling) -> object:
        self._handling = handling
        try:
            call = handler.call if self.is_watched else handler.call_unwatched
            result = await call(self, message)
            if self._savepoints is not None:
                self._savepoints.check_left()
            for recorded, tracked in self._map.take_recorded():
                self._saying.raise_event(recorded, tracked, handling)
        finally:
            self._handling = None
        return result

    def handling(self) -> Handling:
        """The call under way. Raises `ScopeClosed` when there is none."""
        if self._handling is None:
            raise ScopeClosed(
                "The handler has ended, and with it its transaction. Do not keep its parameters, and await everything "
                "that it starts before it returns."
            )
        return self._handling

    # What the parameters of handlers ask for: `Scope`.

    @property
    def catalog(self) -> Catalog:
        """All message types of the application."""
        return self._routes.catalog

    def way(self, effect: type[Effect]) -> Way:
        """How a type of effect goes out for this tenant. Raises `NoGateway`."""
        return self._routes.ways.way(effect, self.tenant)

    @property
    def templates(self) -> TemplateKeeper:
        """The application's keeper of templates."""
        assert self._routes.templates is not None, "the wiring refuses a handler that asks for templates without any"
        return self._routes.templates

    @property
    def attachments(self) -> AttachmentKeeper:
        """The application's keeper of attachments."""
        assert self._routes.attachments is not None, "the wiring refuses a handler that asks for them without a keeper"
        return self._routes.attachments

    @property
    def recipient_hash_key(self) -> str:
        """The key of the hashes of recipients in this database, hexadecimal."""
        return self._routes.recipient_hash_key

    async def load(self, aggregate_type: AggregateType[A], aggregate_id: str) -> A | None:
        """The aggregate in hand or in the database, or None."""
        self.handling()
        if self._map.is_known(aggregate_type, aggregate_id):
            return self._map.get(aggregate_type, aggregate_id)
        document = await aggregate_type.read(self._source(), self.tenant, aggregate_id)
        if document is None:
            self._map.missing(aggregate_type, aggregate_id)
            return None
        return self._map.loaded(aggregate_type, document, checked=True)

    async def peek(self, aggregate_type: AggregateType[A], aggregate_id: str) -> A | None:
        """The committed aggregate, apart from what is in hand."""
        self.handling()
        if isinstance(aggregate_type, StreamType) and self._map.is_known(aggregate_type, aggregate_id):
            # The head may be written in our transaction already, and its events not.
            document = self._map.as_read(aggregate_type, aggregate_id)
        else:
            document = await aggregate_type.read(self._source(), self.tenant, aggregate_id)
        return None if document is None else self._map.peeked(aggregate_type, document)

    async def load_by(self, aggregate_type: AggregateType[A], field: str, value: str, rows_max: int) -> list[A]:
        """The aggregates with a value, with what is in hand: a new one is found, a removed one is not."""
        self.handling()
        documents = await aggregate_type.read_by(
            self._source(), self.tenant, field, value, rows_max, lambda found: self._map.is_known(aggregate_type, found)
        )
        found = {
            document.id: aggregate
            for document in documents
            if (aggregate := self._map.loaded(aggregate_type, document, checked=False)) is not None
        }
        for tracked in self._map.in_hand():
            if tracked.aggregate_type is aggregate_type and not tracked.removed:
                assert isinstance(tracked.aggregate, aggregate_type.cls)
                found.setdefault(tracked.aggregate.id, tracked.aggregate)
        return [found[aggregate_id] for aggregate_id in sorted(found)]

    def add(self, aggregate_type: AggregateType[Any], aggregate: Aggregate) -> None:
        """Take a new aggregate in hand."""
        self.handling()
        self._refuse_if_read_only()
        self._map.add(aggregate_type, aggregate)

    def remove(self, aggregate_type: AggregateType[Any], aggregate: Aggregate) -> None:
        """Mark an aggregate in hand as removed."""
        self.handling()
        self._refuse_if_read_only()
        self._map.remove(aggregate_type, aggregate)

    def intend(self, intent: Intent) -> None:
        """Add the intent of an effect. Raises `TooManyMessages`."""
        if len(self._intents) >= MESSAGES_PER_COMMAND_MAX:
            raise TooManyMessages(
                f"{intent.handler} requested more than {MESSAGES_PER_COMMAND_MAX:,} effects in one transaction. "
                "Split the work into several commands."
            )
        self._intents.append(intent)

    def command_taker(self, command: type[Command[object]]) -> str:
        """The stored name of the subscriber that executes commands of a type. Raises `UnknownCommand`."""
        self._routes.command(command)
        return COMMAND_TAKER

    def post(self, post: Post) -> None:
        """Add a message to one subscriber. Raises `InvalidMessage`, `CascadeTooDeep`, `TooManyMessages`."""
        self._refuse_if_read_only()
        self._saying.post(post, self.handling())

    def withdraw(self, later_id: str) -> None:
        """Withdraw a promise for later."""
        self._refuse_if_read_only()
        self.handling()
        self._withdrawn.append(later_id)

    def step(self, step: ProcessStep) -> None:
        """Add a step to the history of a process."""
        self.handling()
        self._steps.append(step)

    def read_model_source(self) -> ReadModelReading:
        """Where read models are read."""
        self.handling()
        return self._source()

    async def sql_transaction(self) -> OpenTransaction:
        """The open transaction, begun now if it was not; what is buffered is written into it first."""
        self.handling()
        if self._sql_turn is None:
            self._sql_turn = asyncio.Lock()
        async with self._sql_turn:  # statements that a handler starts at the same time are of one transaction
            return await self._flushed()

    async def _flushed(self) -> OpenTransaction:
        if self.doomed is not None:
            raise self.doomed
        if self._transaction is None:
            opened = self.store.begin()
            self._transaction = await opened.__aenter__()
            self._opened = opened
        changes = self._map.changes()
        if changes:
            verdict = await self._transaction.write(self._documents_only(changes))
            if not isinstance(verdict, Done):
                self.doomed = WriteRefused(verdict)
                raise self.doomed
            self._map.written(changes)
        return self._transaction

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A block that is taken back when it raises."""
        if self._savepoints is None:
            self._savepoints = Savepoints(self._map, self._intents, self._saying.posted, self._withdrawn, self._steps)
        return self._savepoints.block(self)

    def doom(self, error: BaseException) -> None:
        """Nothing of this unit of work may be committed, whoever catches *error*."""
        self.doomed = self.doomed or error

    def _source(self) -> Committing | OpenTransaction:
        return self.store if self._transaction is None else self._transaction

    # The end.

    async def commit(self, *, inbox: InboxWrite | None = None, delivered: Delivered | None = None) -> Verdict:
        """Commit everything as one change, whole or not at all."""
        if self.doomed is not None:
            if isinstance(self.doomed, WriteRefused):
                return self.doomed.verdict
            raise self.doomed
        change = self._change(inbox, delivered)
        self.promised, self.intended = bool(change.promises), bool(change.intents)
        if self._transaction is None:
            return await self.store.commit(change)
        verdict = await self._transaction.write(change)
        if isinstance(verdict, Done):
            await self._transaction.commit()
        else:
            await self._transaction.rollback()
        return verdict

    def check_unchanged(self) -> None:
        """Raises `ReadOnlyUse` if a query has changed something."""
        if self._map.take_recorded() or self._map.changes() or self._intents or self._saying.posted:
            raise ReadOnlyUse("A query changed an aggregate. Queries only read; write a command for it.")

    def _documents_only(self, changes: DocumentChanges) -> Change:
        return Change(
            tenant=self.tenant,
            documents=tuple(changes.documents),
            entries_removed=tuple(changes.entries_removed),
            entries_added=tuple(changes.entries_added),
            snapshots=tuple(changes.snapshots),
        )

    def _change(self, inbox: InboxWrite | None, delivered: Delivered | None) -> Change:
        changes = self._map.changes()
        changes.check_said()
        return Change(
            tenant=self.tenant,
            inbox=inbox,
            delivered=delivered,
            checks=tuple(changes.checks),
            documents=tuple(changes.documents),
            entries_removed=tuple(changes.entries_removed),
            entries_added=tuple(changes.entries_added),
            messages=self._saying.messages,
            events=len(self._saying.events),
            promises=self._saying.promises(),
            lanes_locked=self._saying.lanes_locked,
            intents=tuple(self._intents),
            cancelled=tuple(self._withdrawn),
            snapshots=tuple(changes.snapshots),
            steps=tuple(self._steps),
        )

    def _refuse_if_read_only(self) -> None:
        if self._read_only:
            raise ReadOnlyUse("A query cannot add or remove aggregates. Queries only read; write a command for it.")


def _begun(handler: Handler, cause: Envelope) -> Handling:
    return Handling(cause, handler.name, handler.identity)
