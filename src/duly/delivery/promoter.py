"""Puts promises that waited for their time into the outbox, when it has come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from duly.errors import StoreError
from duly.ports.later import LaterStore
from duly.telemetry import log

PROMOTED_PER_COMMIT_MAX: Final = 500


class Promoter:
    """One per worker; several do no harm to each other. Only the database's clock is asked."""

    def __init__(self, store: LaterStore, *, poll_interval: timedelta, on_promise: Callable[[], None]) -> None:
        self._store = store
        self._poll_seconds = poll_interval.total_seconds()
        self._on_promise = on_promise
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Promote nothing more."""
        self._stopping.set()

    async def run(self) -> None:
        """Promote what is due, until `stop`."""
        while not self._stopping.is_set():
            wait = self._poll_seconds
            try:
                due_in = await self._store.next_due()
                if due_in is not None and due_in <= timedelta():
                    promoted = await self._store.promote(PROMOTED_PER_COMMIT_MAX)
                    if promoted:
                        self._on_promise()
                    if promoted == PROMOTED_PER_COMMIT_MAX:
                        continue
                elif due_in is not None:
                    wait = min(wait, due_in.total_seconds())
            except StoreError as error:
                log(logging.ERROR, "what waits for its time cannot be looked at", error=str(error))
            try:
                async with asyncio.timeout(wait):
                    await self._stopping.wait()
            except TimeoutError:
                pass
