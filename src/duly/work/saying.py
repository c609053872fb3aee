"""What a unit of work says: the messages that its handlers raise, and who is promised them after the commit."""

from __future__ import annotations

from collections import deque

import msgspec

from duly.clock import to_milliseconds
from duly.domain.aggregate import Recorded
from duly.errors import CascadeTooDeep, InvalidMessage, TooManyMessages
from duly.messages.envelope import CASCADE_DEPTH_MAX, MESSAGES_PER_COMMAND_MAX, Envelope, Kind, Link
from duly.messages.identity import bucket_of, derived_id
from duly.messages.message import DomainEvent, Message, PublicEvent
from duly.ports.change import Later, Promise
from duly.telemetry import current_trace
from duly.work.identity_map import Tracked
from duly.work.routes import Handler, Publisher, Routes
from duly.work.scope import Handling, Post


class Heard(msgspec.Struct, frozen=True):
    """A promise to be: a message and the subscriber that is to hear it after the commit."""

    envelope: Envelope
    subscriber: str
    lane: str
    later: Later | None = None


class Saying:
    """Makes envelopes and promises, and gathers them in the order in which they were made."""

    def __init__(self, routes: Routes, tenant: str) -> None:
        self._routes = routes
        self._tenant = tenant
        self._queue: deque[tuple[DomainEvent, Envelope]] = deque()
        self.events: list[Envelope] = []
        self.posted: list[Heard] = []
        """Messages that go to one subscriber each."""
        self._publics: list[Envelope] = []
        self._heard: list[Heard] = []
        self._lanes_locked: dict[str, None] = {}

    @property
    def messages(self) -> tuple[Envelope, ...]:
        """Everything that was said, domain events first."""
        return (*self.events, *self._publics, *(posted.envelope for posted in self.posted))

    @property
    def has_promised(self) -> bool:
        """Whether anybody is promised anything."""
        return bool(self._heard or self.posted)

    @property
    def lanes_locked(self) -> tuple[str, ...]:
        """Lanes that several aggregates share."""
        return tuple(sorted(self._lanes_locked))

    def promises(self) -> tuple[Promise, ...]:
        """The outbox rows to be."""
        if not self.has_promised:
            return ()
        ordinals = {envelope.id: ordinal for ordinal, envelope in enumerate(self.messages)}
        return tuple(
            Promise(
                ordinals[heard.envelope.id],
                self._routes.number(heard.subscriber),
                heard.lane,
                bucket_of(heard.lane),
                heard.later,
            )
            for heard in (*self._heard, *self.posted)
        )

    def next_event(self) -> tuple[DomainEvent, Envelope] | None:
        """The next event that is to be heard in this transaction; None when it is quiet."""
        return self._queue.popleft() if self._queue else None

    def raise_event(self, recorded: Recorded, tracked: Tracked, handling: Handling) -> None:
        """Take an event that an aggregate recorded. Raises `InvalidMessage`, `CascadeTooDeep`, `TooManyMessages`."""
        event = recorded.event
        if not isinstance(event, DomainEvent):
            raise InvalidMessage(f"{tracked.stream} recorded {event!r}, which is no DomainEvent.")
        envelope = self._envelope(
            event,
            Kind.EVENT,
            chain=handling.chain,
            handler_name=handling.handler,
            message_id=derived_id(
                self._tenant, handling.cause.id, handler=handling.identity, ordinal=handling.next_message()
            ),
            stream=tracked.stream,
            stream_version=recorded.number or tracked.version + 1,
        )
        self.events.append(envelope)
        self._queue.append((event, envelope))
        self._promise(event, envelope)
        for publisher in self._routes.publishers(type(event)):
            self._publish(publisher, event, envelope)
        self._check_count(handling, envelope)

    def post(self, post: Post, handling: Handling) -> None:
        """Add a message to one subscriber. Raises `InvalidMessage`, `CascadeTooDeep`, `TooManyMessages`."""
        envelope = self._envelope(
            post.message,
            post.kind,
            chain=handling.chain,
            handler_name=handling.handler,
            message_id=post.id,
            stream=post.stream,
            stream_version=None,
        )
        self.posted.append(Heard(envelope, post.subscriber, post.lane, post.later))
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
        envelope = self._envelope(
            public,
            Kind.PUBLIC,
            chain=(*cause.chain, cause.link()),
            handler_name=publisher.name,
            message_id=derived_id(self._tenant, cause.id, handler=publisher.identity, ordinal=0),
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
        chain: tuple[Link, ...],
        handler_name: str,
        message_id: str,
        stream: str | None,
        stream_version: int | None,
    ) -> Envelope:
        facts = type(message).__duly__
        if kind is Kind.TIMEOUT:
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
            handler=handler_name,
            chain=chain,
            trace=current_trace(),
        )

    def _promise(self, message: Message, envelope: Envelope) -> None:
        for subscriber in self._routes.subscribers(type(message)):
            lane = subscriber.lane(envelope, message)
            if subscriber.key is not None:
                self._lanes_locked[lane] = None
            later = _later(envelope, subscriber) if subscriber.after else None
            self._heard.append(Heard(envelope, subscriber.name, lane, later))


def _later(envelope: Envelope, subscriber: Handler) -> Later:
    assert subscriber.after is not None
    return Later(id=f"{envelope.id}/{subscriber.identity}", after_ms=to_milliseconds(subscriber.after))
