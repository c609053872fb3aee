"""How one type of aggregate is stored and found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from duly.domain.aggregate import Aggregate
from duly.errors import InvalidField
from duly.messages.catalog import Upcaster, upcast
from duly.messages.codec import Codec
from duly.messages.fields import Marker, marked_fields
from duly.ports.change import Entry
from duly.ports.store import OpenTransaction, Reading, StoredDocument, StoredStream

INDEX_VALUE_BYTES_MAX: Final = 1_000

A = TypeVar("A", bound=Aggregate)

Source: TypeAlias = Reading | OpenTransaction
"""Where aggregates are read: what was committed, or what an open transaction sees."""

Stored: TypeAlias = StoredDocument | StoredStream
"""An aggregate as it lies in the database."""


class AggregateType(Generic[A]):
    """Codec, stored name and findable fields of an aggregate class."""

    def __init__(self, cls: type[A], upcasters: Mapping[int, Upcaster]) -> None:
        self.cls = cls
        self.name = cls.__duly__.name
        self.schema = cls.__duly__.version
        self.unique = marked_fields(cls, Marker.UNIQUE)
        self.index = marked_fields(cls, Marker.INDEX)
        self.is_findable = bool(self.unique or self.index)
        self._codec = Codec(cls, self.name)
        self._upcasters = upcasters

    def read(self, source: Source, tenant: str, aggregate_id: str) -> Awaitable[Stored | None]:
        """The stored form of one aggregate, or None."""
        return source.document(tenant, self.name, aggregate_id)

    def read_by(
        self, source: Source, tenant: str, field: str, value: str, rows_max: int, is_in_hand: Callable[[str], bool]
    ) -> Awaitable[Sequence[Stored]]:
        """The stored forms of those with a value, by id; of those in hand the id is enough."""
        return source.documents_by(tenant, self.name, field, value, rows_max)

    def encode(self, aggregate: A) -> str:
        """The document of an aggregate. Raises `InvalidMessage`."""
        return self._codec.encode_whole(aggregate)

    def decode(self, document: Stored) -> A:
        """The aggregate of its stored form, brought up to the present version of its fields."""
        assert isinstance(document, StoredDocument)
        body = upcast(document.body, document.schema, self.schema, self._upcasters)
        aggregate = self._codec.decode(body)
        if aggregate.id != document.id:
            raise InvalidField("id", f"The document {self.name}/{document.id} calls itself {aggregate.id!r}.")
        return aggregate

    def is_touched(self, aggregate: A, document: Stored) -> bool:
        """Whether *aggregate*, which was to be looked at only, is another than its stored form."""
        return "_recorded" in aggregate.__dict__ or self.is_changed(aggregate, self.encode(aggregate), document)

    def check_removable(self, aggregate: A) -> None:
        """Raises `InvalidInput` when aggregates of this type stay."""

    def is_changed(self, aggregate: A, body: str, document: Stored) -> bool:
        """Whether *body*, the present form of *aggregate*, says something else than *document*."""
        assert isinstance(document, StoredDocument)
        if body == document.body:
            return False
        # An older form of the same facts (a field added with a default) is no change.
        return body != self.encode(self.decode(document))

    def entries(self, aggregate: A) -> tuple[Entry, ...]:
        """The findable values of an aggregate; a field that is None has none."""
        if not self.is_findable:
            return ()
        found = [
            Entry(self.name, field, value, "", aggregate.id)
            for field in self.unique
            if (value := self._value(aggregate, field)) is not None
        ]
        found += [
            Entry(self.name, field, value, aggregate.id, aggregate.id)
            for field in self.index
            if (value := self._value(aggregate, field)) is not None
        ]
        return tuple(found)

    def _value(self, aggregate: A, field: str) -> str | None:
        value: object = getattr(aggregate, field)
        return None if value is None else index_value(self.name, field, value)


def index_value(type_name: str, field: str, value: object) -> str:
    """A findable value as text. Raises `InvalidField` when it is too long to be indexed."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text.encode()) > INDEX_VALUE_BYTES_MAX:
        raise InvalidField(
            field,
            f"{type_name}.{field} has a value of more than {INDEX_VALUE_BYTES_MAX:,} bytes, too long to be indexed. "
            "Index a digest of it instead.",
        )
    return text
