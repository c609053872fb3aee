"""A few connections, each lent to one user at a time, and thrown away when nobody can say what state it is in."""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import Final

from duly.errors import StoreBusy, StoreUnavailable
from duly.stores.postgres.address import Connection, connect
from duly.stores.postgres.failures import DriverError, is_lost, store_error

CONNECTION_WAIT_SECONDS_MAX: Final = 30
END_SECONDS_MAX: Final = 5


class Loan:
    """The use of one connection, from `async with` on. Comes back only when it is known to be idle."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._connection: Connection | None = None

    async def __aenter__(self) -> Connection:
        self._connection = await self._pool.take()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._connection is not None
        if error is not None and (isinstance(error, StoreUnavailable) or is_lost(error)):
            self._connection.terminate()
        # Cancelled (no Exception): a statement may be under way still.
        self._pool.give_back(self._connection, is_idle=error is None or isinstance(error, Exception))


class ConnectionPool:
    """At most *connections_max* connections, opened when they are needed; the last one used is the next one lent."""

    def __init__(self, url: str, shown_url: str, connections_max: int) -> None:
        self._url = url
        self._shown_url = shown_url
        self._connections_max = connections_max
        self._idle: list[Connection] = []
        self._shifts: dict[Connection, int] = {}
        """Every connection of ours, in use or idle, with the shift of its clock."""
        self._free = asyncio.Semaphore(connections_max)
        self._pid = 0
        self._ending: set[asyncio.Task[None]] = set()
        self.clock_shift_ms = 0

    async def open(self) -> None:
        """Connect once, so that a wrong URL is noticed now. Raises `StoreError`."""
        self._pid = os.getpid()
        self._free = asyncio.Semaphore(self._connections_max)
        async with self.lend():
            pass

    async def close(self) -> None:
        """End all connections; those in use are cut."""
        if self._pid != os.getpid():
            return  # the sockets are the parent's: saying good-bye would end its sessions
        self._pid = 0
        idle, self._idle = self._idle, []
        for connection in self._shifts.keys() - idle:
            connection.terminate()
        self._shifts.clear()
        await asyncio.gather(*map(_say_goodbye, idle), *self._ending)

    def lend(self) -> Loan:
        """A connection for the time of an ``async with``. Entering raises `StoreError`."""
        return Loan(self)

    async def take(self) -> Connection:
        """A connection that must be given back."""
        self.check_process()  # before we wait
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()
        try:
            return await self._ready()
        except BaseException:
            self._free.release()
            raise

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(CONNECTION_WAIT_SECONDS_MAX):
                await self._free.acquire()
        except TimeoutError:
            raise StoreBusy(
                f"All {self._connections_max} connections to {self._shown_url} were in use for "
                f"{CONNECTION_WAIT_SECONDS_MAX} s. Nothing was stored. Raise connections_max, or keep transactions "
                "short."
            ) from None

    async def _ready(self) -> Connection:
        self.check_process()  # closed while we waited?
        connection = self._pop_idle()
        if connection is None:
            connection = await self.connect_apart()
            self._shifts[connection] = 0
        if self._shifts[connection] != self.clock_shift_ms:
            await self._shift(connection)
        return connection

    def _pop_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._shifts.pop(connection, None)
        return None

    async def connect_apart(self) -> Connection:
        """A new connection that is not the pool's; whoever asks for it ends it. Raises `StoreError`."""
        try:
            return await connect(self._url)
        except DriverError as error:
            raise store_error(error, self._shown_url) from error

    async def _shift(self, connection: Connection) -> None:
        shift = self.clock_shift_ms  # it may be moved on meanwhile
        try:
            await connection.execute(f"SET duly.clock_shift_ms = {shift}")
        except BaseException:
            self._discard(connection)
            raise
        self._shifts[connection] = shift

    def give_back(self, connection: Connection, *, is_idle: bool) -> None:
        """Take a connection back; one that may be busy, or has an open transaction, is ended instead."""
        if connection.is_closed() or connection not in self._shifts:  # lost, or the pool was closed meanwhile
            self._discard(connection)
            self._free.release()
        elif is_idle and not connection.is_in_transaction():
            self._idle.append(connection)
            self._free.release()
        else:
            ending = asyncio.get_running_loop().create_task(self._end(connection))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _end(self, connection: Connection) -> None:
        """Have the server stop what it does, and say good-bye: cut off, it would go on, and keep its locks."""
        self._shifts.pop(connection, None)
        await _say_goodbye(connection)
        self._free.release()

    def forget_idle(self) -> None:
        """Throw away what is idle: after a lost connection the others may be dead too."""
        idle, self._idle = self._idle, []
        for connection in idle:
            self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        self._shifts.pop(connection, None)
        if not connection.is_closed():
            connection.terminate()

    async def reset(self, connection: Connection) -> None:
        """Take back what a user's own statements may have set in the session. Raises asyncpg's errors."""
        await connection.reset()
        if connection in self._shifts:
            self._shifts[connection] = 0

    def check_process(self) -> None:
        """Raises `StoreUnavailable` in a process that has no connections, or whose parent has them."""
        if self._pid == os.getpid():
            return
        if self._pid:
            raise StoreUnavailable(
                f"This process was forked from the one that opened {self._shown_url}; connections cannot be shared. "
                "Open a store of its own after the fork."
            )
        raise StoreUnavailable(f"{self._shown_url} is closed.")


async def _say_goodbye(connection: Connection) -> None:
    try:
        await connection.close(timeout=END_SECONDS_MAX)
    except DriverError:
        connection.terminate()
