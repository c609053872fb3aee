"""The part of a SQL store that is about one tenant: its view, whom it does not write to, what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from duly.ports.keeping import ErasedEffects, OldContents, OldEffects, Pause, Resumed, Suppression
from duly.ports.ledger_view import Anomaly, EffectFilter, EffectView, Place
from duly.ports.outcomes import Hearers
from duly.states.effect import Dispatch
from duly.stores import erasing_scripts, retention_scripts, suppression_scripts, view_scripts
from duly.stores.audit_scripts import note_script
from duly.stores.engine import Engine


class SqlTenants:
    """View, suppression list, pause, retention and erasure."""

    _engine: Engine
    _hearers: Hearers

    # The view.

    async def effects(
        self, tenant: str, *, state: Dispatch | None, channel: str | None, after: str | None, rows_max: int
    ) -> list[EffectView]:
        """A page of a tenant's effects, after the effect *after*."""
        return await self._engine.read_together(
            lambda: view_scripts.effects_script(tenant, state, channel, after, rows_max)
        )

    async def page(
        self, tenant: str, wanted: EffectFilter, after: Place | None, rows_max: int
    ) -> tuple[list[EffectView], Place | None]:
        """A page of a tenant's effects, and where the next one goes on."""
        return await self._engine.read_together(lambda: view_scripts.page_script(tenant, wanted, after, rows_max))

    async def effect(self, tenant: str, effect_id: str) -> EffectView | None:
        """One effect of a tenant."""
        return await self._engine.read_together(lambda: view_scripts.effect_script(tenant, effect_id))

    async def anomalies(self, tenant: str, rows_max: int) -> list[Anomaly]:
        """A tenant's anomalies."""
        return await self._engine.read(lambda: view_scripts.anomalies_script(tenant, rows_max))

    # Whom it does not write to.

    async def suppress(self, tenant: str, channel: str, recipient_hash: str, *, reason: str, source: str) -> bool:
        """Put somebody on the suppression list."""
        return await self._engine.write(
            lambda: suppression_scripts.suppress_script(tenant, channel, recipient_hash, reason, source)
        )

    async def unsuppress(self, tenant: str, channel: str, recipient_hash: str, *, reason: str, by: str) -> bool:
        """Take somebody off the suppression list."""
        return await self._engine.write(
            lambda: suppression_scripts.unsuppress_script(tenant, channel, recipient_hash, reason, by)
        )

    async def suppression(self, tenant: str, channel: str, recipient_hash: str) -> Suppression | None:
        """One entry of the suppression list."""
        return await self._engine.read(lambda: suppression_scripts.suppression_script(tenant, channel, recipient_hash))

    async def suppressions(
        self, tenant: str, channel: str | None, after: tuple[str, str] | None, rows_max: int
    ) -> list[Suppression]:
        """A page of the suppression list."""
        return await self._engine.read(
            lambda: suppression_scripts.suppressions_script(tenant, channel, after, rows_max)
        )

    async def pause(self, tenant: str, *, reason: str, by: str) -> None:
        """Let a tenant's effects wait."""
        await self._engine.write(lambda: suppression_scripts.pause_script(tenant, reason, by))

    async def resume(self, tenant: str, *, reason: str, by: str) -> bool:
        """Let them wait no longer."""
        return await self._engine.write(lambda: suppression_scripts.resume_script(tenant, reason, by))

    async def paused(self, tenant: str) -> Pause | None:
        """Whether a tenant waits."""
        return await self._engine.read(lambda: suppression_scripts.paused_script(tenant))

    async def release_resumed(self, rows_max: int) -> Resumed:
        """Make effects due whose tenants are not paused any more."""
        return await self._engine.write(lambda: suppression_scripts.release_resumed_script(rows_max, self._hearers))

    # What is kept, and how long.

    async def kept_for(self, after: tuple[str, str], rows_max: int) -> list[tuple[str, str]]:
        """Pairs of tenant and channel for which there are effects."""
        return await self._engine.read_together(lambda: retention_scripts.kept_for_script(after, rows_max))

    async def old_contents(
        self, tenant: str, channel: str, age: timedelta, after: tuple[int, str] | None, rows_max: int
    ) -> OldContents:
        """Effects whose contents were kept long enough."""
        return await self._engine.read_together(
            lambda: retention_scripts.old_contents_script(tenant, channel, age, after, rows_max)
        )

    async def drop_contents(self, effect_ids: Sequence[str]) -> int:
        """Remove contents."""
        return await self._engine.write(lambda: retention_scripts.drop_contents_script(effect_ids))

    async def old_effects(
        self, tenant: str, channel: str, age: timedelta, after: Place | None, rows_max: int
    ) -> OldEffects:
        """Effects that were kept long enough."""
        return await self._engine.read(
            lambda: retention_scripts.old_effects_script(tenant, channel, age, after, rows_max)
        )

    async def keep_keys(self, effect_ids: Sequence[str]) -> None:
        """Remember the keys of effects."""
        await self._engine.write(lambda: retention_scripts.keep_keys_script(effect_ids))

    async def drop_effects(self, effect_ids: Sequence[str]) -> int:
        """Remove effects whose keys are remembered."""
        return await self._engine.write(lambda: retention_scripts.drop_effects_script(effect_ids))

    async def erase_messages(self, tenant: str, subject: str, rows_max: int) -> int:
        """Remove a person's fields from messages."""
        return await self._engine.write(lambda: erasing_scripts.erase_messages_script(tenant, subject, rows_max))

    async def erase_effects(self, tenant: str, subject: str, rows_max: int) -> ErasedEffects:
        """Remove a person's address and requests from effects."""
        return await self._engine.write(
            lambda: erasing_scripts.erase_effects_script(tenant, subject, rows_max, self._hearers)
        )

    async def note(self, tenant: str, *, verb: str, by: str, reason: str, detail: str) -> None:
        """Write down what somebody did."""
        await self._engine.write(lambda: note_script(tenant, verb=verb, by=by, reason=reason, detail=detail))
