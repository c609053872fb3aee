"""Which handler hears what: resolved once at start, then only looked up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from duly.domain.aggregate import Aggregate
from duly.errors import NoGateway
from duly.messages.catalog import Catalog
from duly.messages.codec import Codec
from duly.messages.message import Effect, Message
from duly.ports.gateway import Gateway
from duly.work.aggregate_type import AggregateType
from duly.work.module import HandlerKind
from duly.work.scope import Scope

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
        gateways: Mapping[type[Effect], Gateway],
    ) -> None:
        self.catalog = catalog
        self.commands = commands
        self.queries = queries
        self.aggregates = aggregates
        self._listeners = listeners
        self._publishers = publishers
        self._subscribers = subscribers
        self._gateways = gateways
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

    def gateway(self, effect: type[Effect]) -> Gateway:
        """The gateway of a type of effect. Raises `NoGateway`."""
        gateway = self._gateways.get(effect)
        if gateway is None:
            raise NoGateway(
                f"No gateway takes {effect.__qualname__}. Give one to Duly(gateways=[…]); "
                f"there are gateways for: {', '.join(sorted(cls.__qualname__ for cls in self._gateways)) or 'nothing'}."
            )
        return gateway

    def number(self, subscriber: Handler) -> int:
        """The stored number of a subscriber."""
        return self._numbers[subscriber.name]

    def assign_numbers(self, numbers: Mapping[str, int]) -> None:
        """Take the numbers that the store has given to the subscribers."""
        self._numbers = dict(numbers)
