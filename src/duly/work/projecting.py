"""What the handlers of a projection write in one batch, and what they may know about their event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from duly.domain.projection import Projection
from duly.errors import ScopeClosed
from duly.messages.envelope import Envelope, decode_chain
from duly.messages.message import Message
from duly.ports.log import LogEvent
from duly.ports.projections import ReadModelReading, Shape
from duly.ports.store import OpenTransaction
from duly.ports.user_sql import SqlRow, SqlValue
from duly.work.documents import Documents
from duly.work.guesses import Guesses
from duly.work.read_model_type import ReadModelType
from duly.work.read_models import ReadModels
from duly.work.tables import StatementBuffer, Statements, Tables


class Origin(msgspec.Struct, frozen=True):
    """Where an event comes from: take a parameter of this type to see it."""

    tenant: str
    stream: str
    """Of its aggregate: ``Order/o-1``."""
    version: int
    """Of the stream, with this event."""
    message_id: str
    cause: str | None
    """Id of the message whose handler raised it."""
    correlation: str
    """Id of the command, or message, at the root of the chain of causes."""


class Logged(Origin, frozen=True):
    """Where an event stands in the log: take a parameter of this type to see it."""

    position: int
    at: datetime
    """When its transaction wrote it, by the database's clock."""


Opening: TypeAlias = Callable[[], Awaitable[OpenTransaction]]
"""Opens the transaction of a batch that reads its own rows; the same one each time."""


class Writing:
    """One batch of one generation: statements and documents that are not in the database yet."""

    def __init__(
        self,
        projection: Projection,
        generation: int,
        *,
        shadow: int | None,
        source: ReadModelReading,
        opening: Opening,
        guesses: Guesses | None = None,
    ) -> None:
        """*shadow* is the number by which a shadow's tables are called, None for those that are read."""
        self._guesses = guesses
        self._message: Message | None = None
        self.statements = Statements(projection, shadow)
        self.buffer = StatementBuffer()
        self.generation = generation
        self.documents = Documents(generation, lambda: self.tenant, self._reading, self._missed)
        self.tables = Tables(self)
        self.transaction: OpenTransaction | None = None
        """The open transaction, once something was fetched."""
        self._source = source
        self._opening = opening
        self._envelope: Envelope | LogEvent | None = None
        self._read_models: dict[ReadModelType[Any], ReadModels[Any]] = {}

    def begin(self, envelope: Envelope | LogEvent, message: Message) -> None:
        """Handlers of this event come next."""
        self._envelope, self._message = envelope, message

    def end(self) -> None:
        """No handler is running."""
        self._envelope = None

    @property
    def tenant(self) -> str:
        """Whose event is being handled. Raises `ScopeClosed` when none is."""
        if self._envelope is None:
            raise ScopeClosed(
                "The handler of the projection has ended. Do not keep its parameters, and await everything that it "
                "starts before it returns."
            )
        return self._envelope.tenant

    def read_models(self, of: ReadModelType[Any]) -> ReadModels[Any]:
        """The documents of one type."""
        found = self._read_models.get(of)
        if found is None:
            found = self._read_models[of] = ReadModels(self.documents, of)
        return found

    async def fetch(self, text: str, values: Mapping[str, SqlValue]) -> list[SqlRow]:
        """Rows, with everything that was buffered written before."""
        if self.transaction is None:
            self.transaction = await self._opening()
        await self._flush_statements(self.transaction)
        return await self.transaction.fetch(text, values)

    async def flush(self, transaction: OpenTransaction) -> None:
        """Write everything into an open transaction."""
        await self._flush_statements(transaction)
        writes = await self.documents.writes()
        if writes:
            await transaction.write_read_models(self.generation, writes)

    async def _flush_statements(self, transaction: OpenTransaction) -> None:
        for run in self.buffer.take():
            await transaction.execute_many(run.text, run.rows)

    def _missed(self, of: ReadModelType[Any], document_id: str) -> None:
        if self._guesses is not None and self._envelope is not None and self._message is not None:
            self._guesses.learn(self._message, self._envelope, of, document_id)

    def _reading(self) -> ReadModelReading:
        return self._source if self.transaction is None else self.transaction


Invoke: TypeAlias = Callable[[Message, Envelope | LogEvent], object]
"""Calls a handler with an event, and its row in the log, or its envelope; what comes out may be a coroutine."""


class ProjectionHandler(msgspec.Struct, frozen=True, kw_only=True):
    """One handler of a projection, ready to be bound to batches."""

    name: str
    message_type: type[Message]
    bind: Callable[[Writing], Invoke]
    read_models: tuple[ReadModelType[Any], ...]


class ProjectionRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One projection of an application, ready to run."""

    projection: Projection
    module: str
    handlers: Mapping[type[Message], tuple[ProjectionHandler, ...]]

    digest: str
    """Of its name and shape: what was built by another one is not written by this code."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.projection.name

    def shape(self) -> Shape:
        """What a database must know of it."""
        return Shape(
            name=self.name,
            tables=tuple(self.projection.tables),
            statements=tuple(self.projection.statements()),
            digest=self.digest,
        )

    def bind(self, writing: Writing) -> dict[type[Message], tuple[Invoke, ...]]:
        """All handlers by type of event, for one batch."""
        return {cls: tuple(handler.bind(writing) for handler in handlers) for cls, handlers in self.handlers.items()}


def origin_of(envelope: Envelope | LogEvent) -> Origin:
    """Where an event comes from."""
    return Origin(
        envelope.tenant,
        envelope.stream or "",
        envelope.stream_version or 0,
        envelope.id,
        envelope.cause,
        envelope.correlation,
    )


def logged_of(event: LogEvent) -> Logged:
    """Where an event stands in the log."""
    chain = decode_chain(event.chain)
    return Logged(
        event.tenant,
        event.stream or "",
        event.stream_version or 0,
        event.id,
        chain[-1].id if chain else None,
        chain[0].id if chain else event.id,
        event.position,
        event.at,
    )
