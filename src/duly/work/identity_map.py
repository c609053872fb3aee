"""The aggregates that one unit of work has touched, and what has become of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from duly.domain.aggregate import ID_CHARACTERS_MAX, Aggregate, Recorded, stream_of, take_recorded
from duly.errors import AggregateExists, InvalidField, InvalidInput, ReadOnlyUse
from duly.ports.change import DocumentWrite, Entry, VersionCheck
from duly.ports.store import StoredDocument
from duly.work.aggregate_type import AggregateType

A = TypeVar("A", bound=Aggregate)


class Tracked:
    """One aggregate in hand: as it was loaded (None: new), and what it is now."""

    __slots__ = ("aggregate", "aggregate_type", "checked", "document", "entries", "recorded", "removed")

    def __init__(
        self,
        aggregate_type: AggregateType[Any],
        aggregate: Aggregate,
        document: StoredDocument | None,
        entries: tuple[Entry, ...],
        *,
        checked: bool,
    ) -> None:
        self.aggregate_type = aggregate_type
        self.aggregate = aggregate
        self.document = document
        self.entries = entries
        self.checked = checked
        self.recorded = False
        self.removed = False

    @property
    def version(self) -> int:
        """The version in the database; 0 for a new one."""
        return self.document.version if self.document else 0

    @property
    def stream(self) -> str:
        """The stream of its events."""
        return stream_of(self.aggregate_type.name, self.aggregate.id)


class DocumentChanges:
    """What the aggregates in hand add to a change."""

    def __init__(self) -> None:
        self.documents: list[DocumentWrite] = []
        self.checks: list[VersionCheck] = []
        self.entries_removed: list[Entry] = []
        self.entries_added: list[Entry] = []

    def __bool__(self) -> bool:
        return bool(self.documents)


class IdentityMap:
    """Keeps each aggregate once, so that two handlers of one unit of work change the same object."""

    def __init__(self) -> None:
        self._tracked: dict[tuple[str, str], Tracked] = {}
        self._missing: dict[tuple[str, str], None] = {}
        self._peeked: list[tuple[AggregateType[Any], Aggregate, StoredDocument]] = []

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

    def loaded(self, aggregate_type: AggregateType[A], document: StoredDocument, *, checked: bool) -> A | None:
        """Take a document in hand; the object that is in hand already, if there is one (None: it was removed)."""
        key = (aggregate_type.name, document.id)
        if key not in self._tracked:
            aggregate = aggregate_type.decode(document)
            entries = aggregate_type.entries(aggregate)
            self._tracked[key] = Tracked(aggregate_type, aggregate, document, entries, checked=checked)
        tracked = self._tracked[key]
        assert isinstance(tracked.aggregate, aggregate_type.cls)
        return None if tracked.removed else tracked.aggregate

    def missing(self, aggregate_type: AggregateType[Any], aggregate_id: str) -> None:
        """Remember that there is no such aggregate: an answer that the commit checks too."""
        self._missing[aggregate_type.name, aggregate_id] = None

    def peeked(self, aggregate_type: AggregateType[A], document: StoredDocument) -> A:
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
        if present is not None and present.removed:
            raise InvalidInput(
                f"{aggregate_type.name}/{aggregate.id} was removed in this unit of work: it cannot be added again."
            )
        if present is not None and present.aggregate is not aggregate:
            raise AggregateExists(
                f"{aggregate_type.name}/{aggregate.id} is in hand already: it was got or added earlier in this unit of "
                "work. Change that one instead."
            )
        if present is None:
            self._missing.pop(key, None)
            self._tracked[key] = Tracked(aggregate_type, aggregate, None, (), checked=True)

    def remove(self, aggregate_type: AggregateType[Any], aggregate: Aggregate) -> None:
        """Mark an aggregate in hand as removed."""
        tracked = self._tracked.get((aggregate_type.name, aggregate.id))
        if tracked is None or tracked.aggregate is not aggregate:
            raise InvalidInput(f"{aggregate_type.name}/{aggregate.id} was not got from this repository.")
        tracked.removed = True

    def take_recorded(self) -> list[tuple[Recorded, Tracked]]:
        """The events recorded since the last call, in the order in which they were recorded."""
        found: list[tuple[Recorded, Tracked]] = []
        for tracked in self._tracked.values():
            if "_recorded" in tracked.aggregate.__dict__:
                tracked.recorded = True
                found += [(recorded, tracked) for recorded in take_recorded(tracked.aggregate)]
        if len(found) > 1:
            found.sort(key=lambda pair: pair[0].place)
        return found

    def changes(self) -> DocumentChanges:
        """What is to be written and checked now. Raises `InvalidMessage` for what cannot be stored."""
        self._refuse_changed_peeks()
        found = DocumentChanges()
        found.checks += [VersionCheck(name, aggregate_id, 0) for name, aggregate_id in self._missing]
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
            tracked.document = StoredDocument(write.id, write.expected + 1, write.schema, write.body)
            tracked.entries = tracked.aggregate_type.entries(tracked.aggregate)
            tracked.recorded = False

    def in_hand(self) -> Iterator[Tracked]:
        """Every aggregate in hand."""
        yield from self._tracked.values()

    def _add_change(self, tracked: Tracked, found: DocumentChanges) -> None:
        of, aggregate, document = tracked.aggregate_type, tracked.aggregate, tracked.document
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
            DocumentWrite(type=of.name, id=aggregate.id, expected=tracked.version, schema=of.schema, body=body)
        )
        entries = of.entries(aggregate)
        if entries != tracked.entries:
            before, after = set(tracked.entries), set(entries)
            found.entries_removed += [entry for entry in tracked.entries if entry not in after]
            found.entries_added += [entry for entry in entries if entry not in before]

    def _refuse_changed_peeks(self) -> None:
        for of, aggregate, document in self._peeked:
            if "_recorded" in aggregate.__dict__ or of.is_changed(aggregate, of.encode(aggregate), document):
                raise ReadOnlyUse(
                    f"{of.name}/{document.id} was peeked at and then changed. Use get() or find() to change it."
                )
