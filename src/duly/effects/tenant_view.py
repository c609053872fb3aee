"""What one tenant sees of the ledger. It is made for a tenant and cannot reach another's rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from duly.effects.cursors import cursor_of, place_of
from duly.effects.export import csv_of, json_lines_of
from duly.errors import EffectNotFound, InvalidInput
from duly.messages.identity import checked_tenant
from duly.ports.keeping import Pause
from duly.ports.ledger import LedgerStore
from duly.ports.ledger_view import (
    PAGE_ROWS_MAX,
    Anomaly,
    EffectFilter,
    EffectPage,
    EffectView,
)
from duly.states.effect import Dispatch

EXPORT_PAGE_ROWS: Final = 500
"""How many effects an export has in hand at once."""
EVERYTHING: Final = EffectFilter()


class TenantLedger:
    """A tenant's effects: state, attempts, times, and the chain of causes back to the command."""

    def __init__(self, store: LedgerStore, tenant: str | None) -> None:
        self._store = store
        self.tenant = checked_tenant(tenant)

    async def page(
        self, wanted: EffectFilter = EVERYTHING, *, after: str | None = None, rows_max: int = 100
    ) -> EffectPage:
        """A page of the effects that fit *wanted*, the latest first; *after* is `next` of the page before.

        While `next` is given there may be more, also when this page holds fewer than *rows_max*, or none: a page looks
        at a bounded number of rows, however many there are. Raises `InvalidInput`.
        """
        _check_rows_max(rows_max)
        wanted.check()
        place = None if after is None else place_of(after)
        effects, following = await self._store.page(self.tenant, wanted, place, rows_max)
        return EffectPage(effects=tuple(effects), next=None if following is None else cursor_of(following))

    async def effects(
        self,
        *,
        state: Dispatch | None = None,
        channel: str | None = None,
        after: str | None = None,
        rows_max: int = 100,
    ) -> list[EffectView]:
        """The latest effects in a state or of a channel; *after* is the id of the last one that was shown before.

        `page` has all filters, and its cursors outlive the effects that they came from. Raises `InvalidInput`.
        """
        _check_rows_max(rows_max)
        EffectFilter(states=() if state is None else (state,), channel=channel).check()
        return await self._store.effects(self.tenant, state=state, channel=channel, after=after, rows_max=rows_max)

    async def effect(self, effect_id: str) -> EffectView:
        """One effect. Raises `EffectNotFound`."""
        found = await self._store.effect(self.tenant, effect_id)
        if found is None:
            raise EffectNotFound(f"Tenant {self.tenant!r} has no effect {effect_id!r:.100}.")
        return found

    async def all_effects(self) -> list[EffectView]:
        """Every effect of the tenant, the latest first, read page by page."""
        return [effect async for page in self._pages(EVERYTHING, PAGE_ROWS_MAX) for effect in page]

    def export_csv(self, wanted: EffectFilter = EVERYTHING) -> AsyncIterator[str]:
        """The effects that fit *wanted* as CSV (RFC 4180) with a header, in pieces.

        A value that a spreadsheet would take for a formula gets an apostrophe in front, phone numbers too (``'+49…``).
        """
        return csv_of(self._pages(wanted, EXPORT_PAGE_ROWS))

    def export_json_lines(self, wanted: EffectFilter = EVERYTHING) -> AsyncIterator[str]:
        """The effects that fit *wanted* as JSON, one per line, with all that the view shows."""
        return json_lines_of(self._pages(wanted, EXPORT_PAGE_ROWS))

    async def anomalies(self, *, rows_max: int = 100) -> list[Anomaly]:
        """What should not have been, the latest first."""
        _check_rows_max(rows_max)
        return await self._store.anomalies(self.tenant, rows_max)

    async def paused(self) -> Pause | None:
        """Why, and since when, the tenant's effects wait; None when they do not."""
        return await self._store.paused(self.tenant)

    async def _pages(self, wanted: EffectFilter, rows_max: int) -> AsyncIterator[tuple[EffectView, ...]]:
        after: str | None = None
        while True:
            page = await self.page(wanted, after=after, rows_max=rows_max)
            yield page.effects
            after = page.next
            if after is None:
                return


def _check_rows_max(rows_max: int) -> None:
    if not 1 <= rows_max <= PAGE_ROWS_MAX:
        raise InvalidInput(f"rows_max is {rows_max}; a page has 1 to {PAGE_ROWS_MAX:,} rows.")
