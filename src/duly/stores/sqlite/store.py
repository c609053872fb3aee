"""The store port on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from duly.errors import StoreError, UserSqlError
from duly.ports.change import Change, Done, Verdict
from duly.ports.store import OpenTransaction, SqlRow, SqlValue, StoredDocument
from duly.stores.commit_script import commit_script
from duly.stores.schema_version import NEWEST, check_tables, check_version, migrations, table_digests, told
from duly.stores.sql_store import SqlStore, document_script, documents_by_script
from duly.stores.sqlite.connection import run_script, run_user_statement
from duly.stores.sqlite.engine import SqliteEngine

T = TypeVar("T")

NOT_ITS_FAULT: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_BUSY)
"""Errors that are not those of a user's statement."""


class SqliteStore(SqlStore):
    """One SQLite file; ``:memory:`` for a database that lives as long as the store is open."""

    def __init__(self, path: str) -> None:
        self._sqlite = SqliteEngine(path)
        self._engine = self._sqlite

    @property
    def url(self) -> str:
        """``sqlite:///`` and the path."""
        return self._sqlite.url

    async def open(self) -> None:
        """Open the file; an absent one is created. Raises `StoreError`."""
        await self._sqlite.open()

    async def close(self) -> None:
        """Let go of the file."""
        await self._sqlite.close()

    def shift_clock(self, milliseconds: int) -> None:
        """Move the database's clock; for tests."""
        self._sqlite.clock_shift_ms += milliseconds

    # Committing.

    async def commit(self, change: Change) -> Verdict:
        """Commit a change, whole or not at all."""

        def work(connection: sqlite3.Connection) -> tuple[Verdict, bool]:
            verdict = run_script(connection, commit_script(change))
            return verdict, isinstance(verdict, Done)

        return await self._sqlite.transact(work)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[OpenTransaction]:
        """Open a transaction. Other writers of this database wait until it ends."""
        async with self._sqlite.turn:
            transaction = _OpenTransaction(self._sqlite)
            try:
                # Cancelled here, the thread may still begin: the rollback is queued behind it.
                await self._sqlite.in_writer(self._sqlite.begin)
                yield transaction
            finally:
                if transaction.is_open:
                    await transaction.rollback()

    async def select(self, statement: str, parameters: Mapping[str, SqlValue]) -> list[SqlRow]:
        """Rows of the user's own SELECT."""

        def work(connection: sqlite3.Connection) -> list[SqlRow]:
            connection.execute("PRAGMA query_only = ON")
            try:
                rows, _ = _user_statement(connection, statement, parameters, selecting=True)
            finally:
                if self._sqlite.in_memory:
                    connection.execute("PRAGMA query_only = OFF")
            return list(rows)

        return await self._sqlite.in_reader(work)

    # The schema.

    async def is_empty(self) -> bool:
        """Whether the file holds no table at all."""
        return await self._sqlite.in_writer(
            lambda: self._sqlite.writer.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None
        )

    async def check_schema(self, tables: Sequence[str] = ()) -> None:
        """Raises unless the schema is the one that the code works with, the modules' own tables included."""
        check_version(await self._sqlite.in_writer(lambda: _version(self._sqlite.writer)), self.url)
        if tables:
            check_tables(await self._sqlite.in_writer(lambda: _tables_run(self._sqlite.writer)), tables, self.url)

    async def migrate(self, tables: Sequence[str]) -> list[str]:
        """Bring the schema up to date, then run the modules' own statements that are new; what was done."""

        def work(connection: sqlite3.Connection) -> tuple[list[str], bool]:
            done: list[str] = []
            present = _version(connection) or 0
            if present > NEWEST:
                check_version(present, self.url)
            for migration in migrations("sqlite"):
                if migration.number > present:
                    for statement in _statements(migration.text):
                        connection.execute(statement)
                    done.append(f"duly schema version {migration.number}")
            if done:
                connection.execute("CREATE TABLE IF NOT EXISTS duly_schema (version INTEGER NOT NULL)")
                connection.execute("DELETE FROM duly_schema")
                connection.execute("INSERT INTO duly_schema (version) VALUES (?)", (NEWEST,))
            run_before = set(_tables_run(connection))
            for digest, statement in table_digests(tables).items():
                if digest not in run_before:
                    _user_statement(connection, statement, {})
                    connection.execute("INSERT INTO duly_module_table VALUES (?, ?)", (digest, statement))
                    done.append(told(statement))
            return done, True

        return await self._sqlite.transact(work)


class _OpenTransaction:
    """A transaction of the writer, held open while a handler runs."""

    def __init__(self, engine: SqliteEngine) -> None:
        self._sqlite = engine
        self.is_open = True

    async def write(self, change: Change) -> Verdict:
        """Write a part of the change. A verdict other than `Done` takes back everything, and ends the transaction."""
        verdict = await self._in_writer(lambda: run_script(self._sqlite.writer, commit_script(change)))
        if not isinstance(verdict, Done):
            await self.rollback()
        return verdict

    async def document(self, tenant: str, type_name: str, document_id: str) -> StoredDocument | None:
        """One document as this transaction sees it."""
        script = document_script(tenant, type_name, document_id)
        return await self._in_writer(lambda: run_script(self._sqlite.writer, script))

    async def documents_by(
        self, tenant: str, type_name: str, field: str, value: str, rows_max: int
    ) -> list[StoredDocument]:
        """Documents by a findable value, as this transaction sees them."""
        script = documents_by_script(tenant, type_name, field, value, rows_max)
        return await self._in_writer(lambda: run_script(self._sqlite.writer, script))

    async def execute(self, statement: str, parameters: Mapping[str, SqlValue]) -> int:
        """Run a statement of the user's own; how many rows it changed."""
        _, changed = await self._in_writer(lambda: _user_statement(self._sqlite.writer, statement, parameters))
        return changed

    async def fetch(self, statement: str, parameters: Mapping[str, SqlValue]) -> list[SqlRow]:
        """Run a statement of the user's own; its rows."""
        rows, _ = await self._in_writer(lambda: _user_statement(self._sqlite.writer, statement, parameters))
        return list(rows)

    async def commit(self) -> None:
        """Commit."""
        self._check_open()
        self.is_open = False
        await self._sqlite.in_writer(lambda: self._sqlite.end(keep=True))

    async def rollback(self) -> None:
        """Take back everything."""
        if self.is_open:
            self.is_open = False
            await self._sqlite.in_writer(lambda: self._sqlite.end(keep=False))

    @property
    def raw(self) -> object:
        """The `sqlite3.Connection`. Use it only in the writer's thread: prefer the façade."""
        return self._sqlite.writer

    async def _in_writer(self, work: Callable[[], T]) -> T:
        self._check_open()
        return await self._sqlite.in_writer(work)

    def _check_open(self) -> None:
        if not self.is_open:
            raise StoreError("The transaction has ended; what it did not commit was taken back.")


def _version(connection: sqlite3.Connection) -> int | None:
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'duly_schema'").fetchone()
    row = connection.execute("SELECT version FROM duly_schema").fetchone() if known else None
    return None if row is None else int(row[0])


def _tables_run(connection: sqlite3.Connection) -> list[str]:
    """Digests of the modules' own statements that were run."""
    return [row[0] for row in connection.execute("SELECT digest FROM duly_module_table")]


def _statements(text: str) -> list[str]:
    """A migration's statements; `executescript` would commit what is open."""
    found: list[str] = []
    part = ""
    for line in text.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            found.append(part)
            part = ""
    return found


def _user_statement(
    connection: sqlite3.Connection, statement: str, parameters: Mapping[str, SqlValue], *, selecting: bool = False
) -> tuple[list[dict[str, object]], int]:
    try:
        return run_user_statement(connection, statement, parameters)
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.OperationalError, sqlite3.DataError) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in NOT_ITS_FAULT or (code == sqlite3.SQLITE_READONLY and not selecting):
            raise
        raise UserSqlError(f"The database refused a statement: {error}. The statement: {statement}") from error
