"""The event log, read by pages: what has happened, in one order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import datetime
from typing import Final

import msgspec

from duly.errors import UnknownMessageType
from duly.messages.catalog import Catalog
from duly.messages.message import Message
from duly.ports.log import LogEvent, LogStore

POSITIONS_PER_PAGE: Final = 500


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A domain event, as the code of today knows it, with its place in the log."""

    position: int
    """Positions count from 1, without gaps, and are never given twice. Upcasters may make several events of one."""
    at: datetime
    """When its transaction wrote it, by the database's clock. Later positions may have been written earlier."""
    event: Message
    id: str
    tenant: str
    stream: str
    """Of its aggregate: ``shop.Order/o-1``."""
    version: int
    """Of the stream, with this event."""
    cause: str | None
    """Id of the message whose handler raised it."""
    correlation: str
    """Id of the first message of the chain of causes."""


class EventLog:
    """The events after a position, to be iterated over: ``async for recorded in log``. It ends where the log does."""

    def __init__(
        self,
        store: LogStore,
        catalog: Catalog,
        *,
        tenant: str | None,
        after: int,
        types: Collection[type[Message]] | None,
    ) -> None:
        """Without a *tenant*, those of every tenant. With *types*, only events that are of them today.

        A type that nobody hears is only known when it is in *types*, or in ``Module(messages=[…])``.
        """
        self.position = after
        """The last position that was looked at. Reading goes on after it, here or with ``after=`` elsewhere."""
        self._store = store
        self._catalog = catalog
        self._tenant = tenant
        self._types = None if types is None else tuple(types)
        self._names = None if types is None else catalog.stored_names(types)
        self._unheard = Catalog({cls: {} for cls in types or ()})

    async def __aiter__(self) -> AsyncIterator[RecordedEvent]:
        """Each event after `position`. Raises `UnknownMessageType` (its `position` stays before), `StoreError`."""
        while True:
            page = await self._store.read_log(self.position, POSITIONS_PER_PAGE, names=self._names, tenant=self._tenant)
            if page.through == self.position:
                return
            for found in page.events:
                events = self._decoded(found)
                # Moved on with the last of them: whoever goes on elsewhere misses none.
                for event in events[:-1]:
                    yield _recorded(found, event)
                self.position = found.position
                for event in events[-1:]:
                    yield _recorded(found, event)
            self.position = page.through

    def _decoded(self, found: LogEvent) -> list[Message]:
        try:
            events = self._catalog.decode_all(found)
        except UnknownMessageType:
            if self._types is None:
                raise
            events = self._unheard.decode_all(found)
        return [event for event in events if self._types is None or isinstance(event, self._types)]


def _recorded(found: LogEvent, event: Message) -> RecordedEvent:
    return RecordedEvent(
        position=found.position,
        at=found.at,
        event=event,
        id=found.id,
        tenant=found.tenant,
        stream=found.stream or "",
        version=found.stream_version or 0,
        cause=found.cause,
        correlation=found.correlation,
    )
