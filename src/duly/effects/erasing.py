"""Erases one person: what identifies them goes everywhere that is duly's own, and the facts stay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

from duly.effects.words import checked_words
from duly.messages.identity import checked_tenant, recipient_hash
from duly.ports.keeping import SWEPT_PER_BATCH_MAX, ErasingStore

SUBJECT: Final = "subject"
"""Takes the place of a channel in the hash of a subject."""

EraseFiles: TypeAlias = Callable[[str, str], Awaitable[None]]
"""Removes all files of a tenant's subject; nothing there is fine."""


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased of a person."""

    messages: int
    """Events and public events that had personal fields."""
    effects: int
    """Effects that had an address and a request."""
    cancelled: int
    """Those of them that still waited; they are not sent."""


class Eraser:
    """Erases persons, by the subject under which messages and effects keep what is personal."""

    def __init__(
        self,
        store: ErasingStore,
        *,
        hash_key: str,
        on_done: Callable[[bool, bool], None],
        erase_files: EraseFiles | None = None,
        rows_max: int = SWEPT_PER_BATCH_MAX,
    ) -> None:
        """*hash_key* is this database's own; *on_done* hears whether outcomes were promised."""
        self._store = store
        self._hash_key = hash_key
        self._on_done = on_done
        self._erase_files = erase_files
        self._rows_max = rows_max

    async def erase(self, subject: str, *, tenant: str | None, by: str, reason: str) -> Erased:
        """Erase *subject* in *tenant*; what was found of it. It may be repeated.

        The order and its end are written down, with a keyed hash in place of the subject: whoever asks about this
        subject can be answered, and nobody can read it there. Raises `InvalidInput`, `StoreError`, and what
        *erase_files* raises: then repeat it.
        """
        tenant = checked_tenant(tenant)
        checked_words(SUBJECT, subject, "Customer/c-1")
        checked_words("by", by, "anna@example.com")
        checked_words("reason", reason, "asked for it, ticket 4711")
        who = f"subject {self.hash_of(subject)}"
        await self._store.note(tenant, verb="erase", by=by, reason=reason, detail=who)
        if self._erase_files is not None:
            await self._erase_files(tenant, subject)
        messages = await self._messages(tenant, subject)
        effects, cancelled = await self._effects(tenant, subject)
        counts = f"{messages} messages, {effects} effects, {cancelled} of them cancelled"
        await self._store.note(tenant, verb="erased", by=by, reason=reason, detail=f"{who}: {counts}")
        return Erased(messages=messages, effects=effects, cancelled=cancelled)

    def hash_of(self, subject: str) -> str:
        """What stands for *subject* in the audit table."""
        return recipient_hash(self._hash_key, SUBJECT, subject)

    async def _messages(self, tenant: str, subject: str) -> int:
        erased = 0
        while True:
            batch = await self._store.erase_messages(tenant, subject, self._rows_max)
            erased += batch
            if batch < self._rows_max:
                return erased

    async def _effects(self, tenant: str, subject: str) -> tuple[int, int]:
        erased = cancelled = 0
        while True:
            batch = await self._store.erase_effects(tenant, subject, self._rows_max)
            erased, cancelled = erased + batch.effects, cancelled + batch.cancelled
            if batch.has_promised:
                self._on_done(True, False)
            if not batch.has_more:
                return erased, cancelled
