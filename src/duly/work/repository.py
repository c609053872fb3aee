"""Gives and takes the aggregates of one type, within one unit of work and one tenant."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

from duly.domain.aggregate import Aggregate
from duly.errors import AggregateNotFound, InvalidField, TooManyFound
from duly.work.aggregate_type import AggregateType, index_value
from duly.work.scope import Scope

A = TypeVar("A", bound=Aggregate)

FOUND_ROWS_MAX: Final = 1_000
"""How many aggregates one look-up by an index may find."""


class Repository(Generic[A]):
    """Aggregates of one type. What was got and changed is stored at the end of the unit of work; there is no *save*."""

    def __init__(self, scope: Scope, aggregate_type: AggregateType[Any]) -> None:
        self._scope = scope
        self._type: AggregateType[A] = aggregate_type

    async def get(self, aggregate_id: str) -> A:
        """The aggregate with this id; it joins the commit's version check. Raises `AggregateNotFound`."""
        found = await self.find(aggregate_id)
        if found is None:
            raise AggregateNotFound(
                f"There is no {self._type.name} {aggregate_id!r} in tenant {self._scope.tenant!r}. "
                "Use find() where it may be missing."
            )
        return found

    async def find(self, aggregate_id: str) -> A | None:
        """The aggregate with this id, or None; that answer, too, is checked again at the commit."""
        return await self._scope.load(self._type, aggregate_id)

    async def peek(self, aggregate_id: str) -> A | None:
        """The aggregate as it was committed, or None. It is not checked at the commit and cannot be changed."""
        return await self._scope.peek(self._type, aggregate_id)

    async def by(self, **field: object) -> list[A]:
        """The aggregates whose `Index` or `Unique` field has a value: ``await orders.by(customer_id="c-1")``.

        By id. Those that are changed are checked at the commit; that no other has come to match is not: rules over sets
        need a `Unique` field. Raises `TooManyFound` above `FOUND_ROWS_MAX`.
        """
        name, value = self._one_field(field)
        found = await self._scope.load_by(
            self._type, name, index_value(self._type.name, name, value), FOUND_ROWS_MAX + 1
        )
        if len(found) > FOUND_ROWS_MAX:
            raise TooManyFound(
                f"More than {FOUND_ROWS_MAX:,} {self._type.name} have {name} {value!r:.100}. Look up something "
                "narrower, or read a table of your own with SQL."
            )
        return [aggregate for aggregate in found if getattr(aggregate, name) == value]

    async def one_by(self, **field: object) -> A | None:
        """The aggregate whose `Unique` field has a value, or None."""
        name, _ = self._one_field(field)
        if name not in self._type.unique:
            raise InvalidField(name, f"{self._type.name}.{name} is not Unique; use by(), which returns a list.")
        found = await self.by(**field)
        return found[0] if found else None

    def add(self, aggregate: A) -> None:
        """A new aggregate. If its id is taken, the commit raises `AggregateExists`."""
        self._scope.add(self._type, aggregate)

    def remove(self, aggregate: A) -> None:
        """Remove an aggregate that was got from here."""
        self._scope.remove(self._type, aggregate)

    def _one_field(self, field: dict[str, object]) -> tuple[str, object]:
        if len(field) != 1:
            raise InvalidField("by", "by() takes exactly one field: by(customer_id='c-1').")
        ((name, value),) = field.items()
        if name not in self._type.unique and name not in self._type.index:
            known = ", ".join((*self._type.unique, *self._type.index)) or "none"
            raise InvalidField(
                name,
                f"{self._type.name} has no Index or Unique field {name!r} (it has: {known}). "
                f"Declare it: {name}: Index[str].",
            )
        if value is None:
            raise InvalidField(name, f"{self._type.name}.{name} is looked up by None, which is in no index.")
        return name, value
