"""The store port on SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Final, TypeVar

from duly.errors import StoreError, UserSqlError
from duly.ports.change import Change, Done, Verdict
from duly.ports.log import OldTransaction
from duly.ports.projections import Advance, ReadModelWrite, StatementRun
from duly.ports.store import OpenTransaction, SqlRow, SqlValue, StoredDocument, StoredStream, StreamNeeds
from duly.ports.wake_ups import EVERYTHING, Hear, News
from duly.stores.commit_script import commit_script
from duly.stores.projection_scripts import advance_script
from duly.stores.read_model_scripts import write_read_models_script
from duly.stores.schema_version import NEWEST, check_tables, check_version, migrations, table_digests, told
from duly.stores.script import Script, Statement
from duly.stores.sql_projections import SqlProjecting
from duly.stores.sql_store import SqlStore, document_script, documents_by_script
from duly.stores.sqlite.connection import connect, run_many, run_script, run_user_statement
from duly.stores.sqlite.engine import SqliteEngine
from duly.stores.sqlite.file_watch import FileWatch, data_version
from duly.stores.sqlite.table_swap import SqliteTableSwap
from duly.stores.stream_scripts import stream_script, streams_script

T = TypeVar("T")

NOT_ITS_FAULT: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_BUSY)
"""Errors that are not those of a user's statement."""

# A commit without events counts as the one before it.
SELECT_POSITION: Final = """
SELECT first_position + events - 1 FROM duly.commit_log
 WHERE id <= :commit_id AND events > 0 ORDER BY id DESC LIMIT 1
"""


def position_of_script(commit: int) -> Script[int]:
    """The position of the last event of a commit, or of the last before it."""
    found = yield Statement(SELECT_POSITION, {"commit_id": commit})
    position: int = found.rows[0][0] if found.rows else 0
    return position


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
        async with self._sqlite.turns.alone():
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

    async def project(
        self, advance: Advance, statements: Sequence[StatementRun], documents: Sequence[ReadModelWrite]
    ) -> bool:
        """Commit rows and documents with the checkpoint, in one turn of the writer."""

        def work(connection: sqlite3.Connection) -> tuple[bool, bool]:
            if not run_script(connection, advance_script(advance)):
                return False, False
            for run in statements:
                _user_statements(connection, run.text, run.rows)
            if documents:
                run_script(connection, write_read_models_script(advance.generation, documents))
            return True, True

        return await self._sqlite.transact(work)

    # The event log.

    @property
    def numbers_at_commit(self) -> bool:
        """Yes: there is one writer."""
        return True

    async def number_commits(self, commits_max: int) -> int:
        """0: the writer has numbered them."""
        return 0

    async def position_of(self, commit: int) -> int | None:
        """The position of the last event of a commit, or of the last before it."""
        return await self._engine.read(lambda: position_of_script(commit))

    async def old_transactions(self, age: timedelta) -> list[OldTransaction]:
        """None: who writes has the lock of the file, and a reader holds nobody up."""
        return []

    # Wake-ups.

    def tell(self, news: News) -> None:
        """Nothing: the file itself tells."""

    async def listen(self, hear: Hear) -> None:
        """Pass on that another process has committed, until cancelled. A database in memory has no other process."""
        if self._sqlite.in_memory:
            return
        changed = asyncio.Event()
        watch = FileWatch(self._connect_to_watch, changed.set)
        watch.start()
        known: int | None = None
        try:
            while True:
                await changed.wait()
                changed.clear()
                # Our own commits have changed the file, too, and are no news. The writer's number tells them apart.
                version = await self._data_version()
                if version is None or version != known:
                    hear(EVERYTHING)
                known = version
        finally:
            await watch.stop()

    async def _data_version(self) -> int | None:
        try:
            return await self._sqlite.in_writer(lambda: data_version(self._sqlite.writer))
        except StoreError:
            return None

    def _connect_to_watch(self) -> sqlite3.Connection:
        return connect(self._sqlite.path, read_only=True, clock_shift_ms=lambda: 0)

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


class _OpenTransaction(SqlProjecting, SqliteTableSwap):
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

    async def stream(self, tenant: str, type_name: str, aggregate_id: str, needs: StreamNeeds) -> StoredStream | None:
        """One event-sourced aggregate as this transaction sees it."""
        script = stream_script(tenant, type_name, aggregate_id, needs)
        return await self._in_writer(lambda: run_script(self._sqlite.writer, script))

    async def streams(self, tenant: str, type_name: str, ids: Sequence[str], needs: StreamNeeds) -> list[StoredStream]:
        """Several event-sourced aggregates, as this transaction sees them."""
        script = streams_script(tenant, type_name, ids, needs)
        return await self._in_writer(lambda: run_script(self._sqlite.writer, script))

    async def execute(self, statement: str, parameters: Mapping[str, SqlValue]) -> int:
        """Run a statement of the user's own; how many rows it changed."""
        _, changed = await self._in_writer(lambda: _user_statement(self._sqlite.writer, statement, parameters))
        return changed

    async def execute_many(self, statement: str, rows: Sequence[Mapping[str, SqlValue]]) -> None:
        """Run a statement of the user's own for each of *rows*."""
        await self._in_writer(lambda: _user_statements(self._sqlite.writer, statement, rows))

    async def fetch(self, statement: str, parameters: Mapping[str, SqlValue]) -> list[SqlRow]:
        """Run a statement of the user's own; its rows."""
        rows, _ = await self._in_writer(lambda: _user_statement(self._sqlite.writer, statement, parameters))
        return list(rows)

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._in_writer(lambda: self._sqlite.writer.execute(f"SAVEPOINT {name}"))

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint, which is gone."""
        await self._in_writer(lambda: self._sqlite.writer.execute(f"RELEASE {name}"))

    async def rollback_to(self, name: str) -> None:
        """Take back what was done since the savepoint, which is gone."""

        def work() -> None:
            self._sqlite.writer.execute(f"ROLLBACK TO {name}")
            self._sqlite.writer.execute(f"RELEASE {name}")

        try:
            await self._in_writer(work)
        except StoreError:  # some errors have ended the transaction already (lang_transaction.html, section 3.1)
            await self.rollback()
            raise

    async def commit(self) -> None:
        """Commit."""
        self._check_open()
        await self._end(keep=True)

    async def rollback(self) -> None:
        """Take back everything."""
        if self.is_open:
            await self._end(keep=False)

    async def _end(self, *, keep: bool) -> None:
        """End it, also when this is cancelled: one that stays open stops every writer of the database."""
        self.is_open = False
        await asyncio.shield(self._sqlite.in_writer(lambda: self._sqlite.end(keep=keep)))

    @property
    def raw(self) -> object:
        """The `sqlite3.Connection`. Use it only in the writer's thread: prefer the façade."""
        return self._sqlite.writer

    async def _run(self, make: Callable[[], Script[T]]) -> T:
        return await self._in_writer(lambda: run_script(self._sqlite.writer, make()))

    async def _on_writer(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._in_writer(lambda: work(self._sqlite.writer))

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
    with _in_our_words(statement, selecting=selecting):
        return run_user_statement(connection, statement, parameters)


def _user_statements(connection: sqlite3.Connection, statement: str, rows: Sequence[Mapping[str, SqlValue]]) -> None:
    with _in_our_words(statement):
        run_many(connection, statement, rows)


@contextmanager
def _in_our_words(statement: str, *, selecting: bool = False) -> Iterator[None]:
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.OperationalError, sqlite3.DataError) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in NOT_ITS_FAULT or (code == sqlite3.SQLITE_READONLY and not selecting):
            raise
        raise UserSqlError(f"The database refused a statement: {error}. The statement: {statement}") from error
