"""The unit of work as the parameters of a handler see it.

Architecture invariant: a `Repository`, `Effects` or `Sql` knows this view and never the unit of work itself, which
knows the routes, which know handlers, which take these parameters.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import msgspec

from duly.domain.aggregate import Aggregate
from duly.messages.catalog import Catalog
from duly.messages.envelope import Envelope, Kind, Link
from duly.messages.identity import derived_id
from duly.messages.message import Command, Effect, Message
from duly.ports.attachments import AttachmentKeeper
from duly.ports.change import Intent, Later, ProcessStep
from duly.ports.projections import ReadModelReading
from duly.ports.store import OpenTransaction, Reading
from duly.ports.templates import TemplateKeeper
from duly.work.aggregate_type import AggregateType
from duly.work.sending import Way

A = TypeVar("A", bound=Aggregate)


class Handling(msgspec.Struct, eq=False):
    """The call of one handler: what it hears, its names, and how many things it has made so far."""

    cause: Envelope
    handler: str
    """Its present stored name."""
    identity: str
    """Its oldest stored name, from which ids are derived."""
    _messages: int = -1
    _effects: int = -1
    _commands: int = -1
    _parts: int = -1
    _chain: tuple[Link, ...] | None = None

    @property
    def chain(self) -> tuple[Link, ...]:
        """The chain of what this call makes: the causes from the root on, and last what is being handled."""
        if self._chain is None:
            self._chain = (*self.cause.chain, self.cause.link())
        return self._chain

    def next_id(self) -> str:
        """The id of the next message that this call makes."""
        self._messages += 1
        return derived_id(self.cause.tenant, self.cause.id, handler=self.identity, ordinal=self._messages)

    def next_part(self) -> int:
        """Which of the messages that its cause has become, and that the handler hears, is at hand, from 0."""
        self._parts += 1
        return self._parts

    def next_effect(self) -> int:
        """The ordinal of the next effect without a key of its own, from 0."""
        self._effects += 1
        return self._effects

    def next_command(self) -> int:
        """The ordinal of the next command without a key of its own, from 0."""
        self._commands += 1
        return self._commands


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be stored and promised to one subscriber, by its stored name."""

    message: Message
    kind: Kind
    id: str
    subscriber: str
    lane: str
    stream: str | None
    later: Later | None = None


class Scope(Protocol):
    """What is open to a handler while it runs: one tenant, one transaction."""

    @property
    def tenant(self) -> str:
        """Whose data it is."""

    @property
    def store(self) -> Reading:
        """What was committed."""

    @property
    def catalog(self) -> Catalog:
        """All message types of the application."""

    @property
    def templates(self) -> TemplateKeeper:
        """The application's keeper of templates."""

    @property
    def attachments(self) -> AttachmentKeeper:
        """The application's keeper of attachments."""

    @property
    def is_watched(self) -> bool:
        """Whether anybody takes spans or debug records of what is done."""

    def handling(self) -> Handling:
        """The call under way. Raises `ScopeClosed` when there is none."""

    def way(self, effect: type[Effect]) -> Way:
        """How a type of effect goes out for this tenant. Raises `NoGateway`."""

    @property
    def recipient_hash_key(self) -> str:
        """The key of the hashes of recipients in this database, hexadecimal."""

    async def load(self, aggregate_type: AggregateType[A], aggregate_id: str) -> A | None:
        """The aggregate in hand or in the database, or None."""

    async def peek(self, aggregate_type: AggregateType[A], aggregate_id: str) -> A | None:
        """The committed aggregate, apart from what is in hand."""

    async def load_by(self, aggregate_type: AggregateType[A], field: str, value: str, rows_max: int) -> list[A]:
        """The aggregates with a value, with what is in hand."""

    def add(self, aggregate_type: AggregateType[Any], aggregate: Aggregate) -> None:
        """Take a new aggregate in hand."""

    def remove(self, aggregate_type: AggregateType[Any], aggregate: Aggregate) -> None:
        """Mark an aggregate in hand as removed."""

    def intend(self, intent: Intent) -> None:
        """Add the intent of an effect."""

    def command_taker(self, command: type[Command[object]]) -> str:
        """The stored name of the subscriber that executes commands of a type. Raises `UnknownCommand`."""

    def post(self, post: Post) -> None:
        """Add a message to one subscriber. Raises `InvalidMessage`, `CascadeTooDeep`, `TooManyMessages`."""

    def withdraw(self, later_id: str) -> None:
        """Withdraw a promise for later."""

    def step(self, step: ProcessStep) -> None:
        """Add a step to the history of a process."""

    def read_model_source(self) -> ReadModelReading:
        """Where read models are read: the open transaction if there is one, else what was committed."""

    async def sql_transaction(self) -> OpenTransaction:
        """The open transaction, begun now if it was not."""

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A block that is taken back when it raises."""

    def doom(self, error: BaseException) -> None:
        """Nothing of this unit of work may be committed, whoever catches *error*."""
