"""One writer thread that commits what has gathered, and a few reader threads."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from duly.errors import StoreUnavailable
from duly.stores.script import Script
from duly.stores.sqlite.connection import connect, run_script
from duly.stores.sqlite.failures import store_error
from duly.stores.sqlite.file_lock import FileLock, held, network_file_system
from duly.stores.sqlite.threads import Threads
from duly.stores.sqlite.turns import Turns
from duly.stores.sqlite.unit import Unit, Work
from duly.stores.sqlite.writer import Writer

T = TypeVar("T")

READERS_MAX: Final = 4
UNITS_PER_COMMIT_MAX: Final = 64
"""How many units of work share one transaction at most."""


class SqliteEngine:
    """Runs functions on connections, in threads. In memory there is one connection, which readers share."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self.clock_shift_ms = 0
        self.in_memory = path == ":memory:"
        self._writer: Writer | None = None
        self._writer_thread: Threads | None = None
        self._reader_threads: Threads | None = None
        self._readers: list[sqlite3.Connection] = []
        self._local = threading.local()
        self._gathered: deque[Unit[Any]] = deque()
        """Units of work that the writer has not begun with. The loop appends, the writer's thread takes."""
        self.turns = Turns(self._hand_over)

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
        lock: FileLock | None = None
        if not self.in_memory:
            try:
                lock = FileLock(Path(f"{self.path}.lock"))
            except OSError as error:
                raise StoreUnavailable(
                    f"{self.url} cannot be opened: {error}. Check that the folder exists and may be written to."
                ) from None
        with held(lock):
            connection = connect(self.path, read_only=False, clock_shift_ms=lambda: self.clock_shift_ms)
        self._writer = Writer(connection, lock)

    async def close(self) -> None:
        """Wait for what is under way, then let go of everything, checkpoint included."""
        writer, readers = self._writer_thread, self._reader_threads
        if writer is None or readers is None:
            return
        async with self.turns.alone():
            # Whoever was cancelled may be read for still. A connection that is closed meanwhile ends the process.
            self._reader_threads = None
            readers.end()
            await self.in_writer(self._close)
            writer.end()
            self._writer_thread = None

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            # Readers first: the last connection to close writes the log back, and that must be the writer's.
            writer.close(before=self._readers)
        self._readers.clear()

    # Writing.

    async def write(self, make: Callable[[], Script[T]]) -> T:
        """Run a script and commit it. Raises `StoreError`."""
        return await self.transact(lambda connection: (run_script(connection, make()), True))

    async def transact(self, work: Work[T]) -> T:
        """Run *work* in a transaction, committed when the second part of its result says so.

        What waits at the same time shares a transaction; each has its own result. Cancelled before the writer has begun
        with it, it does not run; later, it is finished all the same. Raises `StoreError`.
        """
        unit = Unit(work)
        self.turns.give(unit)
        return await self._answer(unit.future)

    def _hand_over(self, unit: Unit[Any]) -> None:
        if self._writer_thread is None:
            unit.failure = self._closed()
            unit.future.get_loop().call_soon(self._settle, (unit,))
            return
        self._gathered.append(unit)
        if len(self._gathered) == 1:  # else the writer is on its way to it
            unit.future.get_loop().call_soon(self._writer_thread.post, self._commit_gathered)

    def _commit_gathered(self) -> None:
        """In the writer's thread: one transaction for what is there by now."""
        units: list[Unit[Any]] = []
        while self._gathered and len(units) < UNITS_PER_COMMIT_MAX:
            units.append(self._gathered.popleft())
        if self._gathered:
            self._open_threads(self._writer_thread).post(self._commit_gathered)
        if not units:
            return
        self._open_writer().commit([unit for unit in units if not unit.is_withdrawn])
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            units[0].future.get_loop().call_soon_threadsafe(self._settle, units)

    def _settle(self, units: Sequence[Unit[Any]]) -> None:
        """In the loop's thread."""
        self.turns.done(len(units))
        for unit in units:
            unit.settle()

    @property
    def writer(self) -> sqlite3.Connection:
        """The writer's connection, for use in its thread."""
        return self._open_writer().connection

    def begin(self) -> None:
        """Begin a write transaction under the lock. In the writer thread, by whoever is alone."""
        self._open_writer().begin()

    def end(self, *, keep: bool) -> None:
        """Commit or roll back, and release the lock. In the writer thread."""
        self._open_writer().end(keep=keep)

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise self._closed()
        return self._writer

    def _closed(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self.url} is closed.")

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
            async with self.turns.alone():
                return await self.in_writer(lambda: work(self.writer))
        return await self._answer(self._open_threads(self._reader_threads).run(lambda: work(self._reader())))

    def _open_threads(self, threads: Threads | None) -> Threads:
        if threads is None:
            raise self._closed()
        return threads

    def _reader(self) -> sqlite3.Connection:
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = connect(self.path, read_only=True, clock_shift_ms=lambda: self.clock_shift_ms)
            self._local.reader = reader
            self._readers.append(reader)
        return reader
