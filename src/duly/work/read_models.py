"""The documents of one read model, as the parameter of a handler."""

from __future__ import annotations

from typing import Any, Final, Generic, Protocol, TypeVar

from duly.domain.projection import ReadModel
from duly.errors import InvalidField, InvalidInput, ReadModelNotFound, ReadOnlyUse, TooManyFound
from duly.ports.projections import ReadModelRange
from duly.work.read_model_type import ReadModelType
from duly.work.scope import Scope

M = TypeVar("M", bound=ReadModel)

READ_MODELS_MAX: Final = 1_000
"""How many documents one look-up may find, and one page may have."""


class Shelf(Protocol):
    """Where documents are taken from and put to: a projection's batch, or what was committed."""

    async def find(self, of: ReadModelType[M], document_id: str) -> M | None:
        """One document."""

    async def range(self, of: ReadModelType[M], *, after: str, field: str | None, value: str, rows_max: int) -> list[M]:
        """Documents after an id, by id; with a field only those that have a value in it."""

    def put(self, of: ReadModelType[M], document: M) -> None:
        """Put a document in the place of the one with its id, if there is one."""

    def remove(self, of: ReadModelType[Any], document_id: str) -> None:
        """Remove the document with an id, if there is one."""


class ReadModels(Generic[M]):
    """Documents of one read model. Its projection writes them; every other handler reads what is there by then."""

    def __init__(self, shelf: Shelf, of: ReadModelType[Any]) -> None:
        self._shelf = shelf
        self._of: ReadModelType[M] = of

    async def get(self, document_id: str) -> M:
        """The document with this id. Raises `ReadModelNotFound`."""
        found = await self.find(document_id)
        if found is None:
            raise ReadModelNotFound(
                f"There is no {self._of.name} {document_id!r}. Its projection may not have come so far: use find(), or "
                "wait with app.wait_until()."
            )
        return found

    async def find(self, document_id: str) -> M | None:
        """The document with this id, or None."""
        return await self._shelf.find(self._of, document_id)

    async def by(self, **field: object) -> list[M]:
        """The documents whose `Index` field has a value, by id: ``await lines.by(customer_id="c-1")``.

        Raises `TooManyFound` above `READ_MODELS_MAX`; use `page` there.
        """
        found = await self._range("", READ_MODELS_MAX + 1, field, fields_min=1)
        if len(found) > READ_MODELS_MAX:
            ((name, value),) = field.items()
            raise TooManyFound(
                f"More than {READ_MODELS_MAX:,} {self._of.name} have {name} {value!r:.100}. Read them in pages: "
                "page(after=…)."
            )
        return found

    async def page(self, *, after: str = "", rows_max: int = 100, **field: object) -> list[M]:
        """At most *rows_max* documents by id, after the id *after*; with an `Index` field those with its value."""
        if not 0 < rows_max <= READ_MODELS_MAX:
            raise InvalidInput(f"rows_max={rows_max} is no size of a page. Use 1 to {READ_MODELS_MAX:,}.")
        return await self._range(after, rows_max, field, fields_min=0)

    def put(self, document: M) -> None:
        """Put *document* in the place of the one with its id, if there is one. Raises `ReadOnlyUse`, `InvalidInput`."""
        self._shelf.put(self._of, document)

    def remove(self, document_id: str) -> None:
        """Remove the document with this id, if there is one. Raises `ReadOnlyUse`."""
        self._shelf.remove(self._of, document_id)

    async def _range(self, after: str, rows_max: int, fields: dict[str, object], *, fields_min: int) -> list[M]:
        if not fields_min <= len(fields) <= 1:
            raise InvalidField(next(iter(fields), "id"), f"{self._of.name} is looked up by one Index field at a time.")
        for field, value in fields.items():
            return await self._shelf.range(
                self._of, after=after, field=field, value=self._of.value(field, value), rows_max=rows_max
            )
        return await self._shelf.range(self._of, after=after, field=None, value="", rows_max=rows_max)


class CommittedShelf:
    """What was committed, and what the open transaction of a handler sees: for everyone but the projection."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def find(self, of: ReadModelType[M], document_id: str) -> M | None:
        """One document."""
        key = (of.scope(self._scope.tenant), document_id)
        found = await self._scope.read_model_source().read_models(of.place(), (key,))
        return of.decode(found[0]) if found else None

    async def range(self, of: ReadModelType[M], *, after: str, field: str | None, value: str, rows_max: int) -> list[M]:
        """Documents after an id, by id."""
        wanted = ReadModelRange(
            tenant=of.scope(self._scope.tenant), rows_max=rows_max, after=after, field=field, value=value
        )
        found = await self._scope.read_model_source().read_models_in(of.place(), wanted)
        return [of.decode(stored) for stored in found]

    def put(self, of: ReadModelType[M], document: M) -> None:
        """Raises `ReadOnlyUse`."""
        raise _read_only(of)

    def remove(self, of: ReadModelType[Any], document_id: str) -> None:
        """Raises `ReadOnlyUse`."""
        raise _read_only(of)


def _read_only(of: ReadModelType[Any]) -> ReadOnlyUse:
    return ReadOnlyUse(
        f"{of.name} is written by its projection {of.projection!r} alone, so that it can be rebuilt from events. "
        "Record an event, and write there."
    )
