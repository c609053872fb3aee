"""What one transaction has touched, and the cascade of handlers within it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import msgspec

from duly.domain.aggregate import Aggregate, Recorded
from duly.errors import CascadeTooDeep, InvalidMessage, ReadOnlyUse, ScopeClosed, TooManyMessages
from duly.messages.catalog import Catalog
from duly.messages.envelope import CASCADE_DEPTH_MAX, MESSAGES_PER_COMMAND_MAX, Envelope, Kind
from duly.messages.identity import bucket_of, derived_id, lane_of
from duly.messages.message import DomainEvent, Effect, Message, PublicEvent
from duly.ports.attachments import AttachmentKeeper
from duly.ports.change import Change, Delivered, Done, InboxWrite, Intent, Promise, Verdict
from duly.ports.store import Committing, OpenTransaction
from duly.ports.templates import TemplateKeeper
from duly.telemetry import current_trace
from duly.work.aggregate_type import AggregateType
from duly.work.identity_map import DocumentChanges, IdentityMap, Tracked
from duly.work.routes import Handler, Publisher, Routes
from duly.work.scope import Handling
from duly.work.sending import Way

A = TypeVar("A", bound=Aggregate)

OnCommit: TypeAlias = Callable[[bool, bool], None]
"""Told of a commit: whether it promised deliveries, and whether it requested effects."""


class _Heard(msgspec.Struct, frozen=True):
    """A promise to be: a message and the handler that is to hear it after the commit."""

    envelope: Envelope
    subscriber: Handler
    lane: str


class WriteRefused(Exception):
    """A write in an open transaction met a conflict: the unit of work cannot go on, whoever catches this."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(repr(verdict))


class UnitOfWork:
    """Runs one handler and the cascade of `in_transaction` handlers after it, and gathers the change they make."""

    def __init__(self, routes: Routes, store: Committing, tenant: str, *, read_only: bool = False) -> None:
        self._routes = routes
        self.store = store
        self.tenant = tenant
        self._read_only = read_only
        self._map = IdentityMap()
        self._queue: deque[tuple[DomainEvent, Envelope]] = deque()
        self._events: list[Envelope] = []
        self._publics: list[Envelope] = []
        self._heard: list[_Heard] = []
        self._lanes_locked: dict[str, None] = {}
        self._intents: list[Intent] = []
        self._handling: Handling | None = None
        self._transaction: OpenTransaction | None = None
        self._doomed: BaseException | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._handling = None
        await self._stack.__aexit__(kind, error, traceback)

    # Running handlers.

    async def run(self, handler: Handler, message: Message, cause: Envelope) -> object:
        """Run *handler*, then the cascade until quiet: events first in, first out. The handler's result."""
        result = await self._call(handler, message, cause)
        while self._queue:
            event, envelope = self._queue.popleft()
            for listener in self._routes.listeners(type(event)):
                await self._call(listener, event, envelope)
        return result

    async def _call(self, handler: Handler, message: Message, cause: Envelope) -> object:
        self._handling = Handling(cause, handler=handler.name, identity=handler.identity)
        try:
            result = await handler.call(self, message)
            for recorded, tracked in self._map.take_recorded():
                self._raise(recorded, tracked, self._handling)
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

    def _raise(self, recorded: Recorded, tracked: Tracked, handling: Handling) -> None:
        event = recorded.event
        if not isinstance(event, DomainEvent):
            raise InvalidMessage(f"{tracked.stream} recorded {event!r}, which is no DomainEvent.")
        envelope = self._envelope(
            event,
            Kind.EVENT,
            cause=handling.cause,
            handler_name=handling.handler,
            message_id=derived_id(
                self.tenant, handling.cause.id, handler=handling.identity, ordinal=handling.next_message()
            ),
            stream=tracked.stream,
            stream_version=tracked.version + 1,
        )
        self._events.append(envelope)
        self._queue.append((event, envelope))
        self._promise(event, envelope)
        for publisher in self._routes.publishers(type(event)):
            self._publish(publisher, event, envelope)
        if len(self._events) + len(self._publics) > MESSAGES_PER_COMMAND_MAX:
            raise TooManyMessages(
                f"{handling.cause.name} raised more than {MESSAGES_PER_COMMAND_MAX:,} messages in one transaction, "
                f"the last a {envelope.name}. Split the work into several commands."
            )

    def _publish(self, publisher: Publisher, event: DomainEvent, cause: Envelope) -> None:
        public = publisher.make(event)
        if public is None:
            return
        if not isinstance(public, PublicEvent):
            raise InvalidMessage(f"{publisher.name} made {public!r}, which is no PublicEvent.")
        envelope = self._envelope(
            public,
            Kind.PUBLIC,
            cause=cause,
            handler_name=publisher.name,
            message_id=derived_id(self.tenant, cause.id, handler=publisher.identity, ordinal=0),
            stream=cause.stream,
            stream_version=cause.stream_version,
        )
        self._publics.append(envelope)
        self._promise(public, envelope)

    def _envelope(
        self,
        message: Message,
        kind: Kind,
        *,
        cause: Envelope,
        handler_name: str,
        message_id: str,
        stream: str | None,
        stream_version: int | None,
    ) -> Envelope:
        facts = type(message).__duly__
        chain = (*cause.chain, cause.link())
        if len(chain) > CASCADE_DEPTH_MAX:
            steps = " → ".join(link.name for link in chain)
            raise CascadeTooDeep(
                f"{facts.name} would be consequence number {len(chain)} of one command; the limit is "
                f"{CASCADE_DEPTH_MAX}. Look for handlers that raise each other's events: {steps} → {facts.name}"
            )
        encoded = self._routes.catalog.codec(type(message)).encode(message)
        return Envelope(
            id=message_id,
            tenant=self.tenant,
            kind=kind,
            name=facts.name,
            version=facts.version,
            body=encoded.body,
            personal=encoded.personal,
            subject=str(getattr(message, facts.subject)) if facts.subject else stream,
            stream=stream,
            stream_version=stream_version,
            handler=handler_name,
            chain=chain,
            trace=current_trace(),
        )

    def _promise(self, message: Message, envelope: Envelope) -> None:
        for subscriber in self._routes.subscribers(type(message)):
            if subscriber.key is None:
                lane = lane_of(self.tenant, envelope.stream or envelope.id)
            else:
                lane = lane_of(self.tenant, f"{subscriber.key}:{getattr(message, subscriber.key)}")
                self._lanes_locked[lane] = None
            self._heard.append(_Heard(envelope, subscriber, lane))

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
        document = await self._source().document(self.tenant, aggregate_type.name, aggregate_id)
        if document is None:
            self._map.missing(aggregate_type, aggregate_id)
            return None
        return self._map.loaded(aggregate_type, document, checked=True)

    async def peek(self, aggregate_type: AggregateType[A], aggregate_id: str) -> A | None:
        """The committed aggregate, apart from what is in hand."""
        self.handling()
        document = await self._source().document(self.tenant, aggregate_type.name, aggregate_id)
        return None if document is None else self._map.peeked(aggregate_type, document)

    async def load_by(self, aggregate_type: AggregateType[A], field: str, value: str, rows_max: int) -> list[A]:
        """The aggregates with a value, with what is in hand: a new one is found, a removed one is not."""
        self.handling()
        documents = await self._source().documents_by(self.tenant, aggregate_type.name, field, value, rows_max)
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

    async def sql_transaction(self) -> OpenTransaction:
        """The open transaction, begun now if it was not; what is buffered is written into it first."""
        self.handling()
        if self._doomed is not None:
            raise self._doomed
        if self._transaction is None:
            self._transaction = await self._stack.enter_async_context(self.store.begin())
        changes = self._map.changes()
        if changes:
            verdict = await self._transaction.write(self._documents_only(changes))
            if not isinstance(verdict, Done):
                self._doomed = WriteRefused(verdict)
                raise self._doomed
            self._map.written(changes)
        return self._transaction

    def doom(self, error: BaseException) -> None:
        """Nothing of this unit of work may be committed, whoever catches *error*."""
        self._doomed = self._doomed or error

    def _source(self) -> Committing | OpenTransaction:
        return self.store if self._transaction is None else self._transaction

    # The end.

    async def commit(self, *, inbox: InboxWrite | None = None, delivered: Delivered | None = None) -> Verdict:
        """Commit everything as one change, whole or not at all."""
        if self._doomed is not None:
            if isinstance(self._doomed, WriteRefused):
                return self._doomed.verdict
            raise self._doomed
        change = self._change(inbox, delivered)
        if self._transaction is None:
            return await self.store.commit(change)
        verdict = await self._transaction.write(change)
        if isinstance(verdict, Done):
            await self._transaction.commit()
        else:
            await self._transaction.rollback()
        return verdict

    @property
    def promised(self) -> bool:
        """Whether it has promised deliveries."""
        return bool(self._heard)

    @property
    def intended(self) -> bool:
        """Whether it has requested effects."""
        return bool(self._intents)

    def check_unchanged(self) -> None:
        """Raises `ReadOnlyUse` if a query has changed something."""
        if self._map.take_recorded() or self._map.changes() or self._intents:
            raise ReadOnlyUse("A query changed an aggregate. Queries only read; write a command for it.")

    def _documents_only(self, changes: DocumentChanges) -> Change:
        return Change(
            tenant=self.tenant,
            documents=tuple(changes.documents),
            entries_removed=tuple(changes.entries_removed),
            entries_added=tuple(changes.entries_added),
        )

    def _change(self, inbox: InboxWrite | None, delivered: Delivered | None) -> Change:
        changes = self._map.changes()
        messages = (*self._events, *self._publics)
        ordinals = {envelope.id: ordinal for ordinal, envelope in enumerate(messages)}
        return Change(
            tenant=self.tenant,
            inbox=inbox,
            delivered=delivered,
            checks=tuple(changes.checks),
            documents=tuple(changes.documents),
            entries_removed=tuple(changes.entries_removed),
            entries_added=tuple(changes.entries_added),
            messages=messages,
            events=len(self._events),
            promises=tuple(
                Promise(
                    ordinals[heard.envelope.id],
                    self._routes.number(heard.subscriber),
                    heard.lane,
                    bucket_of(heard.lane),
                )
                for heard in self._heard
            ),
            lanes_locked=tuple(sorted(self._lanes_locked)),
            intents=tuple(self._intents),
        )

    def _refuse_if_read_only(self) -> None:
        if self._read_only:
            raise ReadOnlyUse("A query cannot add or remove aggregates. Queries only read; write a command for it.")
