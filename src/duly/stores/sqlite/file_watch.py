"""Notices commits of other processes: SQLite has no word for them, but a number that changes with each of them.

A thread of its own asks for it, so that the event loop hears only of changes. It asks on a connection of its own, which
says nothing else and holds no lock in between.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

from duly.telemetry import log

FILE_WATCH_SECONDS: Final = 0.005
"""How often the file is asked whether it has changed, while a worker runs."""
FILE_WATCH_RETRY_SECONDS: Final = 1.0
"""The rest after it could not be asked."""
_VERSION: Final = "PRAGMA data_version"


def data_version(connection: sqlite3.Connection) -> int:
    """A number that another connection's commit changes, and this one's own does not. Raises `sqlite3.Error`."""
    (version,) = connection.execute(_VERSION).fetchone()
    return int(version)


class FileWatch:
    """A thread that calls *changed* in the event loop, after changes by any other connection."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], changed: Callable[[], None]) -> None:
        self._connect = connect
        self._changed = changed
        self._stopping = Event()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = Thread(target=self._serve, name="duly-sqlite-watch", daemon=True)

    def start(self) -> None:
        """Begin; the first change is one after this."""
        self._thread.start()

    async def stop(self) -> None:
        """Ask no more, and close the connection."""
        self._stopping.set()
        await self._ended.wait()
        self._thread.join()

    def _serve(self) -> None:
        is_warned = False
        try:
            while not self._stopping.is_set():
                try:
                    self._watch()
                except sqlite3.Error as error:
                    if not is_warned:
                        text = "the file cannot be watched; commits of other processes are found by polling meanwhile"
                        log(logging.WARNING, text, error=str(error))
                    is_warned = True
                    self._stopping.wait(FILE_WATCH_RETRY_SECONDS)
        finally:
            self._tell(self._ended.set)

    def _watch(self) -> None:
        connection = self._connect()
        try:
            version = data_version(connection)
            self._tell(self._changed)
            # Not by waiting for the stop: that takes half as much again of the processor, 200 times a second.
            while not self._stopping.is_set():
                time.sleep(FILE_WATCH_SECONDS)
                seen = data_version(connection)
                if seen != version:
                    version = seen
                    self._tell(self._changed)
        finally:
            connection.close()

    def _tell(self, what: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            self._stopping.set()  # the loop was closed: nobody listens any more
