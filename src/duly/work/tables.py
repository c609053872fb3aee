"""A projection's own tables, as the parameter of its handlers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

from duly.domain.projection import PLACEHOLDER, Projection, named
from duly.errors import UserSqlError
from duly.ports.projections import StatementRun
from duly.ports.user_sql import SqlRow, SqlValue

STATEMENTS_KEPT_MAX: Final = 1_000
"""How many statements of a projection are kept as they were resolved; one that is made anew each time is no good."""

_TENANT: Final = re.compile(r"(?<!:):tenant\b")
_TABLE: Final = r"\b(?:INTO|UPDATE|FROM|JOIN|TABLE|USING)\s+\"?(?:\w+\.)?({})\b"


class Statements:
    """The statements of one projection, checked, with the names of the tables of one generation."""

    def __init__(self, projection: Projection, shadow: int | None) -> None:
        self._projection = projection
        self._physical = projection.physical(shadow)
        self._resolved: dict[str, str] = {}
        names = "|".join(projection.tables) or "(?!)"
        self._plain = re.compile(_TABLE.format(names), re.IGNORECASE)

    def resolve(self, statement: str) -> str:
        """*statement* with the names of tables. Raises `UserSqlError`."""
        resolved = self._resolved.get(statement)
        if resolved is None:
            resolved = self._checked(statement)
            if len(self._resolved) < STATEMENTS_KEPT_MAX:
                self._resolved[statement] = resolved
        return resolved

    def _checked(self, statement: str) -> str:
        projection = self._projection
        plain = self._plain.search(statement)
        if plain is not None:
            raise UserSqlError(
                f"A statement of projection {projection.name!r} names the table {plain[1]} itself. Write "
                f"{{{plain[1]}}}: a rebuild writes another table. The statement: {statement}"
            )
        unknown = set(PLACEHOLDER.findall(statement)) - self._physical.keys()
        if unknown:
            raise UserSqlError(
                f"Projection {projection.name!r} has no table {{{min(unknown)}}}; it has "
                f"{', '.join(f'{{{name}}}' for name in self._physical) or 'none'}. The statement: {statement}"
            )
        if not projection.every_tenant and not _TENANT.search(statement):
            raise UserSqlError(
                f"A statement of projection {projection.name!r} does not mention :tenant, so it would reach rows of "
                "other tenants. Add it (its value is supplied), or make it Projection(…, every_tenant=True). The "
                f"statement: {statement}"
            )
        return named(statement, self._physical)


class StatementBuffer:
    """Statements in the order in which they were given, equal ones in a row together."""

    def __init__(self) -> None:
        self.runs: list[StatementRun] = []
        self._text = ""

    def add(self, text: str, values: Mapping[str, SqlValue]) -> None:
        """One more."""
        if text is self._text:
            self.runs[-1].rows.append(values)
        else:
            self._text = text
            self.runs.append(StatementRun(text, [values]))

    def take(self) -> list[StatementRun]:
        """All of them; it is empty afterwards."""
        runs, self.runs, self._text = self.runs, [], ""
        return runs


class TableWriting(Protocol):
    """What `Tables` need of the batch that they belong to."""

    statements: Statements
    buffer: StatementBuffer

    @property
    def tenant(self) -> str:
        """Whose event is being handled. Raises `ScopeClosed` when none is."""

    async def fetch(self, text: str, values: Mapping[str, SqlValue]) -> list[SqlRow]:
        """Rows, with everything that was buffered written before."""


class Tables:
    """The tables of the projection, each by its placeholder: ``INSERT INTO {order_line} …``.

    Every statement gets ``:tenant``, the tenant of the event; unless the projection is one of every tenant, it must use
    it. Statements are gathered and run together, in their order, before the batch is committed.
    """

    def __init__(self, writing: TableWriting) -> None:
        self._writing = writing

    async def execute(self, statement: str, /, **parameters: SqlValue) -> None:
        """Run a statement. What it fails with is raised at the end of the batch at the latest."""
        writing = self._writing
        parameters["tenant"] = writing.tenant
        writing.buffer.add(writing.statements.resolve(statement), parameters)

    async def fetch_all(self, statement: str, /, **parameters: SqlValue) -> list[SqlRow]:
        """All rows, each a mapping by column name. What was executed before is seen. Raises `UserSqlError`."""
        writing = self._writing
        parameters["tenant"] = writing.tenant
        return await writing.fetch(writing.statements.resolve(statement), parameters)

    async def fetch_one(self, statement: str, /, **parameters: SqlValue) -> SqlRow | None:
        """The first row, or None."""
        rows = await self.fetch_all(statement, **parameters)
        return rows[0] if rows else None

    async def fetch_value(self, statement: str, /, **parameters: SqlValue) -> object:
        """The first column of the first row; None without a row."""
        row = await self.fetch_one(statement, **parameters)
        return None if row is None else next(iter(row.values()))
