"""What one tenant sees of the ledger. It is made for a tenant and cannot reach another's rows."""

from __future__ import annotations

from typing import Final

from duly.errors import EffectNotFound, InvalidInput
from duly.messages.identity import checked_tenant
from duly.ports.ledger import LedgerStore
from duly.ports.ledger_view import Anomaly, EffectView
from duly.states.effect import Dispatch

PAGE_ROWS_MAX: Final = 1_000


class TenantLedger:
    """A tenant's effects: state, attempts, times, and the chain of causes back to the command."""

    def __init__(self, store: LedgerStore, tenant: str | None) -> None:
        self._store = store
        self.tenant = checked_tenant(tenant)

    async def effects(
        self,
        *,
        state: Dispatch | None = None,
        channel: str | None = None,
        after: str | None = None,
        rows_max: int = 100,
    ) -> list[EffectView]:
        """A page of effects, the latest first; *after* is the id of the last one of the page before."""
        if not 1 <= rows_max <= PAGE_ROWS_MAX:
            raise InvalidInput(f"rows_max is {rows_max}; a page has 1 to {PAGE_ROWS_MAX:,} rows.")
        return await self._store.effects(self.tenant, state=state, channel=channel, after=after, rows_max=rows_max)

    async def effect(self, effect_id: str) -> EffectView:
        """One effect. Raises `EffectNotFound`."""
        found = await self._store.effect(self.tenant, effect_id)
        if found is None:
            raise EffectNotFound(f"Tenant {self.tenant!r} has no effect {effect_id!r}.")
        return found

    async def all_effects(self) -> list[EffectView]:
        """Every effect of the tenant, the latest first, read page by page."""
        found: list[EffectView] = []
        while True:
            page = await self.effects(after=found[-1].id if found else None, rows_max=PAGE_ROWS_MAX)
            found += page
            if len(page) < PAGE_ROWS_MAX:
                return found

    async def anomalies(self, *, rows_max: int = 100) -> list[Anomaly]:
        """What should not have been, the latest first."""
        return await self._store.anomalies(self.tenant, rows_max)
