"""The store port on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final

from duly.ports.change import Change, Verdict
from duly.ports.log import OldTransaction
from duly.ports.projections import Advance, ReadModelWrite, StatementRun
from duly.ports.store import OpenTransaction, SqlRow, SqlValue
from duly.ports.wake_ups import Hear, News
from duly.stores.postgres import user_sql
from duly.stores.postgres.address import Connection
from duly.stores.postgres.engine import PostgresEngine, in_transaction
from duly.stores.postgres.failures import DriverError, StatementOutdated, store_error
from duly.stores.postgres.listening import Listener
from duly.stores.postgres.migration import migrate, tables_run, version_of
from duly.stores.postgres.positions import old_transactions_script, position_of_script
from duly.stores.postgres.telling import Teller
from duly.stores.postgres.transaction import open_transaction
from duly.stores.schema_version import check_tables, check_version
from duly.stores.sql_store import SqlStore

CONNECTIONS_MAX: Final = 10


class PostgresStore(SqlStore):
    """One PostgreSQL database, by its URL: ``postgresql://user:password@host:5432/database``.

    Raises `StoreUrlInvalid`. At most *connections_max* connections are open at a time, and beside them one for telling
    other processes of commits, and one for hearing of theirs.
    """

    def __init__(self, url: str, *, connections_max: int = CONNECTIONS_MAX) -> None:
        self._postgres = PostgresEngine(url, connections_max)
        self._engine = self._postgres
        self._teller = Teller(self._postgres.pool.connect_apart)

    @property
    def url(self) -> str:
        """The URL without its password."""
        return self._postgres.url

    async def open(self) -> None:
        """Connect. Raises `StoreError`."""
        await self._postgres.pool.open()
        self._teller.open()

    async def close(self) -> None:
        """End all connections."""
        await self._postgres.close()
        await self._teller.close()

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

        async def once(connection: Connection) -> list[SqlRow]:
            return await in_transaction(
                connection,
                "BEGIN READ ONLY",
                lambda: user_sql.fetch(connection, statement, parameters, url=self.url, selecting=True),
            )

        async def work(connection: Connection) -> list[SqlRow]:
            try:
                return await once(connection)
            except StatementOutdated:  # a rebuild has put a table with other columns in its place
                return await once(connection)

        return await self._postgres.reading(work)

    async def project(
        self, advance: Advance, statements: Sequence[StatementRun], documents: Sequence[ReadModelWrite]
    ) -> bool:
        """Commit rows and documents with the checkpoint: a round trip for each run of equal statements."""
        async with self.begin() as transaction:
            if not await transaction.advance(advance):
                return False
            for run in statements:
                await transaction.execute_many(run.text, run.rows)
            if documents:
                await transaction.write_read_models(advance.generation, documents)
            await transaction.commit()
            return True

    # The event log.

    @property
    def numbers_at_commit(self) -> bool:
        """No: commits end in another order than they began, and none waits for another."""
        return False

    async def number_commits(self, commits_max: int) -> int:
        """Give positions to the events of commits that have none yet."""
        return await self._postgres.number_commits(commits_max)

    async def position_of(self, commit: int) -> int | None:
        """The position of the last event of a commit; None until it is numbered."""
        return await self._engine.read(lambda: position_of_script(commit))

    async def old_transactions(self, age: timedelta) -> list[OldTransaction]:
        """Transactions that have been open for longer than *age*."""
        return await self._engine.read(lambda: old_transactions_script(age))

    # Wake-ups.

    def tell(self, news: News) -> None:
        """Let workers of other processes know, by NOTIFY."""
        self._teller.tell(news)

    async def listen(self, hear: Hear) -> None:
        """Pass on what other processes tell, until cancelled."""
        await Listener(self._postgres.pool.connect_apart, self._teller, hear).run()

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
