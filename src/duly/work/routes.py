"""Which handler hears what: resolved once at start, then only looked up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from duly.domain.aggregate import Aggregate
from duly.messages.catalog import Catalog
from duly.messages.codec import Codec
from duly.messages.message import Effect, Message
from duly.messages.outcomes import EffectOutcome
from duly.ports.attachments import AttachmentKeeper
from duly.ports.outcomes import Hearers
from duly.ports.templates import TemplateKeeper
from duly.work.aggregate_type import AggregateType
from duly.work.module import HandlerKind
from duly.work.scope import Scope
from duly.work.sending import Ways

Call: TypeAlias = Callable[[Scope, Message], Awaitable[object]]
"""Calls a handler with what its parameters ask for."""


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """One handler, ready to be called, middleware included."""

    kind: HandlerKind
    module: str
    name: str
    identity: str
    """The oldest name it had: ids are derived from it, so that a renamed handler makes the same things again."""
    formerly: tuple[str, ...]
    message_type: type[Message]
    key: str | None
    call: Call
    about: type[Effect] | None = None
    """The type of effect whose outcome it hears; None for all of them, and for what is no outcome."""


class Publisher(msgspec.Struct, frozen=True, kw_only=True):
    """Makes public events from domain events."""

    name: str
    identity: str
    make: Callable[[Message], Message | None]


class CommandRoute(msgspec.Struct, frozen=True):
    """The handler of a command or query, and the codec of its result."""

    handler: Handler
    result: Codec[Any]


class Routes:
    """The wiring of an application."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        commands: Mapping[type[Message], CommandRoute],
        queries: Mapping[type[Message], CommandRoute],
        listeners: Mapping[type[Message], tuple[Handler, ...]],
        publishers: Mapping[type[Message], tuple[Publisher, ...]],
        subscribers: Mapping[type[Message], tuple[Handler, ...]],
        aggregates: Mapping[type[Aggregate], AggregateType[Any]],
        ways: Ways,
        templates: TemplateKeeper | None,
        attachments: AttachmentKeeper | None,
    ) -> None:
        self.catalog = catalog
        self.commands = commands
        self.queries = queries
        self.aggregates = aggregates
        self._listeners = listeners
        self._publishers = publishers
        self._subscribers = subscribers
        self.ways = ways
        self.templates = templates
        self.attachments = attachments
        self.recipient_hash_key = ""
        self._numbers: dict[str, int] = {}

    def listeners(self, event: type[Message]) -> tuple[Handler, ...]:
        """`in_transaction` handlers of a type, in module order, then in order of definition."""
        return self._listeners.get(event, ())

    def publishers(self, event: type[Message]) -> tuple[Publisher, ...]:
        """What makes public events from a domain event."""
        return self._publishers.get(event, ())

    def subscribers(self, event: type[Message]) -> tuple[Handler, ...]:
        """`after_commit` handlers of a type."""
        return self._subscribers.get(event, ())

    def all_subscribers(self) -> tuple[Handler, ...]:
        """Every `after_commit` handler."""
        return tuple(handler for handlers in self._subscribers.values() for handler in handlers)

    def outcomes_heard(self) -> Hearers:
        """Numbers of the subscribers of outcomes, by the stored names of event and effect."""
        heard: dict[tuple[str, str], tuple[int, ...]] = {}
        for handler in self.all_subscribers():
            if not issubclass(handler.message_type, EffectOutcome):
                continue
            effects = self.ways.effects() if handler.about is None else (handler.about,)
            for effect in effects:
                place = (handler.message_type.__duly__.name, effect.__duly__.name)
                heard[place] = (*heard.get(place, ()), self.number(handler))
        return heard

    def number(self, subscriber: Handler) -> int:
        """The stored number of a subscriber."""
        return self._numbers[subscriber.name]

    def assign(self, numbers: Mapping[str, int], recipient_hash_key: str) -> None:
        """Take what the database knows: the subscribers' numbers, and the key of the hashes of recipients."""
        self._numbers = dict(numbers)
        self.recipient_hash_key = recipient_hash_key
