"""One writer thread, a few reader threads, and the lock between processes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from duly.errors import StoreUnavailable
from duly.stores.script import Script
from duly.stores.sqlite.connection import connect, run_script
from duly.stores.sqlite.failures import store_error
from duly.stores.sqlite.file_lock import FileLock, network_file_system
from duly.stores.sqlite.threads import Threads

T = TypeVar("T")

READERS_MAX: Final = 4


class SqliteEngine:
    """Runs functions on connections, in threads. In memory there is one connection, which readers share."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self.clock_shift_ms = 0
        self.in_memory = path == ":memory:"
        self._lock: FileLock | None = None
        self._writer: sqlite3.Connection | None = None
        self._writer_thread: Threads | None = None
        self._reader_threads: Threads | None = None
        self._readers: list[sqlite3.Connection] = []
        self._local = threading.local()
        self.turn = asyncio.Lock()
        """Who writes next in this process; an open transaction of a handler holds it."""

    async def open(self) -> None:
        """Connect. Raises `StoreError`."""
        if not self.in_memory:
            kind = await asyncio.to_thread(network_file_system, Path(self.path))
            if kind is not None:
                raise StoreUnavailable(
                    f"{self.url} lies on a network file system ({kind}), where SQLite's locks cannot be trusted. "
                    "Use a local disk, or PostgreSQL."
                )
        self._writer_thread = Threads(1, "duly-sqlite-writer")
        self._reader_threads = Threads(READERS_MAX, "duly-sqlite-reader")
        await self.in_writer(self._connect)

    def _connect(self) -> None:
        if not self.in_memory:
            try:
                self._lock = FileLock(Path(f"{self.path}.lock"))
            except OSError as error:
                raise StoreUnavailable(
                    f"{self.url} cannot be opened: {error}. Check that the folder exists and may be written to."
                ) from None
        self._acquire()
        try:
            self._writer = connect(self.path, read_only=False, clock_shift_ms=lambda: self.clock_shift_ms)
        finally:
            self._release()

    async def close(self) -> None:
        """Let go of everything, checkpoint included."""
        if self._writer_thread is None or self._reader_threads is None:
            return
        async with self.turn:
            await self.in_writer(self._close)
        self._writer_thread.end()
        self._reader_threads.end()
        self._writer_thread = self._reader_threads = None

    def _close(self) -> None:
        self._acquire()
        try:
            # Readers first: the last connection to close writes the log back, and that must be the writer's.
            for reader in self._readers:
                reader.close()
            if self._writer is not None:
                self._writer.close()
        finally:
            self._release()
            if self._lock is not None:
                self._lock.close()
        self._readers.clear()
        self._writer = None
        self._lock = None

    # Writing.

    async def write(self, make: Callable[[], Script[T]]) -> T:
        """Run a script and commit it. Raises `StoreError`."""
        return await self.transact(lambda connection: (run_script(connection, make()), True))

    async def transact(self, work: Callable[[sqlite3.Connection], tuple[T, bool]]) -> T:
        """Run *work* in a transaction, committed when the second part of its result says so."""
        async with self.turn:
            under_way = self._open_threads(self._writer_thread).run(lambda: self._in_transaction(work))
            return await self._answer(asyncio.shield(under_way))

    def _in_transaction(self, work: Callable[[sqlite3.Connection], tuple[T, bool]]) -> T:
        self.begin()
        try:
            result, keep = work(self.writer)
        except BaseException:
            self.end(keep=False)
            raise
        self.end(keep=keep)
        return result

    @property
    def writer(self) -> sqlite3.Connection:
        """The writer's connection, for use in its thread."""
        if self._writer is None:
            raise StoreUnavailable(f"{self.url} is closed.")
        return self._writer

    def begin(self) -> None:
        """Begin a write transaction under the lock. In the writer thread."""
        self._acquire()
        try:
            self.writer.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._release()
            raise

    def end(self, *, keep: bool) -> None:
        """Commit or roll back, and release the lock. In the writer thread."""
        try:
            if keep:
                self.writer.execute("COMMIT")
        finally:
            try:
                if self.writer.in_transaction:
                    self.writer.execute("ROLLBACK")
            finally:
                self._release()

    async def in_writer(self, work: Callable[[], T]) -> T:
        """Run *work* in the writer thread, SQLite's errors as ours."""
        return await self._answer(self._open_threads(self._writer_thread).run(work))

    async def _answer(self, under_way: asyncio.Future[T]) -> T:
        try:
            return await under_way
        except sqlite3.Error as error:
            raise store_error(error, self.url) from error

    # Reading.

    async def read(self, make: Callable[[], Script[T]]) -> T:
        """Run a script of one statement on what was committed."""
        return await self.in_reader(lambda connection: run_script(connection, make()))

    async def read_together(self, make: Callable[[], Script[T]]) -> T:
        """Run a script of several statements that all see the same moment."""

        def work(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            try:
                return run_script(connection, make())
            finally:
                connection.execute("ROLLBACK")

        return await self.in_reader(work)

    async def in_reader(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run *work* on a read-only connection. Raises `StoreError`."""
        if self.in_memory:
            # One connection sees its own open transaction: wait until there is none.
            async with self.turn:
                return await self.in_writer(lambda: work(self.writer))
        return await self._answer(self._open_threads(self._reader_threads).run(lambda: work(self._reader())))

    def _open_threads(self, threads: Threads | None) -> Threads:
        if threads is None:
            raise StoreUnavailable(f"{self.url} is closed.")
        return threads

    def _reader(self) -> sqlite3.Connection:
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = connect(self.path, read_only=True, clock_shift_ms=lambda: self.clock_shift_ms)
            self._local.reader = reader
            self._readers.append(reader)
        return reader

    def _acquire(self) -> None:
        if self._lock is not None:
            self._lock.acquire()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
