"""Removes what has been kept long enough, in batches, by the database's clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

import msgspec

from duly.errors import StoreError
from duly.ports.keeping import SWEPT_PER_BATCH_MAX, RetentionStore
from duly.ports.ledger_view import Place
from duly.states.retention import Retention, rule_for
from duly.telemetry import log

PAIRS_PER_BATCH_MAX: Final = 100
"""How many pairs of tenant and channel are looked up at once."""

Forget: TypeAlias = Callable[[str, Sequence[str]], Awaitable[None]]
"""Removes a tenant's files by their references; what is gone already is passed over."""


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep has removed."""

    contents: int
    """Effects whose address and request are gone now."""
    effects: int
    """Effects that are gone now."""


class RetentionSweep:
    """Applies the rules of retention. Several processes may sweep at once, and a sweep may end at any point."""

    def __init__(
        self,
        store: RetentionStore,
        rules: Sequence[Retention],
        *,
        forget: Forget | None = None,
        interval: timedelta = timedelta(hours=1),
        rows_max: int = SWEPT_PER_BATCH_MAX,
    ) -> None:
        """*forget* removes files that no effect refers to any more, before the effects do so no more."""
        self._store = store
        self._rules = tuple(rules)
        self._forget = forget
        self._interval = interval
        self._rows_max = rows_max
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin no further batch."""
        self._stopping.set()

    async def run(self) -> None:
        """Sweep at once, then at each interval, until `stop`."""
        while self._rules and not self._stopping.is_set():
            try:
                swept = await self.sweep()
                if swept.contents or swept.effects:
                    log(logging.INFO, "retention", contents=swept.contents, effects=swept.effects)
            except (StoreError, OSError) as error:
                log(logging.ERROR, "retention cannot be applied", error=type(error).__name__)
            try:
                async with asyncio.timeout(self._interval.total_seconds()):
                    await self._stopping.wait()
            except TimeoutError:
                pass

    async def sweep(self) -> Swept:
        """Remove all that has been kept long enough; how much. Raises `StoreError`, and what *forget* raises."""
        contents = effects = 0
        after = ("", "")
        while self._rules and not self._stopping.is_set():
            pairs = await self._store.kept_for(after, PAIRS_PER_BATCH_MAX)
            if not pairs:
                break
            for tenant, channel in pairs:
                rule = rule_for(self._rules, tenant, channel)
                if rule is not None:
                    contents += await self._drop_contents(tenant, channel, rule.contents)
                if rule is not None and rule.facts is not None:
                    effects += await self._drop_effects(tenant, channel, rule.facts)
            after = pairs[-1]
        return Swept(contents=contents, effects=effects)

    async def _drop_contents(self, tenant: str, channel: str, age: timedelta) -> int:
        dropped = 0
        after: tuple[int, str] | None = None
        while not self._stopping.is_set():
            old = await self._store.old_contents(tenant, channel, age, after, self._rows_max)
            if old.attachments and self._forget is not None:
                await self._forget(tenant, old.attachments)
            if old.effect_ids:
                dropped += await self._store.drop_contents(old.effect_ids)
            if old.after is None:
                break
            after = old.after
        return dropped

    async def _drop_effects(self, tenant: str, channel: str, age: timedelta) -> int:
        dropped = 0
        after: Place | None = None
        while not self._stopping.is_set():
            old = await self._store.old_effects(tenant, channel, age, after, self._rows_max)
            if old.effect_ids:
                await self._store.keep_keys(old.effect_ids)
                dropped += await self._store.drop_effects(old.effect_ids)
            if old.after is None:
                break
            after = old.after
        return dropped
