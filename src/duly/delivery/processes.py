"""What one tenant's processes are doing, and have done. It is made for a tenant and cannot reach another's rows."""

from __future__ import annotations

from duly.domain.process_manager import ProcessManager
from duly.errors import InvalidInput, ProcessNotFound
from duly.messages.identity import checked_tenant
from duly.ports.processes import PROCESS_ROWS_MAX, ProcessHistory, ProcessStore, ProcessView


class TenantProcesses:
    """A tenant's processes. A process manager is named by its class, or by its oldest stored name."""

    def __init__(self, store: ProcessStore, tenant: str | None) -> None:
        self._store = store
        self.tenant = checked_tenant(tenant)

    async def page(
        self,
        process: type[ProcessManager] | str | None = None,
        *,
        after: ProcessView | tuple[str, str] | None = None,
        rows_max: int = 100,
    ) -> list[ProcessView]:
        """Processes by manager and id, ended ones included; *after* is the last of the page before, or its names.

        Raises `InvalidInput`.
        """
        if not 1 <= rows_max <= PROCESS_ROWS_MAX:
            raise InvalidInput(f"rows_max={rows_max} is no page. Use 1 to {PROCESS_ROWS_MAX:,}, and after=… for more.")
        place = (after.process, after.id) if isinstance(after, ProcessView) else after or ("", "")
        return await self._store.processes(
            self.tenant, None if process is None else stored_name(process), place, rows_max
        )

    async def history(self, process: type[ProcessManager] | str, process_id: str) -> ProcessHistory:
        """Everything that a process has heard and decided. Raises `ProcessNotFound`."""
        name = stored_name(process)
        steps = await self._store.process_steps(self.tenant, name, process_id)
        if not steps:
            raise ProcessNotFound(
                f"There is no process {name} {process_id!r} in tenant {self.tenant!r}, or LogRetention has removed its "
                "history. A manager goes by its oldest stored name: duly processes list."
            )
        return ProcessHistory(process=name, id=process_id, steps=tuple(steps))


def stored_name(process: type[ProcessManager] | str) -> str:
    """The oldest stored name of a process manager."""
    if isinstance(process, str):
        return process
    facts = process.__duly__
    return facts.formerly[-1] if facts.formerly else facts.name
