"""Which handler hears what: resolved once at start, then only looked up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias

import msgspec

from duly.domain.aggregate import Aggregate
from duly.errors import UnknownCommand
from duly.messages.catalog import Catalog
from duly.messages.codec import Codec
from duly.messages.envelope import Envelope
from duly.messages.identity import lane_of
from duly.messages.message import Command, Effect, Message
from duly.messages.outcomes import EffectOutcome
from duly.ports.attachments import AttachmentKeeper
from duly.ports.outcomes import Hearers
from duly.ports.templates import TemplateKeeper
from duly.work.aggregate_type import AggregateType
from duly.work.module import HandlerKind
from duly.work.process_type import ProcessType
from duly.work.projecting import ProjectionRoute
from duly.work.scope import Scope
from duly.work.sending import Ways

Call: TypeAlias = Callable[[Scope, Message], Awaitable[object]]
"""Calls a handler with what its parameters ask for."""


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """One handler, ready to be called."""

    kind: HandlerKind
    module: str
    name: str
    identity: str
    """The oldest name it had: ids are derived from it, so that a renamed handler makes the same things again."""
    formerly: tuple[str, ...]
    message_type: type[Message]
    key: str | None
    call: Call
    """Middleware included."""
    call_unwatched: Call
    """The same without the middleware that only tells what is done."""
    about: type[Effect] | None = None
    """The type of effect whose outcome it hears; None for all of them, and for what is no outcome."""
    after: timedelta | None = None
    """How long after the commit it hears, at the earliest."""
    more_types: frozenset[type[Message]] = frozenset()
    """What it hears beside its message type, as a process does."""

    process: ProcessType | None = None
    """The processes that it is."""

    def hears(self, cls: type[Message]) -> bool:
        """Whether messages of this type are handed to it."""
        return (
            cls is self.message_type
            or cls in self.more_types
            or (self.name == COMMAND_TAKER and issubclass(cls, Command))
        )

    def outcomes(self) -> list[tuple[type[EffectOutcome], type[Effect] | None]]:
        """The outcomes of effects that it hears, each with the type of effect; None for all of them."""
        if self.process is not None:
            return self.process.table.outcomes()
        return [(self.message_type, self.about)] if issubclass(self.message_type, EffectOutcome) else []

    def lane(self, envelope: Envelope, message: Message | None) -> str:
        """The lane that a message goes to on its way to this subscriber; *message* is needed when it has a `key`, or is
        a process.
        """
        if self.process is not None and message is not None:
            own = self.process.lane_of_message(envelope.tenant, message)
            if own is not None:
                return own
        if self.key is None:
            return lane_of(envelope.tenant, envelope.stream or envelope.id)
        return lane_of(envelope.tenant, f"{self.key}:{getattr(message, self.key)}")


class Publisher(msgspec.Struct, frozen=True, kw_only=True):
    """Makes public events from domain events."""

    name: str
    identity: str
    make: Callable[[Message], Message | None]


class Hearing(msgspec.Struct, frozen=True, kw_only=True):
    """Who hears messages of one type."""

    listeners: tuple[Handler, ...] = ()
    """`in_transaction` handlers, in module order, then in order of definition."""
    publishers: tuple[Publisher, ...] = ()
    """What makes public events from it."""
    subscribers: tuple[Handler, ...] = ()
    """Who hears it after the commit."""


_NOBODY: Final = Hearing()


class CommandRoute(msgspec.Struct, frozen=True):
    """The handler of a command or query, and the codec of its result."""

    handler: Handler
    result: Codec[Any]


async def _never(scope: Scope, message: Message) -> object:
    raise AssertionError("the handler of each command is called in its place")


COMMAND_TAKER: Final = "duly.commands"
"""The stored name of the subscriber of commands that were sent by handlers or scheduled."""
_COMMAND_TAKER: Final = Handler(
    kind=HandlerKind.COMMAND,
    module="duly",
    name=COMMAND_TAKER,
    identity=COMMAND_TAKER,
    formerly=(),
    message_type=Command,
    key=None,
    call=_never,
    call_unwatched=_never,
)


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
        projections: tuple[ProjectionRoute, ...] = (),
    ) -> None:
        self.catalog = catalog
        self.commands = commands
        self.queries = queries
        self.aggregates = aggregates
        self._subscribers = subscribers
        self._hearing = {
            cls: Hearing(
                listeners=listeners.get(cls, ()),
                publishers=publishers.get(cls, ()),
                subscribers=subscribers.get(cls, ()),
            )
            for cls in (*listeners, *publishers, *subscribers)
        }
        self.ways = ways
        self.templates = templates
        self.attachments = attachments
        self.projections = projections
        self.recipient_hash_key = ""
        self._numbers: dict[str, int] = {}
        self.number: Callable[[str], int] = self._numbers.__getitem__
        """The stored number of a subscriber, by its name."""

    def hearing(self, cls: type[Message]) -> Hearing:
        """Who hears messages of a type."""
        return self._hearing.get(cls, _NOBODY)

    def all_subscribers(self) -> tuple[Handler, ...]:
        """Every subscriber: what handles messages after the commit."""
        found = {handler.name: handler for handlers in self._subscribers.values() for handler in handlers}
        return (*found.values(), _COMMAND_TAKER)

    def process_of(self, handler: str) -> Handler | None:
        """The process that has, or had, a handler's stored name."""
        for found in self.all_subscribers():
            if found.process is not None and handler in (found.name, *found.formerly):
                return found
        return None

    def command(self, cls: type[Message]) -> CommandRoute:
        """The route of a type of command. Raises `UnknownCommand`."""
        route = self.commands.get(cls)
        if route is None:
            known = ", ".join(sorted(known.__qualname__ for known in self.commands)) or "none"
            raise UnknownCommand(
                f"No module handles {cls.__qualname__}. Write a handler with @module.command and give the module to "
                f"Duly(modules=[…]). Commands that are handled: {known}."
            )
        return route

    def called(self, subscriber: Handler, message: Message) -> Handler:
        """The handler that a subscriber is: of a command that was sent, its own. Raises `UnknownCommand`."""
        return self.command(type(message)).handler if subscriber is _COMMAND_TAKER else subscriber

    def outcomes_heard(self) -> Hearers:
        """Numbers of the subscribers of outcomes, by the stored names of event and effect."""
        heard: dict[tuple[str, str], tuple[int, ...]] = {}
        for handler in self.all_subscribers():
            for event, about in handler.outcomes():
                for effect in self.ways.effects() if about is None else (about,):
                    place = (event.__duly__.name, effect.__duly__.name)
                    heard[place] = tuple(dict.fromkeys((*heard.get(place, ()), self.number(handler.name))))
        return heard

    def assign(self, numbers: Mapping[str, int], recipient_hash_key: str) -> None:
        """Take what the database knows: the subscribers' numbers, and the key of the hashes of recipients."""
        self._numbers.clear()
        self._numbers.update(numbers)
        self.recipient_hash_key = recipient_hash_key
