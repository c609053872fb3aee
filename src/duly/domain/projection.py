"""What users write about their read models: projections, and the documents that these may consist of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar, cast, dataclass_transform

import msgspec

from duly.domain.aggregate import AggregateFacts

F = TypeVar("F", bound=Callable[..., object])
O = TypeVar("O")  # noqa: E741 - an object with handlers

NAME_CHARACTERS_MAX: Final = 40
"""How long names of projections and tables may be: a shadow's tables and indexes have longer ones (PostgreSQL: 63)."""

PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
"""A table's name in a statement."""

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")


class HandlerDefinition(msgspec.Struct, frozen=True):
    """A function or method that a projection has been given, not yet looked into."""

    name: str
    function: Callable[..., object]


class Projection:
    """Builds a read model from domain events: rows in tables of its own, or documents.

    *tables* maps placeholders to statements in which each table goes by its placeholder in braces, one statement or
    several: ``{"order_line": "CREATE TABLE {order_line} (…)"}``. What is read has the placeholder as its name; a
    rebuild writes a shadow of another name first. With *in_transaction* the handlers run inside of the transaction that
    raises the event. With *every_tenant* the rows of all tenants lie together. Raise *version* when changed handlers
    need the past again: like changed tables, that asks for a rebuild.
    """

    def __init__(
        self,
        name: str,
        *,
        tables: Mapping[str, str | Sequence[str]] | None = None,
        in_transaction: bool = False,
        every_tenant: bool = False,
        version: int = 1,
    ) -> None:
        self.name = name
        self.tables: dict[str, tuple[str, ...]] = {
            placeholder: (statements,) if isinstance(statements, str) else tuple(statements)
            for placeholder, statements in (tables or {}).items()
        }
        self.in_transaction = in_transaction
        self.every_tenant = every_tenant
        self.version = version
        self.definitions: list[HandlerDefinition] = []

    def on(self, handler: F, /) -> F:
        """Hears a domain event: ``@order_list.on``. Its parameters say which one, and what it writes with."""
        self.definitions.append(HandlerDefinition(getattr(handler, "__name__", "handler"), handler))
        return handler

    def handlers(self, handlers: O, /) -> O:
        """Gives it an object with a handler in each of its public methods."""
        for name in dir(type(handlers)):
            if not name.startswith("_") and callable(method := getattr(handlers, name)):
                self.definitions.append(HandlerDefinition(name, method))
        return handlers

    def statements(self, generation: int | None = None) -> list[str]:
        """The statements that make its tables; with *generation* those of a shadow."""
        return [
            named(statement, self.physical(generation))
            for statements in self.tables.values()
            for statement in statements
        ]

    def physical(self, generation: int | None = None) -> dict[str, str]:
        """The names of its tables by placeholder; with *generation* those of a shadow."""
        return {placeholder: physical_table(placeholder, generation) for placeholder in self.tables}

    def shape(self) -> str:
        """What its read model depends on, as text: when it changes, what was built is of another shape."""
        declared = {name: [" ".join(text.split()) for text in texts] for name, texts in self.tables.items()}
        return msgspec.json.encode([self.version, self.every_tenant, declared], order="sorted").decode()

    def mistakes(self) -> list[str]:
        """What is wrong with its declaration, a sentence each with the cure."""
        found = [
            f"{name!r} cannot name a {what}. Use up to {NAME_CHARACTERS_MAX} small letters, digits and '_'."
            for name, what in ((self.name, "projection"), *((table, "table of a projection") for table in self.tables))
            if not _NAME.fullmatch(name) or len(name) > NAME_CHARACTERS_MAX
        ]
        for table, statements in self.tables.items():
            used = {name for statement in statements for name in PLACEHOLDER.findall(statement)}
            if table not in used:
                found.append(
                    f"Projection {self.name!r}: the statements of its table {table!r} do not name it. Write "
                    f"CREATE TABLE {{{table}}} (…): a rebuild makes a second one under another name."
                )
            found += [
                f"Projection {self.name!r}: a statement of its table {table!r} names {{{name}}}, which is none of its "
                "tables. Add it to tables={…}."
                for name in sorted(used - self.tables.keys())
            ]
        return found


def physical_table(placeholder: str, generation: int | None) -> str:
    """The name of a table in the database: its own when it is read, one with a number in a shadow."""
    return placeholder if generation is None else f"{placeholder}__g{generation}"


def named(statement: str, physical: Mapping[str, str]) -> str:
    """A statement with the names of tables for their placeholders. Raises `KeyError` for one that is not there."""
    return PLACEHOLDER.sub(lambda match: physical[match[1]], statement)


if TYPE_CHECKING:

    @dataclass_transform(kw_only_default=True, frozen_default=True)
    class _ReadDocument:
        __duly__: ClassVar[AggregateFacts]

        def __init_subclass__(
            cls, *, name: str | None = None, version: int = 1, formerly: tuple[str, ...] = ()
        ) -> None: ...

else:

    class _ReadModelMeta(msgspec.StructMeta):
        """Makes read models frozen and keyword-only, and keeps the facts of the class statement."""

        def __new__(
            mcls,
            class_name: str,
            bases: tuple[type, ...],
            namespace: dict[str, Any],
            *,
            name: str | None = None,
            version: int = 1,
            formerly: tuple[str, ...] = (),
        ) -> type:
            cls = super().__new__(mcls, class_name, bases, namespace, frozen=True, kw_only=True)
            cls.__duly__ = AggregateFacts(name=name or class_name, version=version, formerly=tuple(formerly))
            return cls

    class _ReadDocument(msgspec.Struct, metaclass=_ReadModelMeta):
        __duly__: ClassVar[AggregateFacts]


class ReadModel(_ReadDocument):
    """A document that a projection writes and queries read; `id` is unique in its tenant. It may have `Index` fields.

    It is frozen: ``await lines.put(line.changed(total=…))``. Class keywords: ``name`` (stored name, the class name by
    default), ``version`` (of the fields, from 1).
    """

    id: str

    def changed(self, **fields: object) -> Self:
        """The same with other values in these fields. Raises `TypeError` for a field that it does not have."""
        return cast("Self", msgspec.structs.replace(cast("Any", self), **fields))
