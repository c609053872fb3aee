"""The part of a SQL store that operators need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from duly.ports.ledger_view import AuditRow, EffectFilter
from duly.ports.operations import Aim, Counted, Operation, OperationsWritten, Verb
from duly.ports.outcomes import Hearers
from duly.states.policy import Keeps
from duly.stores.engine import Engine
from duly.stores.operation_scripts import audit_script, count_script, operate_script


class SqlOperations:
    """What people do to effects."""

    _engine: Engine
    _hearers: Hearers

    async def operate(self, operation: Operation, aims: Sequence[Aim], keeps: Mapping[str, Keeps]) -> OperationsWritten:
        """Carry an operation out on each of *aims* that it fits, each with its audit row."""
        return await self._engine.write(lambda: operate_script(operation, aims, keeps, self._hearers))

    async def count_for(self, tenant: str, verb: Verb, wanted: EffectFilter, rows_max: int) -> list[Counted]:
        """A tenant's effects that match and that *verb* may fit, the oldest first."""
        return await self._engine.read_together(lambda: count_script(tenant, verb, wanted, rows_max))

    async def audit(self, tenant: str, *, effect_id: str | None, rows_max: int) -> list[AuditRow]:
        """What people did in a tenant, or to one of its effects; the latest first."""
        return await self._engine.read(lambda: audit_script(tenant, effect_id, rows_max))
