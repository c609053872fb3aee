"""The user's own SQL: one façade with ``:name`` parameters on both stores."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from duly.errors import StoreError
from duly.ports.store import Reading, SqlRow, SqlValue
from duly.work.scope import Scope


class Sql:
    """Runs SQL inside the handler's transaction. What was changed through repositories before is seen by it.

    A statement that fails ends the transaction, and nothing of the command is stored; unless it fails in a `savepoint`.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def execute(self, statement: str, /, **parameters: SqlValue) -> int:
        """Run a statement; the number of rows it changed. Raises `UserSqlError`."""
        transaction = await self._scope.sql_transaction()
        try:
            return await transaction.execute(statement, parameters)
        except StoreError as error:
            self._scope.doom(error)
            raise

    async def fetch_all(self, statement: str, /, **parameters: SqlValue) -> list[SqlRow]:
        """All rows, each a mapping by column name."""
        transaction = await self._scope.sql_transaction()
        try:
            return await transaction.fetch(statement, parameters)
        except StoreError as error:
            self._scope.doom(error)
            raise

    async def fetch_one(self, statement: str, /, **parameters: SqlValue) -> SqlRow | None:
        """The first row, or None."""
        rows = await self.fetch_all(statement, **parameters)
        return rows[0] if rows else None

    async def fetch_value(self, statement: str, /, **parameters: SqlValue) -> object:
        """The first column of the first row; None without a row."""
        row = await self.fetch_one(statement, **parameters)
        return None if row is None else next(iter(row.values()))

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """``async with sql.savepoint():`` takes back what was done inside when something is raised there.

        Back go the database, aggregates (the same objects get their fields back; those added inside are forgotten),
        recorded events and requested effects. The error goes on; whoever catches it may commit the rest. A conflict
        with another transaction is not over with the block: the whole command runs again.
        Raises `StoreError`; `ScopeClosed` when blocks are not left in their turn, before the handler returns.
        """
        return self._scope.savepoint()

    async def raw(self) -> object:
        """The driver's own connection, inside this transaction."""
        return (await self._scope.sql_transaction()).raw


class Reader:
    """Reads what was committed, with SQL. For queries."""

    def __init__(self, store: Reading) -> None:
        self._store = store

    async def fetch_all(self, statement: str, /, **parameters: SqlValue) -> list[SqlRow]:
        """All rows, each a mapping by column name. Raises `UserSqlError`, also when the statement would write."""
        return await self._store.select(statement, parameters)

    async def fetch_one(self, statement: str, /, **parameters: SqlValue) -> SqlRow | None:
        """The first row, or None."""
        rows = await self.fetch_all(statement, **parameters)
        return rows[0] if rows else None

    async def fetch_value(self, statement: str, /, **parameters: SqlValue) -> object:
        """The first column of the first row; None without a row."""
        row = await self.fetch_one(statement, **parameters)
        return None if row is None else next(iter(row.values()))
