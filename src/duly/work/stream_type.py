"""How one type of event-sourced aggregate is stored, found and loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from duly.domain.apply_table import ApplyTable
from duly.domain.event_sourced import (
    EventSourced,
    applying,
    begin_replay,
    check_state,
    end_replay,
    events_of,
    table_of,
)
from duly.errors import InvalidField, InvalidInput, InvalidMessage, PayloadTooLarge, UnrecordedChange
from duly.messages.catalog import Catalog, upcast
from duly.messages.envelope import Envelope, Kind
from duly.messages.fields import Marker, marked_fields
from duly.messages.message import DomainEvent
from duly.messages.upcasting import Upcasters, type_names
from duly.ports.change import DocumentWrite, SnapshotWrite
from duly.ports.store import StoredStream, StreamNeeds
from duly.telemetry import log
from duly.work.aggregate_type import AggregateType, Source, Stored

S = TypeVar("S", bound=EventSourced)

Step: TypeAlias = tuple[Callable[[str], Any], Callable[..., None]]
"""How an event in its present form is read and applied: its decoder, its method."""


class StreamType(AggregateType[S]):
    """Applies methods, stored name, snapshots and findable fields of an event-sourced class."""

    def __init__(self, cls: type[S], upcasters: Upcasters) -> None:
        super().__init__(cls, upcasters)
        self._table: ApplyTable = table_of(cls)
        self._every = cls.__duly__.snapshot_every
        oldest = self.schema
        while oldest - 1 in upcasters:
            oldest -= 1
        self._needs = StreamNeeds(snapshots=range(oldest, self.schema + 1) if self._every else range(0))
        self._catalog: Catalog | None = None
        self._steps: dict[str, Step] = {}

    @property
    def events(self) -> tuple[type[DomainEvent], ...]:
        """The events that its aggregates record."""
        return self._table.events

    def read_with(self, catalog: Catalog) -> None:
        """Read events that are not in their present form, or have personal fields, by *catalog*."""
        self._catalog = catalog
        events = self._table.events
        # Older forms, and what becomes one of these events, may have personal fields that these have not.
        personal = catalog.stored_names(events) != type_names(events) or any(
            event.__duly__.version > 1 or marked_fields(event, Marker.PERSONAL) for event in events
        )
        self._needs = msgspec.structs.replace(self._needs, personal=personal)
        for event, method in self._table.methods.items():
            if not marked_fields(event, Marker.PERSONAL):
                decode = msgspec.json.Decoder(event).decode
                for name in type_names((event,)):
                    self._steps[f"{name} {event.__duly__.version}"] = (decode, method)

    # Reading.

    async def read(self, source: Source, tenant: str, aggregate_id: str) -> Stored | None:
        """The stream of one aggregate, or None."""
        return await source.stream(tenant, self.name, aggregate_id, self._needs)

    async def read_by(
        self, source: Source, tenant: str, field: str, value: str, rows_max: int, is_in_hand: Callable[[str], bool]
    ) -> Sequence[Stored]:
        """The streams of those with a value, by id; of those in hand their heads."""
        heads = await source.documents_by(tenant, self.name, field, value, rows_max)
        unread = [head.id for head in heads if not is_in_hand(head.id)]
        streams = {stream.id: stream for stream in await source.streams(tenant, self.name, unread, self._needs)}
        return [streams.get(head.id, head) for head in heads]

    def decode(self, document: Stored) -> S:
        """The aggregate that a stream's events make, brought up to today. Raises `InvalidMessage`, `UpcastFailed`."""
        assert isinstance(document, StoredStream)
        if document.head:
            raise InvalidMessage(
                f"{self.name}/{document.id} was stored as a document, and {self.cls.__qualname__} is event-sourced: "
                "the events do not make its state. Give the event-sourced class another name=, and write a command "
                "that records for each document an event with all that it held."
            )
        if not document.is_whole:
            raise InvalidMessage(
                f"The stream {self.name}/{document.id} has {document.version} events, and not all of them are there. "
                "Something else than duly has changed the tables. Restore them."
            )
        aggregate, before = self._begin(document)
        begin_replay(aggregate)
        self._apply(aggregate, before, document)
        end_replay(aggregate, self._table, document.version)
        self._check_id(aggregate, document.id)
        return aggregate

    def _apply(self, aggregate: S, number: int, stream: StoredStream) -> None:
        """Apply the events after event *number*."""
        steps = self._steps
        try:
            for kind, body in zip(stream.kinds, stream.bodies, strict=True):
                number += 1
                step = steps.get(kind)
                if step is not None:
                    step[1](aggregate, step[0](body))
                else:
                    self._apply_as_today(aggregate, stream, number)
        except msgspec.DecodeError as error:
            raise InvalidMessage(
                f"Event {number} of {self.name}/{stream.id} cannot be read: {error}. Raise version= of the event "
                "when its fields change, and write an upcaster."
            ) from None
        except Exception as error:
            error.add_note(f"This happened when event {number} of {self.name}/{stream.id} was applied.")
            raise

    def _begin(self, stream: StoredStream) -> tuple[S, int]:
        snapshot = stream.snapshot
        if snapshot is None:
            return self.cls(id=stream.id), 0
        body = upcast(snapshot.body, snapshot.schema, self.schema, self._upcasters)
        return self._codec.decode(body), snapshot.version

    def _apply_as_today(self, aggregate: S, stream: StoredStream, number: int) -> None:
        """Apply an event that is not in its present form, or has personal fields, or is ignored."""
        assert self._catalog is not None, "the wiring hands it over"
        at = number - stream.version - 1
        name, _, version = stream.kinds[at].rpartition(" ")
        envelope = Envelope(
            id=f"{self.name}/{stream.id} {number}",
            tenant="",
            kind=Kind.EVENT,
            name=name,
            version=int(version),
            body=stream.bodies[at],
            personal=(stream.personal[at] or None) if stream.personal else None,
        )
        for event in self._catalog.decode_all(envelope):
            assert isinstance(event, DomainEvent), "the start refuses upcasters that make something else of an event"
            if (method := applying(aggregate, self._table, type(event))) is not None:
                method(aggregate, event)

    # Writing.

    def recorded_since(self, aggregate: S, version: int) -> int:
        """How many events it has recorded beyond *version*. Raises `UnrecordedChange`."""
        check_state(aggregate)
        return events_of(aggregate) - version

    def head(self, aggregate: S, version: int, grows: int) -> DocumentWrite:
        """The head of the stream."""
        return DocumentWrite(
            type=self.name, id=aggregate.id, expected=version, schema=self.schema, body="", grows=grows
        )

    def snapshot(self, aggregate: S, read: Stored | None) -> SnapshotWrite | None:
        """A snapshot, when there are enough events since the last one, or since the beginning."""
        before = read.snapshot.version if isinstance(read, StoredStream) and read.snapshot is not None else 0
        if self._every is None or events_of(aggregate) - before < self._every:
            return None
        return self._snapshot(aggregate)

    def snapshot_at_head(self, read: Stored) -> SnapshotWrite | None:
        """A snapshot of what is stored, when none is as new, and aggregates of this type take any."""
        if self._every is None or not isinstance(read, StoredStream) or not read.bodies:
            return None
        return self._snapshot(self.decode(read))

    def _snapshot(self, aggregate: S) -> SnapshotWrite | None:
        events = events_of(aggregate)
        try:
            body = self.encode(aggregate)
        except PayloadTooLarge as error:
            log(logging.WARNING, "a snapshot is too large and was left out", stream=self.name, error=str(error))
            return None
        return SnapshotWrite(type=self.name, id=aggregate.id, version=events, schema=self.schema, body=body)

    def is_touched(self, aggregate: S, document: Stored) -> bool:
        """Whether *aggregate* has recorded something, or was changed without."""
        try:
            check_state(aggregate)
        except UnrecordedChange:
            return True
        return "_recorded" in aggregate.__dict__

    def check_removable(self, aggregate: S) -> None:
        """Raises `InvalidInput`: what has happened stays."""
        raise InvalidInput(
            f"{self.name}/{aggregate.id} is event-sourced, and what has happened stays. Record an event that says that "
            "it has ended; its applies method sets Unique fields to None, so that others may have their values."
        )

    def _check_id(self, aggregate: S, stored: str) -> None:
        if aggregate.id != stored:
            raise InvalidField(
                "id", f"{self.name}/{stored} was given the id {aggregate.id!r}. An aggregate's id never changes."
            )
