"""Statements of the user's own, with ``:name`` parameters, on a connection of asyncpg."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeVar

from duly.ports.store import SqlRow, SqlValue
from duly.stores.placeholders import bind_numbered
from duly.stores.postgres.address import Connection
from duly.stores.postgres.failures import DriverError, is_misfit, user_sql_error
from duly.stores.postgres.running import rows_changed
from duly.stores.user_statement import all_values_of, values_of

T = TypeVar("T")

USER_STATEMENT_SECONDS_MAX: Final = 300

_TEXT_TYPES: Final = frozenset({"text", "varchar", "bpchar", "name"})


async def fetch(
    connection: Connection, statement: str, parameters: Mapping[str, SqlValue], *, url: str, selecting: bool = False
) -> list[SqlRow]:
    """A statement's rows. *selecting*: it may only read. Raises `StoreError`, most often `UserSqlError`."""

    async def run(text: str, values: Sequence[object]) -> list[SqlRow]:
        rows = await connection.fetch(text, *values, timeout=USER_STATEMENT_SECONDS_MAX)
        return [dict(row) for row in rows]

    return await _run(connection, run, statement, parameters, url, selecting)


async def execute(connection: Connection, statement: str, parameters: Mapping[str, SqlValue], *, url: str) -> int:
    """How many rows a statement changed. Raises `StoreError`, most often `UserSqlError`."""

    async def run(text: str, values: Sequence[object]) -> int:
        if values:
            return rows_changed(await connection.execute(text, *values, timeout=USER_STATEMENT_SECONDS_MAX))
        # Without values `execute` would take several statements at once, which no other store does.
        prepared = await connection.prepare(text, timeout=USER_STATEMENT_SECONDS_MAX)
        await prepared.fetch(timeout=USER_STATEMENT_SECONDS_MAX)
        return rows_changed(prepared.get_statusmsg())

    return await _run(connection, run, statement, parameters, url, selecting=False)


async def execute_many(
    connection: Connection, statement: str, rows: Sequence[Mapping[str, SqlValue]], *, url: str
) -> None:
    """Run a statement for each of *rows*, in one round trip. Raises `StoreError`, most often `UserSqlError`."""
    if len(rows) == 1:
        await execute(connection, statement, rows[0], url=url)
        return
    bound = bind_numbered(statement)
    all_values = all_values_of(statement, bound, rows)
    try:
        # As text from the start: of a run, one value that does not fit would leave the others before it behind.
        if any(value is None or isinstance(value, datetime | Decimal) for value in all_values[0]):
            wanted = (await connection.prepare(bound.statement)).get_parameters()
            names = [kind.name for kind in wanted]
            all_values = [[_fitted(value, name) for value, name in zip(row, names, strict=True)] for row in all_values]
        await connection.executemany(bound.statement, all_values, timeout=USER_STATEMENT_SECONDS_MAX)
    except DriverError as error:
        raise user_sql_error(error, statement, bound.names, url, selecting=False) from None


async def _run(
    connection: Connection,
    run: Callable[[str, Sequence[object]], Awaitable[T]],
    statement: str,
    parameters: Mapping[str, SqlValue],
    url: str,
    selecting: bool,
) -> T:
    bound = bind_numbered(statement)
    values = values_of(statement, bound, parameters)
    try:
        try:
            return await run(bound.statement, values)
        except DriverError as error:
            if not is_misfit(error):
                raise
            return await run(bound.statement, await _as_text(connection, bound.statement, values))
    except DriverError as error:
        # Not "from error": drivers quote values, and errors end up in logs.
        raise user_sql_error(error, statement, bound.names, url, selecting=selecting) from None


async def _as_text(connection: Connection, statement: str, values: Sequence[object]) -> list[object]:
    """The values, times and decimals as text where the server wants text: as they are kept in SQLite."""
    wanted = (await connection.prepare(statement)).get_parameters()
    return [_fitted(value, kind.name) for value, kind in zip(values, wanted, strict=True)]


def _fitted(value: object, type_name: str) -> object:
    match value:
        case datetime() if type_name in _TEXT_TYPES:
            return value.isoformat()
        case Decimal() if type_name in _TEXT_TYPES:
            return str(value)
        case _:
            return value
