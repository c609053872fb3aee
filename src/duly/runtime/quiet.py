"""Waiting until there is nothing left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from duly.errors import NotQuiet
from duly.ports.store import Store
from duly.runtime.worker import Worker

QUIET_POLL_SECONDS: Final = 0.01


async def wait_until_quiet(
    store: Store, worker: Worker | None, digests: Sequence[str], *, time_max: timedelta, within: timedelta
) -> None:
    """Wait until every promise is kept, every effect attempted and the projections of *digests* up with the log.

    Raises `NotQuiet`, and what ended the *worker* before its time.
    """
    deadline = asyncio.get_running_loop().time() + time_max.total_seconds()
    while True:
        if worker is not None:
            worker.raise_if_failed()
        left = await store.unfinished(within)
        is_quiet = not left.undelivered and not left.unsettled
        # Projections make nothing to do for others: they may be looked at afterwards.
        behind = await store.unprojected(digests, within) if is_quiet and digests else 0
        if is_quiet and not behind:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise NotQuiet(
                f"After {time_max} there are still {left.undelivered} undelivered messages, {left.unsettled} "
                f"unsettled effects and {behind} projections behind the log. Is a worker running?"
            )
        await asyncio.sleep(QUIET_POLL_SECONDS)
