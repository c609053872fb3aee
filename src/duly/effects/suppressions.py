"""Whom a tenant's messages no longer go to: looked at before each attempt. Only a keyed hash of an address is kept."""

from __future__ import annotations

from collections.abc import Callable

from duly.effects.words import checked_words
from duly.errors import InvalidInput
from duly.messages.identity import checked_tenant, recipient_hash
from duly.ports.keeping import Suppression, SuppressionStore
from duly.ports.ledger_view import PAGE_ROWS_MAX


class SuppressionList:
    """One tenant's list, by channel and address. It survives the erasure of a person: it holds no address."""

    def __init__(
        self,
        store: SuppressionStore,
        tenant: str | None,
        *,
        hash_key: str,
        written_as: Callable[[str, str], str] = lambda channel, recipient: recipient,
    ) -> None:
        """*hash_key* is this database's own. *written_as* gives an address of a channel as its gateway writes it."""
        self.tenant = checked_tenant(tenant)
        self._store = store
        self._hash_key = hash_key
        self._written_as = written_as

    async def add(self, channel: str, recipient: str, *, reason: str, source: str = "a person") -> bool:
        """Send nothing more to *recipient* on *channel*; False when that was so already, then *reason* is replaced.

        Whatever is not attempted yet becomes ``suppressed`` with this reason. What is unknown stays so, and is not
        tried again. Raises `InvalidInput`, `InvalidField` for an address that the channel cannot have.
        """
        checked_words("reason", reason, "asked us to stop")
        checked_words("source", source, "the support desk")
        return await self._store.suppress(
            self.tenant, channel, self._hash(channel, recipient), reason=reason, source=source
        )

    async def remove(self, channel: str, recipient: str, *, reason: str, by: str) -> bool:
        """Let later effects through again; False when *recipient* was not on the list. What is closed stays closed."""
        checked_words("reason", reason, "subscribed again")
        checked_words("by", by, "anna@example.com")
        return await self._store.unsuppress(self.tenant, channel, self._hash(channel, recipient), reason=reason, by=by)

    async def find(self, channel: str, recipient: str) -> Suppression | None:
        """Since when and why nothing goes to *recipient*; None when it does."""
        return await self._store.suppression(self.tenant, channel, self._hash(channel, recipient))

    async def page(
        self, channel: str | None = None, *, after: Suppression | None = None, rows_max: int = 100
    ) -> list[Suppression]:
        """Entries by channel and hash; *after* is the last one of the page before."""
        if not 1 <= rows_max <= PAGE_ROWS_MAX:
            raise InvalidInput(f"rows_max is {rows_max}; a page has 1 to {PAGE_ROWS_MAX:,} rows.")
        place = None if after is None else (after.channel, after.recipient_hash)
        return await self._store.suppressions(self.tenant, channel, place, rows_max)

    def _hash(self, channel: str, recipient: str) -> str:
        checked_words("channel", channel, "sms")
        checked_words("recipient", recipient, "+49 151 23456789")
        return recipient_hash(self._hash_key, channel, self._written_as(channel, recipient))
