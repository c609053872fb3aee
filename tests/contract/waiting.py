"""Waiting for conditions, never for luck."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from duly.ports.store import Store

PATIENCE_SECONDS = 20.0


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return when *condition* holds; fail when it does not within reason."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} s in vain for {what}"
        await asyncio.sleep(0.005)


async def sessions(store: Store, condition: str = "TRUE") -> int:
    """How many sessions of duly on this database, but for the one that asks, meet a condition."""
    (row,) = await store.select(
        "SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database() "
        f"AND application_name = 'duly' AND pid <> pg_backend_pid() AND {condition}",
        {},
    )
    return int(str(row["number"]))


async def until_waiting(store: Store, number: int = 1) -> None:
    """Return when so many sessions wait for a lock."""

    async def are_waiting() -> bool:
        return await sessions(store, "wait_event_type = 'Lock'") >= number

    await until(are_waiting, f"{number} sessions that wait for a lock")
