"""Moving the database's clock while an application works."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from duly.ports.store import Store
from duly.testing.store_exam import ExaminedStore

SETTLE_SECONDS: Final = 0.3


def shift(store: Store, by: timedelta) -> None:
    """Move the clock of a store that is not open yet, or with which nobody works."""
    examined: ExaminedStore = store  # type: ignore[assignment]
    examined.shift_clock(int(by.total_seconds() * 1_000))


async def move_clock(store: Store, by: timedelta) -> None:
    """Move the clock of a store in use, while no attempt is under way.

    A pooled connection that was being set to the former time is taken for one that has the new one: the second, small
    move has every connection set anew.
    """
    shift(store, by)
    await asyncio.sleep(SETTLE_SECONDS)
    shift(store, timedelta(milliseconds=1))
