"""A transaction held open for a handler with SQL of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from duly.errors import StoreError, StoreUnavailable, UserSqlError
from duly.ports.change import Change, Done, InboxWrite, Verdict
from duly.ports.store import SqlRow, SqlValue, StoredDocument, StoredStream, StreamNeeds
from duly.stores.postgres import user_sql
from duly.stores.postgres.address import Connection
from duly.stores.postgres.arrays import arguments_of
from duly.stores.postgres.engine import PostgresEngine, commit_unit, contended
from duly.stores.postgres.failures import DriverError, code_of, is_lost, is_transient, store_error
from duly.stores.postgres.lost_commit import resolve
from duly.stores.postgres.running import ANSWER_SECONDS_MAX, run_script
from duly.stores.postgres.table_swap import PostgresTableSwap
from duly.stores.script import Script
from duly.stores.sql_projections import SqlProjecting
from duly.stores.sql_store import document_script, documents_by_script
from duly.stores.stream_scripts import stream_script, streams_script

T = TypeVar("T")


@asynccontextmanager
async def open_transaction(engine: PostgresEngine) -> AsyncIterator[PostgresTransaction]:
    """A transaction on a connection of its own; leaving the block without `commit` takes everything back.

    Cancelled, the connection is thrown away, and the server rolls back.
    """
    try:
        async with engine.pool.lend() as connection:
            transaction = PostgresTransaction(engine, connection)
            await transaction.begin()
            try:
                yield transaction
            except Exception:
                await transaction.end()
                raise
            else:
                await transaction.end()
    except DriverError as error:
        raise store_error(error, engine.url) from error


class PostgresTransaction(SqlProjecting, PostgresTableSwap):
    """One connection, one transaction. Calls that overlap wait for each other."""

    def __init__(self, engine: PostgresEngine, connection: Connection) -> None:
        self._engine = engine
        self._connection = connection
        self._transaction = connection.transaction()
        self._turn = asyncio.Lock()
        self._tenant = ""
        self._inbox: InboxWrite | None = None
        self._is_open = False
        self._may_have_failed = False

    async def begin(self) -> None:
        """BEGIN. Raises asyncpg's errors."""
        await self._transaction.start()
        self._is_open = True

    async def end(self) -> None:
        """Roll back what is open, and make the connection as new; one that fails at it is thrown away."""
        await self.rollback()
        if not self._connection.is_closed():
            try:
                await self._engine.pool.reset(self._connection)
            except DriverError:  # what was committed stays so
                self._connection.terminate()

    async def write(self, change: Change) -> Verdict:
        """Write a part of the change. A verdict other than `Done` takes back everything, and ends the transaction."""
        arguments = arguments_of((change,))
        try:
            verdict = await self._in_turn(lambda: commit_unit(self._connection, arguments))
        except DriverError as error:
            if not is_transient(error):
                raise self._store_error(error) from error
            verdict = contended(change)
        if isinstance(verdict, Done):
            self._tenant, self._inbox = change.tenant, change.inbox or self._inbox
        else:
            await self.rollback()
        return verdict

    async def document(self, tenant: str, type_name: str, document_id: str) -> StoredDocument | None:
        """One document as this transaction sees it."""
        script = document_script(tenant, type_name, document_id)
        return await self._ours(lambda: run_script(self._connection, script))

    async def documents_by(
        self, tenant: str, type_name: str, field: str, value: str, rows_max: int
    ) -> list[StoredDocument]:
        """Documents by a findable value, as this transaction sees them."""
        script = documents_by_script(tenant, type_name, field, value, rows_max)
        return await self._ours(lambda: run_script(self._connection, script))

    async def stream(self, tenant: str, type_name: str, aggregate_id: str, needs: StreamNeeds) -> StoredStream | None:
        """One event-sourced aggregate as this transaction sees it."""
        script = stream_script(tenant, type_name, aggregate_id, needs)
        return await self._ours(lambda: run_script(self._connection, script))

    async def streams(self, tenant: str, type_name: str, ids: Sequence[str], needs: StreamNeeds) -> list[StoredStream]:
        """Several event-sourced aggregates, as this transaction sees them."""
        script = streams_script(tenant, type_name, ids, needs)
        return await self._ours(lambda: run_script(self._connection, script))

    async def execute(self, statement: str, parameters: Mapping[str, SqlValue]) -> int:
        """Run a statement of the user's own; how many rows it changed."""
        return await self._in_turn(
            lambda: user_sql.execute(self._connection, statement, parameters, url=self._engine.url)
        )

    async def execute_many(self, statement: str, rows: Sequence[Mapping[str, SqlValue]]) -> None:
        """Run a statement of the user's own for each of *rows*."""
        await self._in_turn(lambda: user_sql.execute_many(self._connection, statement, rows, url=self._engine.url))

    async def fetch(self, statement: str, parameters: Mapping[str, SqlValue]) -> list[SqlRow]:
        """Run a statement of the user's own; its rows."""
        return await self._in_turn(
            lambda: user_sql.fetch(self._connection, statement, parameters, url=self._engine.url)
        )

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._ours(lambda: self._connection.execute(f"SAVEPOINT {name}", timeout=ANSWER_SECONDS_MAX))

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint, which is gone."""
        await self._ours(lambda: self._connection.execute(f"RELEASE {name}", timeout=ANSWER_SECONDS_MAX))

    async def rollback_to(self, name: str) -> None:
        """Take back what was done since the savepoint, which is gone."""
        taken_back = f"ROLLBACK TO {name}; RELEASE {name}"
        try:
            await self._ours(lambda: self._connection.execute(taken_back, timeout=ANSWER_SECONDS_MAX))
        except StoreError:
            await self.rollback()
            raise

    async def commit(self) -> None:
        """Commit. A connection lost meanwhile is resolved through the inbox row, if one was written."""
        if self._may_have_failed:
            # COMMIT of a transaction in which a statement failed is a rollback without an error; anything else says so.
            await self._ours(lambda: self._connection.execute("SELECT 1", timeout=ANSWER_SECONDS_MAX))
        try:
            await self._in_turn(self._commit)
        except DriverError as error:
            if is_lost(error):
                await resolve(self._engine.pool, self._engine.url, self._tenant, self._inbox, error)
            elif code_of(error).startswith("23"):
                raise UserSqlError(f"The database refused the commit: {error.args[0]}. Nothing was stored.") from None
            else:
                raise self._store_error(error) from error

    async def _commit(self) -> None:
        self._is_open = False
        await self._transaction.commit()

    async def rollback(self) -> None:
        """Take back everything. A connection that is lost meanwhile takes everything back too."""
        if not self._is_open:
            return
        self._is_open = False
        if not self._connection.is_closed():
            try:
                await self._transaction.rollback()
            except DriverError:
                self._connection.terminate()

    @property
    def raw(self) -> object:
        """The `asyncpg.Connection`, inside this transaction."""
        self._may_have_failed = True
        return self._connection

    async def _run(self, make: Callable[[], Script[T]]) -> T:
        return await self._ours(lambda: run_script(self._connection, make()))

    async def _on_connection(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._ours(lambda: work(self._connection))

    async def _ours(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._in_turn(work)
        except DriverError as error:
            raise self._store_error(error) from error

    async def _in_turn(self, work: Callable[[], Awaitable[T]]) -> T:
        async with self._turn:
            if not self._is_open:
                raise StoreError("The transaction has ended; what it did not commit was taken back.")
            try:
                return await work()
            except Exception:
                self._may_have_failed = True
                raise

    def _store_error(self, error: BaseException) -> StoreError:
        if is_lost(error):
            return StoreUnavailable(
                f"The connection to {self._engine.url} was lost inside a transaction ({type(error).__name__}). Nothing "
                "was stored: it may be sent again."
            )
        return store_error(error, self._engine.url)
