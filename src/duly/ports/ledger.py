"""What the ledger of effects needs from a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from duly.messages.envelope import Link
from duly.ports.gateway import Prepared
from duly.states.attempt import Origin
from duly.states.effect import Dispatch, Settled


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """An effect whose attempt number `number` is committed and whose call starts next."""

    effect_id: str
    tenant: str
    type: str
    gateway: str
    key: str
    number: int
    counted: int
    """Counted attempts, this one included."""
    token: str
    prepared: Prepared
    requested_at: datetime
    trace: str | None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt came to, and what becomes of its effect."""

    effect_id: str
    number: int
    token: str
    outcome: str
    evidence: str
    provider_id: str | None
    settled: Settled


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as the tenant sees it; `outcome` is None while it is under way."""

    number: int
    origin: Origin
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    evidence: str
    provider_id: str | None


class EffectView(msgspec.Struct, frozen=True, kw_only=True):
    """One effect as the tenant sees it: state, attempts, times, and why it was sent."""

    id: str
    tenant: str
    type: str
    channel: str
    gateway: str
    recipient: str
    summary: str
    state: Dispatch
    reason: str
    provider_id: str | None
    handler: str
    chain: tuple[Link, ...]
    requested_at: datetime
    changed_at: datetime
    next_attempt_at: datetime | None
    attempts: tuple[AttemptView, ...]


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should not be, kept where people see it."""

    tenant: str
    kind: str
    about: str
    detail: str
    at: datetime


class LedgerStore(Protocol):
    """What the sender and the tenant's view need."""

    async def claim(self, gateway: str, slots: int, *, owner: str, lease: timedelta) -> list[Claimed]:
        """Commit the next attempt of at most *slots* due effects of a gateway, the oldest first."""

    async def suppress(self, gateway: str, reason: str) -> int:
        """Move every due effect of a gateway to ``suppressed``; how many there were."""

    async def end_attempts(self, ended: Sequence[Ended]) -> list[bool]:
        """Write outcomes down in one commit; False where the attempt has another token by now.

        What such a late one learned is kept as evidence on the attempt.
        """

    async def due_gateways(self) -> list[str]:
        """Names of the gateways with an effect that is due."""

    async def has_lost_attempts(self) -> bool:
        """Whether an attempt's lease has run out."""

    async def lose_attempts(self, reason: str) -> list[str]:
        """Write *unknown* for attempts whose lease ran out; ids of their effects."""

    async def effects(
        self, tenant: str, *, state: Dispatch | None, channel: str | None, after: str | None, rows_max: int
    ) -> list[EffectView]:
        """A tenant's effects, the latest first; *after* is the id of the last one of the page before."""

    async def effect(self, tenant: str, effect_id: str) -> EffectView | None:
        """One effect of this tenant, or None."""

    async def anomalies(self, tenant: str, rows_max: int) -> list[Anomaly]:
        """A tenant's anomalies, the latest first."""

    async def unsettled(self, within: timedelta) -> int:
        """How many effects have an attempt under way, or are due for one *within* that time."""
