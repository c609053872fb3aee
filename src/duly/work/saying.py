"""What a unit of work says: the messages that its handlers raise, and who is promised them after the commit."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec
from msgspec import structs

from duly.clock import to_milliseconds
from duly.domain.aggregate import Recorded
from duly.errors import CascadeTooDeep, InvalidMessage, TooManyMessages
from duly.messages.envelope import CASCADE_DEPTH_MAX, MESSAGES_PER_COMMAND_MAX, Envelope, Kind
from duly.messages.identity import bucket_of
from duly.messages.message import DomainEvent, Message, PublicEvent
from duly.ports.change import Later, Promise
from duly.telemetry import current_trace
from duly.work.identity_map import Tracked
from duly.work.lives import changes_counted
from duly.work.routes import Handler, Publisher, Routes
from duly.work.scope import Handling, Post

# A member of an enum is looked up by a method written in Python (3.11), and these for each message.
_EVENT: Final = Kind.EVENT
_TIMEOUT: Final = Kind.TIMEOUT


class Posted(msgspec.Struct, frozen=True):
    """A message to one subscriber, and its promise to be."""

    envelope: Envelope
    subscriber: str
    lane: str
    later: Later | None


class Saying(msgspec.Struct, eq=False):
    """Makes envelopes and promises, and gathers them in the order in which they were made."""

    _routes: Routes
    _tenant: str
    events: list[Envelope] = []
    posted: list[Posted] = []
    """Messages that go to one subscriber each."""
    _queue: deque[tuple[DomainEvent, Envelope, tuple[Handler, ...]]] = msgspec.field(default_factory=deque)
    _publics: list[Envelope] = []
    _promises: list[Promise] = []
    """Those of public events are numbered -1, -2, … from the first one on: where they come is known at the end."""
    _lanes_locked: dict[str, None] = {}

    @property
    def messages(self) -> tuple[Envelope, ...]:
        """Everything that was said, domain events first."""
        return (*self.events, *self._publics, *[posted.envelope for posted in self.posted])

    @property
    def lanes_locked(self) -> tuple[str, ...]:
        """Lanes that several aggregates share."""
        return tuple(sorted(self._lanes_locked)) if self._lanes_locked else ()

    def promises(self) -> tuple[Promise, ...]:
        """The outbox rows to be."""
        if not self._publics and not self.posted:
            return tuple(self._promises)
        publics = len(self.events)
        found = [
            promise if promise.ordinal >= 0 else structs.replace(promise, ordinal=publics + ~promise.ordinal)
            for promise in self._promises
        ]
        for ordinal, posted in enumerate(self.posted, publics + len(self._publics)):
            found.append(self._promised(ordinal, posted.subscriber, posted.lane, posted.later))
        return tuple(found)

    def _promised(self, ordinal: int, subscriber: str, lane: str, later: Later | None) -> Promise:
        return Promise(ordinal, self._routes.number(subscriber), lane, bucket_of(lane), later)

    def next_event(self) -> tuple[DomainEvent, Envelope, tuple[Handler, ...]] | None:
        """The next event that is to be heard in this transaction, and by whom; None when it is quiet."""
        return self._queue.popleft() if self._queue else None

    def raise_event(self, recorded: Recorded, tracked: Tracked, handling: Handling) -> None:
        """Take an event that an aggregate recorded. Raises `InvalidMessage`, `CascadeTooDeep`, `TooManyMessages`."""
        event = recorded.event
        if not isinstance(event, DomainEvent):
            raise InvalidMessage(f"{tracked.stream} recorded {event!r}, which is no DomainEvent.")
        version = recorded.number or changes_counted(tracked.version) + 1
        envelope = self._envelope(event, _EVENT, handling, handling.next_id(), tracked.stream, version)
        hearing = self._routes.hearing(type(event))
        if hearing.listeners:
            self._queue.append((event, envelope, hearing.listeners))
        self._promise(event, envelope, len(self.events), hearing.subscribers)
        self.events.append(envelope)
        for publisher in hearing.publishers:
            self._publish(publisher, event, envelope)
        self._check_count(handling, envelope)

    def post(self, post: Post, handling: Handling) -> None:
        """Add a message to one subscriber. Raises `InvalidMessage`, `CascadeTooDeep`, `TooManyMessages`."""
        envelope = self._envelope(post.message, post.kind, handling, post.id, post.stream, None)
        self.posted.append(Posted(envelope, post.subscriber, post.lane, post.later))
        self._check_count(handling, envelope)

    def _check_count(self, handling: Handling, last: Envelope) -> None:
        if len(self.events) + len(self._publics) + len(self.posted) > MESSAGES_PER_COMMAND_MAX:
            raise TooManyMessages(
                f"{handling.cause.name} raised more than {MESSAGES_PER_COMMAND_MAX:,} messages in one transaction, "
                f"the last a {last.name}. Split the work into several commands."
            )

    def _publish(self, publisher: Publisher, event: DomainEvent, cause: Envelope) -> None:
        public = publisher.make(event)
        if public is None:
            return
        if not isinstance(public, PublicEvent):
            raise InvalidMessage(f"{publisher.name} made {public!r}, which is no PublicEvent.")
        making = Handling(cause, publisher.name, publisher.identity)
        envelope = self._envelope(public, Kind.PUBLIC, making, making.next_id(), cause.stream, cause.stream_version)
        self._promise(public, envelope, ~len(self._publics), self._routes.hearing(type(public)).subscribers)
        self._publics.append(envelope)

    def _envelope(
        self,
        message: Message,
        kind: Kind,
        handling: Handling,
        message_id: str,
        stream: str | None,
        stream_version: int | None,
    ) -> Envelope:
        facts = type(message).__duly__
        chain = handling.chain
        if kind is _TIMEOUT:
            # Time has passed between: a process may set a timeout at each one, for years. Its history has the rest.
            chain = tuple(dict.fromkeys((chain[0], chain[-1])))
        if len(chain) > CASCADE_DEPTH_MAX:
            steps = " → ".join(link.name for link in chain)
            raise CascadeTooDeep(
                f"{facts.name} would be consequence number {len(chain)} of one command; the limit is "
                f"{CASCADE_DEPTH_MAX}. Look for handlers that raise each other's events: {steps} → {facts.name}"
            )
        encoded = self._routes.catalog.codec(type(message)).encode(message)
        return Envelope(
            id=message_id,
            tenant=self._tenant,
            kind=kind,
            name=facts.name,
            version=facts.version,
            body=encoded.body,
            personal=encoded.personal,
            subject=str(getattr(message, facts.subject)) if facts.subject else stream,
            stream=stream,
            stream_version=stream_version,
            handler=handling.handler,
            chain=chain,
            trace=current_trace(),
        )

    def _promise(self, message: Message, envelope: Envelope, ordinal: int, subscribers: tuple[Handler, ...]) -> None:
        for subscriber in subscribers:
            lane = subscriber.lane(envelope, message)
            if subscriber.key is not None:
                self._lanes_locked[lane] = None
            later = _later(envelope, subscriber) if subscriber.after else None
            self._promises.append(self._promised(ordinal, subscriber.name, lane, later))


def _later(envelope: Envelope, subscriber: Handler) -> Later:
    assert subscriber.after is not None
    return Later(id=f"{envelope.id}/{subscriber.identity}", after_ms=to_milliseconds(subscriber.after))
