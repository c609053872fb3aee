"""The aggregates that one unit of work has touched, and what has become of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, TypeAlias, TypeVar

import msgspec

from duly.domain.aggregate import ID_CHARACTERS_MAX, Aggregate, Recorded, stream_of, take_recorded
from duly.errors import AggregateExists, InvalidField, InvalidInput, ReadOnlyUse, UnrecordedChange
from duly.ports.change import DocumentWrite, Entry, SnapshotWrite, VersionCheck
from duly.ports.store import StoredDocument
from duly.work.aggregate_type import AggregateType, Stored
from duly.work.lives import first_version
from duly.work.memory import Memory
from duly.work.stream_type import StreamType

A = TypeVar("A", bound=Aggregate)

Key: TypeAlias = tuple[str, str]
"""Stored name of the type, and id."""


class Tracked(msgspec.Struct, eq=False):
    """One aggregate in hand: as it was loaded (None: new), and what it is now."""

    aggregate_type: AggregateType[Any]
    aggregate: Aggregate
    document: Stored | None
    entries: tuple[Entry, ...]
    version: int
    """The version in the (open) transaction, or the database; 0 for a new one."""
    checked: bool
    recorded: bool = False
    removed: bool = False

    @property
    def stream(self) -> str:
        """The stream of its events."""
        return stream_of(self.aggregate_type.name, self.aggregate.id)

    def remember(self) -> Callable[[], None]:
        """What puts it back as it is now, the fields of its aggregate included. What was read stays `checked`."""
        held = {name: getattr(self, name) for name in self.__struct_fields__ if name != "checked"}
        memory = Memory(self.aggregate)

        def restore() -> None:
            for name, value in held.items():
                setattr(self, name, value)
            memory.restore()

        return restore


class DocumentChanges(msgspec.Struct):
    """What the aggregates in hand add to a change."""

    documents: list[DocumentWrite] = []
    checks: list[VersionCheck] = []
    entries_removed: list[Entry] = []
    entries_added: list[Entry] = []
    snapshots: list[SnapshotWrite] = []
    silent: list[str] = []
    """Streams that were added and have no event yet."""

    def __bool__(self) -> bool:
        return bool(self.documents)

    def check_said(self) -> None:
        """Raises `UnrecordedChange` for a stream without events: there would be nothing of it."""
        if self.silent:
            raise UnrecordedChange(
                f"{self.silent[0]} was added and has recorded nothing, so there is nothing to store. An event-sourced "
                "aggregate begins with an event: record one."
            )


class Moment:
    """What was in hand when it began, and what was read since, as it was read: the commit checks that as well."""

    def __init__(self, tracked: dict[Key, Tracked], missing: dict[Key, None], peeked: int) -> None:
        self.tracked = {key: (one, one.remember()) for key, one in tracked.items()}
        self.missing = dict(missing)
        self.peeked = peeked


class IdentityMap(msgspec.Struct, eq=False):
    """Keeps each aggregate once, so that two handlers of one unit of work change the same object."""

    _tracked: dict[Key, Tracked] = {}
    _missing: dict[Key, None] = {}
    _peeked: list[tuple[AggregateType[Any], Aggregate, Stored]] = []
    _moments: list[Moment] = []

    def get(self, aggregate_type: AggregateType[A], aggregate_id: str) -> A | None:
        """The aggregate in hand, if it is; `is_known` tells whether None is an answer."""
        tracked = self._tracked.get((aggregate_type.name, aggregate_id))
        if tracked is None or tracked.removed:
            return None
        tracked.checked = True
        assert isinstance(tracked.aggregate, aggregate_type.cls)
        return tracked.aggregate

    def is_known(self, aggregate_type: AggregateType[Any], aggregate_id: str) -> bool:
        """Whether the database need not be asked."""
        key = (aggregate_type.name, aggregate_id)
        return key in self._tracked or key in self._missing

    def loaded(self, aggregate_type: AggregateType[A], document: Stored, *, checked: bool) -> A | None:
        """Take a document in hand; the object that is in hand already, if there is one (None: it was removed)."""
        key = (aggregate_type.name, document.id)
        if key not in self._tracked:
            aggregate = aggregate_type.decode(document)
            entries = aggregate_type.entries(aggregate)
            tracked = self._tracked[key] = Tracked(
                aggregate_type, aggregate, document, entries, document.version, checked
            )
            for moment in self._moments:
                moment.tracked[key] = (tracked, tracked.remember())
        tracked = self._tracked[key]
        assert isinstance(tracked.aggregate, aggregate_type.cls)
        return None if tracked.removed else tracked.aggregate

    def missing(self, aggregate_type: AggregateType[Any], aggregate_id: str) -> None:
        """Remember that there is no such aggregate: an answer that the commit checks too."""
        for missing in (self._missing, *(moment.missing for moment in self._moments)):
            missing[aggregate_type.name, aggregate_id] = None

    def as_read(self, aggregate_type: AggregateType[Any], aggregate_id: str) -> Stored | None:
        """What was read of an aggregate in hand, before anything was written."""
        tracked = self._tracked.get((aggregate_type.name, aggregate_id))
        return None if tracked is None else tracked.document

    def peeked(self, aggregate_type: AggregateType[A], document: Stored) -> A:
        """An aggregate apart from those in hand, to look at."""
        aggregate = aggregate_type.decode(document)
        self._peeked.append((aggregate_type, aggregate, document))
        return aggregate

    def add(self, aggregate_type: AggregateType[Any], aggregate: Aggregate) -> None:
        """Take a new aggregate in hand."""
        if not isinstance(aggregate, aggregate_type.cls):
            raise InvalidInput(f"This repository takes {aggregate_type.cls.__qualname__}, not {type(aggregate)!r}.")
        if not isinstance(aggregate.id, str) or not 0 < len(aggregate.id) <= ID_CHARACTERS_MAX:
            raise InvalidField(
                "id",
                f"{aggregate_type.name}.id is {aggregate.id!r:.100}; use a str of 1 to {ID_CHARACTERS_MAX} characters.",
            )
        key = (aggregate_type.name, aggregate.id)
        present = self._tracked.get(key)
        if present is None:
            self._missing.pop(key, None)
            self._tracked[key] = Tracked(aggregate_type, aggregate, None, (), 0, checked=True)
        elif present.removed:
            raise InvalidInput(
                f"{aggregate_type.name}/{aggregate.id} was removed in this unit of work: it cannot be added again."
            )
        elif present.aggregate is not aggregate:
            raise AggregateExists(
                f"{aggregate_type.name}/{aggregate.id} is in hand already: it was got or added earlier in this unit of "
                "work. Change that one instead."
            )

    def remove(self, aggregate_type: AggregateType[Any], aggregate: Aggregate) -> None:
        """Mark an aggregate in hand as removed."""
        tracked = self._tracked.get((aggregate_type.name, aggregate.id))
        if tracked is None or tracked.aggregate is not aggregate:
            raise InvalidInput(f"{aggregate_type.name}/{aggregate.id} was not got from this repository.")
        aggregate_type.check_removable(aggregate)
        tracked.removed = True

    def take_recorded(self) -> list[tuple[Recorded, Tracked]]:
        """The events recorded since the last call, in the order in which they were recorded."""
        found: list[tuple[Recorded, Tracked]] = []
        for tracked in self._tracked.values():
            if "_recorded" in tracked.aggregate.__dict__:
                tracked.recorded = True
                found += zip(take_recorded(tracked.aggregate), repeat(tracked))
        if len(found) > 1:
            found.sort(key=lambda pair: pair[0].place)
        return found

    def changes(self) -> DocumentChanges:
        """What is to be written and checked now. Raises `InvalidMessage` for what cannot be stored."""
        if self._peeked:
            self._refuse_changed_peeks()
        found = DocumentChanges()
        for name, aggregate_id in self._missing:
            found.checks.append(VersionCheck(name, aggregate_id, 0))
        for tracked in self._tracked.values():
            self._add_change(tracked, found)
        return found

    def written(self, changes: DocumentChanges) -> None:
        """Take note that *changes* are in the (open) transaction."""
        for write in changes.documents:
            tracked = self._tracked[write.type, write.id]
            if write.body is None:
                del self._tracked[write.type, write.id]
                self._missing[write.type, write.id] = None
                continue
            tracked.version += write.grows
            if not isinstance(tracked.aggregate_type, StreamType):
                tracked.document = StoredDocument(write.id, write.expected + write.grows, write.schema, write.body)
            tracked.entries = tracked.aggregate_type.entries(tracked.aggregate)
            tracked.recorded = False

    def begin_moment(self) -> Moment:
        """What is in hand now, for `restore`; it goes on until `end_moment`."""
        moment = Moment(self._tracked, self._missing, len(self._peeked))
        self._moments.append(moment)
        return moment

    def restore(self, moment: Moment) -> None:
        """Take back what was changed, added and removed since *moment*; the objects in hand then are as they were."""
        for _, restore in moment.tracked.values():
            restore()
        self._tracked = {key: tracked for key, (tracked, _) in moment.tracked.items()}
        self._missing = dict(moment.missing)
        del self._peeked[moment.peeked :]

    def end_moment(self, moment: Moment) -> None:
        """It will not be restored any more."""
        self._moments.remove(moment)

    def in_hand(self) -> Iterator[Tracked]:
        """Every aggregate in hand."""
        yield from self._tracked.values()

    def _add_change(self, tracked: Tracked, found: DocumentChanges) -> None:
        of, aggregate, document = tracked.aggregate_type, tracked.aggregate, tracked.document
        if isinstance(of, StreamType):
            self._add_events(of, tracked, found)
            return
        if tracked.removed:
            if document is not None:
                found.documents.append(
                    DocumentWrite(type=of.name, id=document.id, expected=document.version, schema=of.schema, body=None)
                )
                found.entries_removed += tracked.entries
            return
        body = of.encode(aggregate)
        if document is not None and aggregate.id != document.id:
            raise InvalidField(
                "id", f"{of.name}/{document.id} was given the id {aggregate.id!r}. An aggregate's id never changes."
            )
        if document is not None and not tracked.recorded and not of.is_changed(aggregate, body, document):
            if tracked.checked:
                found.checks.append(VersionCheck(of.name, document.id, document.version))
            return
        found.documents.append(
            DocumentWrite(
                type=of.name,
                id=aggregate.id,
                expected=tracked.version,
                schema=of.schema,
                body=body,
                grows=1 if document is not None else first_version(),
            )
        )
        if of.is_findable:
            self._add_entries(tracked, found)

    def _add_events(self, of: StreamType[Any], tracked: Tracked, found: DocumentChanges) -> None:
        """The head of a stream, whose version counts events; the events go with the messages of the change."""
        aggregate, version = tracked.aggregate, tracked.version
        assert isinstance(aggregate, of.cls)
        grows = of.recorded_since(aggregate, version)
        if not grows:
            if not version:
                found.silent.append(tracked.stream)
            elif tracked.checked:
                found.checks.append(VersionCheck(of.name, aggregate.id, version))
            return
        found.documents.append(of.head(aggregate, version, grows))
        if of.is_findable:
            self._add_entries(tracked, found)
        if (snapshot := of.snapshot(aggregate, tracked.document)) is not None:
            found.snapshots.append(snapshot)

    def _add_entries(self, tracked: Tracked, found: DocumentChanges) -> None:
        entries = tracked.aggregate_type.entries(tracked.aggregate)
        if entries != tracked.entries:
            before, after = set(tracked.entries), set(entries)
            found.entries_removed += [entry for entry in tracked.entries if entry not in after]
            found.entries_added += [entry for entry in entries if entry not in before]

    def _refuse_changed_peeks(self) -> None:
        for of, aggregate, document in self._peeked:
            if of.is_touched(aggregate, document):
                raise ReadOnlyUse(
                    f"{of.name}/{document.id} was peeked at and then changed. Use get() or find() to change it."
                )
