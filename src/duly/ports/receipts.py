"""What taking receipts needs from a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from duly.ports.gateway import Receipt
from duly.states.delivery import Delivery, Engagement


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True):
    """One report of a provider, as the tenant of its effect sees it."""

    received_at: datetime
    occurred_at: datetime | None
    """When it happened, by the provider's clock, if it said so."""
    applied_at: datetime | None
    """None while it waits for the end of an attempt that is under way."""
    delivery: Delivery | None
    engagement: Engagement | None
    detail: str
    provider_id: str | None


class ReceiptsTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of receipts: those that are not *new* had come before, and changed nothing."""

    new: int = 0
    applied: int = 0
    waiting: int = 0
    """About an effect with an attempt under way: applied when that has ended."""
    has_promised: bool = False
    """Whether outcomes were promised to subscribers."""

    @property
    def quarantined(self) -> int:
        """About nothing that is known, for now."""
        return self.new - self.applied - self.waiting


class ReceiptsJoined(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep of the waiting receipts came to."""

    applied: int = 0
    has_promised: bool = False
    has_more: bool = False
    """Whether another sweep may find something at once."""


class ReceiptStore(Protocol):
    """Keeps what providers reported, and applies it to effects."""

    async def now(self) -> datetime:
        """The time, by the database's clock."""

    async def take_receipts(
        self, gateway: str, receipts: Sequence[Receipt], *, within: timedelta | None
    ) -> ReceiptsTaken:
        """Keep verified receipts of *gateway* and apply those whose effect is known, in one commit.

        A receipt reaches an effect of its own gateway only, by the effect's id or the provider's; else it is kept in
        quarantine. *within* is how long further reports may follow.
        """

    async def join_receipts(self) -> ReceiptsJoined:
        """Apply receipts that were kept before their effect could be found, or while it was being attempted."""
