"""Hears what other processes tell by NOTIFY, on a connection of its own, which comes back when it was cut."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from duly.errors import StoreError
from duly.ports.wake_ups import EVERYTHING, NOTHING, Hear
from duly.stores.postgres.address import Connection
from duly.stores.postgres.failures import DriverError
from duly.stores.postgres.telling import CHANNEL, Teller, heard_in
from duly.telemetry import log

LISTEN_RETRY_SECONDS: Final = 0.1
"""The first wait before listening again; it doubles."""
LISTEN_RETRY_SECONDS_MAX: Final = 15.0
LISTEN_CHECK_SECONDS: Final = 10.0
"""How often a silent connection is asked whether it is there: one that is half open would be silent for ever."""
LISTEN_ANSWER_SECONDS_MAX: Final = 5.0


class Listener:
    """Listens until cancelled."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], teller: Teller, hear: Hear) -> None:
        """*connect* makes a connection that is nobody else's; what *teller* says is known here already."""
        self._connect = connect
        self._teller = teller
        self._hear = hear
        self._hears_itself = False
        self._is_warned = False
        self._is_lost = False
        self._retry_seconds = LISTEN_RETRY_SECONDS

    async def run(self) -> None:
        """Listen, again and again, until cancelled."""
        while True:
            try:
                await self._listen()
            except (StoreError, *DriverError) as error:
                if not self._is_lost:
                    text = "commits of other processes cannot be listened for; they are found by polling meanwhile"
                    log(logging.WARNING, text, error=str(error))
                self._is_lost = True
            await asyncio.sleep(self._retry_seconds)
            self._retry_seconds = min(2 * self._retry_seconds, LISTEN_RETRY_SECONDS_MAX)

    async def _listen(self) -> None:
        """Listen until the connection is lost. Raises `StoreError` and asyncpg's errors."""
        connection = await self._connect()
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            async with asyncio.timeout(LISTEN_ANSWER_SECONDS_MAX):
                await connection.add_listener(CHANNEL, self._notified)
            self._retry_seconds = LISTEN_RETRY_SECONDS
            self._hears_itself = self._is_lost = False
            # What was told before is not told again.
            self._hear(EVERYTHING)
            self._teller.tell(NOTHING)
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LISTEN_CHECK_SECONDS):
                        await lost.wait()
                    raise ConnectionResetError("the connection was cut")
                # The simple protocol: asyncpg waits for ever when a NOTIFY comes amid its Parse and Describe.
                await connection.execute("SELECT 1", timeout=LISTEN_ANSWER_SECONDS_MAX)
                self._warn_if_deaf()
        finally:
            with suppress(*DriverError):
                await connection.close(timeout=LISTEN_ANSWER_SECONDS_MAX)

    def _notified(self, connection: object, pid: int, channel: str, payload: object) -> None:
        process, news = heard_in(str(payload))
        if process == self._teller.process:
            self._hears_itself = True
        elif news:
            self._hear(news)

    def _warn_if_deaf(self) -> None:
        """A pooler that lends its connections by the transaction takes a LISTEN, and passes nothing on."""
        if self._hears_itself or self._is_warned:
            return
        self._is_warned = True
        log(
            logging.WARNING,
            "this process does not hear its own NOTIFY: is there a pooler in transaction mode before the database? "
            "Commits of other processes are found by polling. Connect past the pooler, or set Settings.wake_ups=False",
        )
