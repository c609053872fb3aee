"""Who waits for whom when many units of work of one process want the same aggregate.

A first try is optimistic. Whoever met a conflict tries again in the queue of that aggregate, one after the other, so
that a hundred commands at once cost a hundred tries and not a hundred times a hundred. Other processes are met by
jitter. A queue is never held while another is waited for: nothing can wait in a circle.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from duly.ports.change import Conflict, Exists, Verdict

CONFLICT_RETRIES_MAX: Final = 12
"""How often a unit of work is run again after conflicts, before it is given up."""

_WAIT_SECONDS_MAX: Final = 0.25
_AT_ONCE: Final = nullcontext()

Contended: TypeAlias = tuple[str, str, str]
"""Tenant, type and id of an aggregate."""


class Contention:
    """The queues of the aggregates that units of work of this process are in conflict about."""

    def __init__(self) -> None:
        self._queues: WeakValueDictionary[Contended, asyncio.Lock] = WeakValueDictionary()

    def turn(self, tenant: str, verdict: Verdict | None, tries: int) -> AbstractAsyncContextManager[None]:
        """Wait for the turn of the next try, after *tries* that ended in conflicts, the last with *verdict*."""
        match verdict:
            case Conflict(type=type_name, id=aggregate_id) | Exists(type=type_name, id=aggregate_id):
                return self._queued((tenant, type_name, aggregate_id), tries)
            case _:
                return _AT_ONCE

    @asynccontextmanager
    async def _queued(self, key: Contended, tries: int) -> AsyncIterator[None]:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = asyncio.Lock()
        async with queue:
            if tries > 1:
                # In the queue and in conflict all the same: with another process.
                await asyncio.sleep(random.uniform(0, min(0.002 * 2**tries, _WAIT_SECONDS_MAX)))
            yield
