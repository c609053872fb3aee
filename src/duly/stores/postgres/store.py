"""The store port on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from duly.ports.change import Change, Verdict
from duly.ports.store import OpenTransaction, SqlRow, SqlValue
from duly.stores.postgres import user_sql
from duly.stores.postgres.address import Connection
from duly.stores.postgres.engine import PostgresEngine, in_transaction
from duly.stores.postgres.failures import DriverError, store_error
from duly.stores.postgres.migration import migrate, tables_run, version_of
from duly.stores.postgres.transaction import open_transaction
from duly.stores.schema_version import check_tables, check_version
from duly.stores.sql_store import SqlStore

CONNECTIONS_MAX: Final = 10


class PostgresStore(SqlStore):
    """One PostgreSQL database, by its URL: ``postgresql://user:password@host:5432/database``.

    Raises `StoreUrlInvalid`. At most *connections_max* connections are open at a time.
    """

    def __init__(self, url: str, *, connections_max: int = CONNECTIONS_MAX) -> None:
        self._postgres = PostgresEngine(url, connections_max)
        self._engine = self._postgres

    @property
    def url(self) -> str:
        """The URL without its password."""
        return self._postgres.url

    async def open(self) -> None:
        """Connect. Raises `StoreError`."""
        await self._postgres.pool.open()

    async def close(self) -> None:
        """End all connections."""
        await self._postgres.pool.close()

    def shift_clock(self, milliseconds: int) -> None:
        """Move the database's clock, as this store sees it; for tests."""
        self._postgres.pool.clock_shift_ms += milliseconds

    # Committing.

    async def commit(self, change: Change) -> Verdict:
        """Commit a change, whole or not at all."""
        return await self._postgres.commit(change)

    def begin(self) -> AbstractAsyncContextManager[OpenTransaction]:
        """Open a transaction on a connection of its own."""
        return open_transaction(self._postgres)

    async def select(self, statement: str, parameters: Mapping[str, SqlValue]) -> list[SqlRow]:
        """Rows of the user's own SELECT."""

        async def work(connection: Connection) -> list[SqlRow]:
            return await in_transaction(
                connection,
                "BEGIN READ ONLY",
                lambda: user_sql.fetch(connection, statement, parameters, url=self.url, selecting=True),
            )

        return await self._postgres.reading(work)

    # The schema.

    async def is_empty(self) -> bool:
        """Never: a PostgreSQL database is migrated by an explicit step."""
        return False

    async def check_schema(self, tables: Sequence[str] = ()) -> None:
        """Raises unless the schema is the one that the code works with, the modules' own tables included."""
        check_version(await self._postgres.reading(version_of), self.url)
        if tables:
            check_tables(await self._postgres.reading(tables_run), tables, self.url)

    async def migrate(self, tables: Sequence[str]) -> list[str]:
        """Bring the schema up to date, then run the modules' own statements that are new; what was done."""
        try:
            async with self._postgres.pool.lend() as connection:
                return await migrate(connection, tables, self.url)
        except DriverError as error:
            raise store_error(error, self.url) from error
