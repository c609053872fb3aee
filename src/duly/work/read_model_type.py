"""How one type of read model is stored and found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from duly.domain.aggregate import ID_CHARACTERS_MAX
from duly.domain.projection import ReadModel
from duly.errors import InvalidField, InvalidInput
from duly.messages.catalog import upcast
from duly.messages.codec import Codec
from duly.messages.fields import Marker, marked_fields
from duly.messages.upcasting import Upcaster
from duly.ports.projections import ReadModelPlace, ReadModelWrite, StoredReadModel
from duly.work.aggregate_type import index_value

M = TypeVar("M", bound=ReadModel)


class ReadModelType(Generic[M]):
    """Codec, stored name, projection and findable fields of a read model class."""

    def __init__(self, cls: type[M], upcasters: Mapping[int, Upcaster], *, projection: str, every_tenant: bool) -> None:
        self.cls = cls
        self.name = cls.__duly__.name
        self.schema = cls.__duly__.version
        self.index = marked_fields(cls, Marker.INDEX)
        self.projection = projection
        self.every_tenant = every_tenant
        self._codec = Codec(cls, self.name)
        self._upcasters = upcasters

    def scope(self, tenant: str) -> str:
        """Whose documents *tenant* sees: its own, or (empty) those of all tenants."""
        return "" if self.every_tenant else tenant

    def place(self, generation: int | None = None) -> ReadModelPlace:
        """Where its documents lie; without a generation in the one that is live."""
        return ReadModelPlace(projection=self.projection, model=self.name, generation=generation)

    def check(self, document: M) -> None:
        """Raises `InvalidInput` unless *document* is one of these, with an id."""
        if not isinstance(document, self.cls):
            raise InvalidInput(f"These are {self.cls.__qualname__}; {type(document).__qualname__} cannot be put there.")
        if not 0 < len(document.id) <= ID_CHARACTERS_MAX:
            raise InvalidField(
                "id", f"{self.name}.id is {document.id!r:.100}; use a str of 1 to {ID_CHARACTERS_MAX} characters."
            )

    def encode(self, document: M) -> str:
        """The stored form. Raises `InvalidMessage`."""
        return self._codec.encode_whole(document)

    def decode(self, stored: StoredReadModel) -> M:
        """The document, brought up to the present version of its fields."""
        return self._codec.decode(upcast(stored.body, stored.schema, self.schema, self._upcasters))

    def write(self, scope: str, document_id: str, before: M | None, after: M | None) -> ReadModelWrite | None:
        """What turns *before* into *after*; None when nothing has to."""
        body = None if after is None else self.encode(after)
        if body == (None if before is None else self.encode(before)):
            return None
        had, has = self._entries(before), self._entries(after)
        return ReadModelWrite(
            model=self.name,
            tenant=scope,
            id=document_id,
            schema=self.schema,
            body=body,
            entries_removed=tuple(entry for entry in had if entry not in has),
            entries_added=tuple(entry for entry in has if entry not in had),
        )

    def value(self, field: str, value: object) -> str:
        """A value as it is found by. Raises `InvalidField`."""
        if field not in self.index:
            raise InvalidField(field, f"{self.name}.{field} is no Index field. Declare it: {field}: Index[…].")
        return index_value(self.name, field, value)

    def _entries(self, document: M | None) -> tuple[tuple[str, str], ...]:
        if document is None:
            return ()
        values: list[tuple[str, object]] = [(field, getattr(document, field)) for field in self.index]
        return tuple((field, index_value(self.name, field, value)) for field, value in values if value is not None)
