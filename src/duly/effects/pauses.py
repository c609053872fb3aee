"""Lets the effects of a tenant wait, and go out again."""

from __future__ import annotations

from collections.abc import Callable

from duly.effects.words import checked_words
from duly.messages.identity import checked_tenant
from duly.ports.keeping import SWEPT_PER_BATCH_MAX, PauseStore


class Pauses:
    """Pauses and resumes tenants. Calls under way come to their end, look-ups go on, and nothing is attempted."""

    def __init__(self, store: PauseStore, *, on_done: Callable[[bool, bool], None]) -> None:
        """*on_done* hears whether outcomes were promised, and whether effects became due."""
        self._store = store
        self._on_done = on_done

    async def pause(self, tenant: str | None, *, reason: str, by: str) -> None:
        """Hold every effect of *tenant* from now on when it comes to be attempted. Raises `InvalidInput`."""
        checked_words("reason", reason, "invoice overdue")
        checked_words("by", by, "anna@example.com")
        await self._store.pause(checked_tenant(tenant), reason=reason, by=by)

    async def resume(self, tenant: str | None, *, by: str, reason: str = "resumed") -> bool:
        """Let go of what is held; False when *tenant* was not paused. Raises `InvalidInput`."""
        checked_words("reason", reason, "paid")
        checked_words("by", by, "anna@example.com")
        resumed = await self._store.resume(checked_tenant(tenant), reason=reason, by=by)
        await release_resumed(self._store, self._on_done)
        return resumed


async def release_resumed(store: PauseStore, on_done: Callable[[bool, bool], None]) -> None:
    """Make due what was held for tenants that are not paused any more, in batches."""
    while True:
        released = await store.release_resumed(SWEPT_PER_BATCH_MAX)
        if released.effects:
            on_done(released.has_promised, True)
        if not released.has_more:
            return
