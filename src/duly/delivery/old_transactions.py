"""Names transactions that stay open for too long.

They hold up no position of anybody else. What they have written comes late, and while they are open, the database keeps
what others have removed.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from duly.errors import StoreError
from duly.ports.log import LogStore
from duly.telemetry import log


class OldTransactionWatch:
    """Looks once per *after* and warns once of each transaction that is older than that."""

    def __init__(self, store: LogStore, *, after: timedelta) -> None:
        self._store = store
        self._after = after
        self._known: set[tuple[str, datetime]] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    async def run(self) -> None:
        """Look until `stop`. Where positions are given at commit there is nothing to see."""
        while not self._stopping.is_set() and not self._store.numbers_at_commit:
            try:
                await self.look()
            except StoreError as error:
                log(logging.ERROR, "open transactions cannot be looked at", error=str(error))
            try:
                async with asyncio.timeout(self._after.total_seconds()):
                    await self._stopping.wait()
            except TimeoutError:
                pass

    async def look(self) -> None:
        """Look once. Raises `StoreError`."""
        found = await self._store.old_transactions(self._after)
        for old in found:
            if (old.holder, old.since) not in self._known:
                log(
                    logging.WARNING,
                    f"a transaction has been open for longer than {self._after}: {old.holder} since "
                    f"{old.since.isoformat()} ({old.doing}). The events of others get their positions meanwhile; its "
                    "own come late. End it, or commit it.",
                    holder=old.holder,
                    since=old.since.isoformat(),
                )
        self._known = {(old.holder, old.since) for old in found}
