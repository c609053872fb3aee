"""One batch of one projection: a stretch of the log goes in; rows, documents and the checkpoint come out, together."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AsyncExitStack
from datetime import timedelta
from time import monotonic
from types import CoroutineType
from typing import Protocol, TypeAlias

import msgspec

from duly.errors import DulyError, StoreError, UserSqlError
from duly.failpoints import hit
from duly.messages.catalog import Catalog
from duly.messages.message import Message
from duly.ports.log import LogEvent, LogPage, LogStore
from duly.ports.projections import Advance, Generation, ProjectionStore
from duly.ports.store import Committing, OpenTransaction
from duly.telemetry import span
from duly.work.guesses import Guesses
from duly.work.projecting import ProjectionRoute, Writing


class ProjectingStore(Committing, LogStore, ProjectionStore, Protocol):
    """What runs projections needs of a store."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How large a batch is, and how long it may take."""

    events_max: int
    """Positions of the log."""
    batch_time_max: timedelta
    """After this time a batch is committed with the events that were handled so far."""
    handler_time_max: timedelta
    """After this time a handler counts as failed."""
    lease: timedelta


class EventFailed(Exception):
    """The batch could not be stored; `__cause__` says why. In a batch of one event, that one is to blame."""


class Overtaken(Exception):
    """Somebody else has moved the checkpoint, or a rebuild has taken the generation's place."""


_Decoded: TypeAlias = list[tuple[LogEvent, tuple[Message, ...]]]


class Projector:
    """Runs the handlers of one projection over the log, for any generation."""

    def __init__(
        self, route: ProjectionRoute, catalog: Catalog, store: ProjectingStore, terms: Terms, *, owner: str
    ) -> None:
        self.route = route
        self._catalog = catalog
        self._store = store
        self._terms = terms
        self._owner = owner
        self._guesses = Guesses()
        self.names = sorted(catalog.stored_names(list(route.handlers)))
        """Stored names of the events that it hears."""

    async def read(self, after: int, *, through: int | None = None) -> LogPage:
        """The next stretch of the log, with the events that this projection hears."""
        return await self._store.read_log(after, self._terms.events_max, names=self.names, through=through)

    async def project(
        self, at: Generation, page: LogPage, *, one_event: bool = False, after: asyncio.Task[int] | None = None
    ) -> int:
        """Handle a page, or the first event of it, and commit; the position that was reached.

        With *after*, the batch before, handlers run at once, and what they read or store waits until that has ended.
        Raises `EventFailed`, `Overtaken`, and `StoreError` when the store is away.
        """
        ends, decoded = self._decode(page, one_event=one_event)
        facts = {"duly.projection": self.route.name}
        with span(f"project {self.route.name}", facts):
            async with AsyncExitStack() as stack:
                try:
                    return await self._write(at, ends, decoded, stack, after)
                except StoreError as error:
                    if not isinstance(error, UserSqlError):
                        raise
                    raise EventFailed from error
                except (EventFailed, Overtaken):
                    raise
                except Exception as error:
                    raise EventFailed from error

    async def project_within(self, transaction: OpenTransaction, at: Generation, page: LogPage) -> int:
        """Handle a page inside of a transaction that somebody else commits; the position that was reached.

        Raises `Overtaken`, and whatever handlers raise.
        """
        ends, decoded = self._decode(page, one_event=False)

        async def opening() -> OpenTransaction:
            return transaction

        writing = Writing(self.route.projection, at.number, shadow=at.shadow, source=transaction, opening=opening)
        ends = await self._handle(writing, ends, decoded)
        await writing.flush(transaction)
        if not await transaction.advance(self._advance(at, ends)):
            raise Overtaken
        return ends

    async def _write(
        self, at: Generation, ends: int, decoded: _Decoded, stack: AsyncExitStack, after: asyncio.Task[int] | None
    ) -> int:
        async def opening() -> OpenTransaction:
            if after is not None:
                await asyncio.wait({after})
            transaction = await stack.enter_async_context(self._store.begin())
            # Nobody else gets past the checkpoint from now on, and nothing is written if somebody has.
            if not await transaction.advance(self._advance(at, at.position)):
                raise Overtaken
            return transaction

        writing = Writing(
            self.route.projection,
            at.number,
            shadow=at.shadow,
            source=self._store,
            opening=opening,
            guesses=self._guesses,
        )
        ends = await self._handle(writing, ends, decoded)
        advance = self._advance(at, ends)
        if after is not None:
            await asyncio.wait({after})
        hit("projection.before_commit")
        if writing.transaction is None:
            documents = await writing.documents.writes()
            if not await self._store.project(advance, writing.buffer.take(), documents):
                raise Overtaken
        else:
            await writing.flush(writing.transaction)
            if not await writing.transaction.advance(advance):
                raise Overtaken
            await writing.transaction.commit()
        hit("projection.after_commit")
        return ends

    async def _handle(self, writing: Writing, ends: int, decoded: _Decoded) -> int:
        """Run the handlers; where it ended, which is earlier than *ends* when the time was up."""
        handlers = self.route.bind(writing)
        deadline = monotonic() + self._terms.batch_time_max.total_seconds()
        async with asyncio.timeout(self._terms.handler_time_max.total_seconds()):
            wanted = self._guesses.keys((event, message) for event, messages in decoded for message in messages)
            for of, keys in wanted.items():
                await writing.documents.load(of, keys)
            try:
                for event, messages in decoded:
                    for message in messages:
                        writing.begin(event, message)
                        for invoke in handlers.get(type(message), ()):
                            made = invoke(message, event)
                            if made is not None and (type(made) is CoroutineType or inspect.isawaitable(made)):
                                await made
                    writing.end()
                    if monotonic() > deadline:
                        return event.position
            finally:
                writing.end()
        return ends

    def _decode(self, page: LogPage, *, one_event: bool) -> tuple[int, _Decoded]:
        """The events of a page up to the first that this code cannot read, and where that ends."""
        decoded: _Decoded = []
        for event in page.events:
            if one_event and decoded:
                return decoded[0][0].position, decoded
            try:
                decoded.append((event, self._catalog.decode_all(event)))
            except DulyError as error:
                if not decoded:
                    raise EventFailed from error
                return decoded[-1][0].position, decoded
        return page.through, decoded

    def _advance(self, at: Generation, ends: int) -> Advance:
        return Advance(
            projection=self.route.name,
            generation=at.number,
            begins=at.position,
            ends=ends,
            owner=self._owner,
            lease=self._terms.lease,
        )
