"""Tells other processes by NOTIFY, on a connection of its own, behind the commits and outside of their transactions.

A NOTIFY inside of a transaction makes its commit wait for those of all others that notify (PostgreSQL manual, NOTIFY).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import reduce
from operator import or_
from secrets import token_hex
from typing import Final

from duly.errors import StoreError
from duly.ports.wake_ups import EVERYTHING, NOTHING, News
from duly.stores.postgres.address import Connection
from duly.stores.postgres.failures import DriverError
from duly.telemetry import log

CHANNEL: Final = "duly"
NOTIFY_REST_SECONDS: Final = 0.004
"""The shortest time between two NOTIFYs of a process, when the first of them told of one commit; of more it is longer,
so that what there is most of costs least. What is told meanwhile goes with the next one."""
NOTIFY_REST_SECONDS_MAX: Final = 0.02
NOTIFY_SECONDS_MAX: Final = 5.0
"""After this time without an answer a NOTIFY has failed."""
NOTIFY_RETRY_SECONDS: Final = 1.0
"""The rest after a NOTIFY that has failed; it doubles."""
NOTIFY_RETRY_SECONDS_MAX: Final = 30.0
LAST_WORD_SECONDS_MAX: Final = 1.0
"""How long a store that is closed waits for its last NOTIFY."""

_LETTERS: Final = {"d": News.DELIVERIES, "e": News.EFFECTS, "c": News.COMMITS, "p": News.POSITIONS}

# One message of the simple protocol: a pooler need not remember anything. A transaction that has written nothing does
# not wait for the disk at its end, whatever synchronous_commit says (RecordTransactionCommit in PostgreSQL's xact.c).
_NOTIFY: Final = "NOTIFY {channel}, '{payload}'"


def payload_of(process: str, news: News) -> str:
    """What is sent: the word of the process that sends it, and a letter for each of the news."""
    return f"{process} {''.join(letter for letter, one in _LETTERS.items() if one in news)}"


def heard_in(payload: str) -> tuple[str, News]:
    """The word of the process, and the news. Everything, where a person or a trigger says NOTIFY without more."""
    process, told, letters = payload.partition(" ")
    if not told:
        return "", EVERYTHING
    return process, reduce(or_, (_LETTERS.get(letter, NOTHING) for letter in letters), NOTHING)


class Teller:
    """Sends at most one NOTIFY at a time; the next one carries everything that was told meanwhile."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        """*connect* makes a connection that is nobody else's."""
        self.process = token_hex(4)
        """By which this process knows its own words."""
        self._connect = connect
        self._connection: Connection | None = None
        self._pid = 0
        self._told: set[News] = set()
        self._times_told = 0
        self._sending: asyncio.Task[None] | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._is_closed = True
        self._retry_seconds = NOTIFY_RETRY_SECONDS

    def tell(self, news: News) -> None:
        """Send *news* soon. Neither waits nor raises."""
        self._told.add(news)
        self._times_told += 1
        if self._sending is None and self._resting is None:
            self._begin()

    def open(self) -> None:
        """As new: what was told before counts no more. A fork's connection is its parent's."""
        self._connection, self._sending, self._resting = None, None, None
        self._told.clear()
        self._times_told = 0
        self._pid, self._is_closed = os.getpid(), False
        self._retry_seconds = NOTIFY_RETRY_SECONDS

    async def close(self) -> None:
        """Send what was told last, if that is quickly done, and end the connection."""
        if self._is_closed or self._pid != os.getpid():
            return
        if self._resting is not None:
            self._rested()
        self._is_closed = True
        if self._sending is not None:
            _, late = await asyncio.wait({self._sending}, timeout=LAST_WORD_SECONDS_MAX)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._connection is not None:
            with suppress(*DriverError):
                await self._connection.close(timeout=LAST_WORD_SECONDS_MAX)
            self._connection = None

    def _begin(self) -> None:
        if not self._is_closed:
            news, self._told = reduce(or_, self._told), set()
            rest = min(self._times_told * NOTIFY_REST_SECONDS, NOTIFY_REST_SECONDS_MAX)
            self._times_told = 0
            self._sending = asyncio.get_running_loop().create_task(self._send(news, rest), name="duly-notify")

    async def _send(self, news: News, rest: float) -> None:
        """One NOTIFY; the next one comes *rest* seconds later at the earliest."""
        loop = asyncio.get_running_loop()
        until = loop.time() + rest
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
            statement = _NOTIFY.format(channel=CHANNEL, payload=payload_of(self.process, news))
            await self._connection.execute(statement, timeout=NOTIFY_SECONDS_MAX)
        except (StoreError, *DriverError) as error:
            until = loop.time() + self._failed(error)
        else:
            self._retry_seconds = NOTIFY_RETRY_SECONDS
        finally:
            self._sending = None
        if not self._is_closed:
            self._resting = loop.call_at(until, self._rested)

    def _rested(self) -> None:
        assert self._resting is not None
        self._resting.cancel()
        self._resting = None
        if self._told:
            self._begin()

    def _failed(self, error: BaseException) -> float:
        """The rest after a failure, in seconds. The first one in a row is logged."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        if self._retry_seconds == NOTIFY_RETRY_SECONDS:
            text = "a NOTIFY has failed: until one succeeds, workers of other processes find commits by polling"
            log(logging.WARNING, text, error=str(error))
        rest = self._retry_seconds
        self._retry_seconds = min(2 * rest, NOTIFY_RETRY_SECONDS_MAX)
        return rest
