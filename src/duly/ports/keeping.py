"""What is kept about people, who is not written to, and who waits: what the ledger needs of a store for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from duly.ports.ledger_view import Place

SWEPT_PER_BATCH_MAX: Final = 500
"""How many effects of a sweep, a resumption or an erasure share a commit."""


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom a tenant's messages no longer go to on one channel. The address is not kept, only its hash."""

    channel: str
    recipient_hash: str
    reason: str
    source: str
    """Where it comes from: a person, a form, a provider."""
    at: datetime


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's effects wait until a person resumes them."""

    reason: str
    by: str
    at: datetime


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """Effects that no longer wait for a paused tenant; with *has_more* there are others."""

    effects: int
    has_more: bool
    has_promised: bool


class OldContents(msgspec.Struct, frozen=True, kw_only=True):
    """Effects whose contents were kept long enough."""

    effect_ids: tuple[str, ...]
    attachments: tuple[str, ...]
    """References of files that nothing but these effects refers to."""
    after: tuple[int, str] | None
    """Where the next batch goes on; None when there is none."""


class OldEffects(msgspec.Struct, frozen=True, kw_only=True):
    """Effects that were kept long enough."""

    effect_ids: tuple[str, ...]
    after: Place | None
    """Where the next batch goes on; None when there is none."""


class ErasedEffects(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of effects whose contents were erased; with *has_more* there are others."""

    effects: int
    cancelled: int
    """Those of them that still waited."""
    has_more: bool
    has_promised: bool


class SuppressionStore(Protocol):
    """The suppression list, by hashes."""

    async def suppress(self, tenant: str, channel: str, recipient_hash: str, *, reason: str, source: str) -> bool:
        """Put somebody on the list; False when he was on it, with another reason perhaps, which is replaced."""

    async def unsuppress(self, tenant: str, channel: str, recipient_hash: str, *, reason: str, by: str) -> bool:
        """Take somebody off the list; False when he was not on it."""

    async def suppression(self, tenant: str, channel: str, recipient_hash: str) -> Suppression | None:
        """The entry of this hash, or None."""

    async def suppressions(
        self, tenant: str, channel: str | None, after: tuple[str, str] | None, rows_max: int
    ) -> list[Suppression]:
        """A tenant's entries by channel and hash; *after* are those of the last one of the page before."""


class PauseStore(Protocol):
    """Tenants that wait."""

    async def pause(self, tenant: str, *, reason: str, by: str) -> None:
        """Let this tenant's effects wait from now on."""

    async def resume(self, tenant: str, *, reason: str, by: str) -> bool:
        """Let them wait no longer; False when they did not."""

    async def paused(self, tenant: str) -> Pause | None:
        """Since when and why this tenant waits, or None."""

    async def release_resumed(self, rows_max: int) -> Resumed:
        """Make effects due that were held for a tenant which is not paused (any more)."""


class RetentionStore(Protocol):
    """What has been kept long enough. Ages are by the database's clock, since an effect's last change of state."""

    async def kept_for(self, after: tuple[str, str], rows_max: int) -> list[tuple[str, str]]:
        """Pairs of tenant and channel for which there are effects, in order, after this pair."""

    async def old_contents(
        self, tenant: str, channel: str, age: timedelta, after: tuple[int, str] | None, rows_max: int
    ) -> OldContents:
        """Effects in a final state that are older than *age* and have their contents still."""

    async def drop_contents(self, effect_ids: Sequence[str]) -> int:
        """Remove address, summary and request of effects in a final state, and what receipts tell in detail."""

    async def old_effects(
        self, tenant: str, channel: str, age: timedelta, after: Place | None, rows_max: int
    ) -> OldEffects:
        """Effects in a final state that are older than *age* and await no report."""

    async def keep_keys(self, effect_ids: Sequence[str]) -> None:
        """Remember the keys of effects, so that a replay of their causes meets them when they are gone."""

    async def drop_effects(self, effect_ids: Sequence[str]) -> int:
        """Remove effects whose keys are remembered, with attempts, look-ups and receipts."""


class ErasingStore(Protocol):
    """What is erased of one person, in batches. All of it may be repeated."""

    async def erase_messages(self, tenant: str, subject: str, rows_max: int) -> int:
        """Remove personal fields of messages; how many of these had some."""

    async def erase_effects(self, tenant: str, subject: str, rows_max: int) -> ErasedEffects:
        """Remove address and request of effects; cancel what waits, and let nothing be tried again."""

    async def note(self, tenant: str, *, verb: str, by: str, reason: str, detail: str) -> None:
        """Write down what somebody did."""


class KeepingStore(SuppressionStore, PauseStore, RetentionStore, ErasingStore, Protocol):
    """All of it."""
