"""Promises that wait for their time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import msgspec


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A message that waits for its time."""

    id: str
    """What it is cancelled by."""
    message_name: str
    subscriber: str
    due_at: datetime


class LaterStore(Protocol):
    """What is needed to keep promises at their time, which is the database's."""

    async def next_due(self) -> timedelta | None:
        """How long until the next one is due; zero or less: now. None when nothing waits."""

    async def promote(self, rows_max: int) -> int:
        """Put what is due into the outbox, in the order of its times; how many. No two promoters take the same."""

    async def cancel_later(self, tenant: str, later_id: str) -> bool:
        """Withdraw one that waits; False when none of this tenant waits under this id."""

    async def waiting(self, tenant: str, rows_max: int) -> list[Waiting]:
        """A tenant's messages that wait, the next one first."""
