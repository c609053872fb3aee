"""What a PostgreSQL server spends: bytes of its log, and processor time of all its processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import asyncpg

from benchmarks.processor_time import of_family
from benchmarks.spending import Spent

T = TypeVar("T")

WAL_BYTES: Final = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
ANSWER_SECONDS_MAX: Final = 30


class ServerMeter:
    """Asks over a connection of its own, in a thread of its own, so that it can be read from within any loop."""

    def __init__(self, url: str, postmaster: int) -> None:
        self._url = url
        self._postmaster = postmaster
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="benchmarks-meter")
        self._thread.start()
        self._connection: asyncpg.Connection[asyncpg.Record] = self._await(asyncpg.connect(url))
        self._wal_begun = 0
        self._cpu_begun: dict[int, float] = {}

    def begin(self) -> None:
        """A block begins."""
        self._wal_begun = self.wal_bytes()
        self._cpu_begun = of_family(self._postmaster)

    def end(self) -> Spent:
        """What the server spent on the block and on what else it did meanwhile; of processes that are still there."""
        begun, ended = self._cpu_begun, of_family(self._postmaster)
        spent = sum(seconds - begun.get(pid, 0.0) for pid, seconds in ended.items())
        return Spent(
            wal_bytes=self.wal_bytes() - self._wal_begun, server_cpu_seconds=spent if begun and ended else None
        )

    def wal_bytes(self) -> int:
        """Where the server's log ends now."""
        return int(self._await(self._connection.fetchval(WAL_BYTES)))

    def close(self) -> None:
        """End the connection and the thread."""
        self._await(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, answer: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result(ANSWER_SECONDS_MAX)
