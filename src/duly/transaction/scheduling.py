"""Commands that are to be executed later: promised now, under an id of the caller's, and kept by the relay."""

from __future__ import annotations

from uuid import uuid4

import msgspec

from duly.errors import CommandIdReused, TransactionVoid
from duly.messages.envelope import Envelope
from duly.messages.identity import bucket_of, checked_tenant, lane_of
from duly.messages.message import Command
from duly.ports.change import Change, Done, InboxWrite, Later, Promise, Repeat, Void
from duly.ports.later import LaterStore, Waiting
from duly.ports.store import Committing
from duly.transaction.command_bus import CommandBus
from duly.work.moments import Moment, milliseconds_of
from duly.work.routes import COMMAND_TAKER, Routes
from duly.work.unit_of_work import OnCommit

WAITING_ROWS_MAX = 1_000


class Scheduler:
    """Schedules commands, and withdraws them while they wait."""

    def __init__(
        self, routes: Routes, store: Committing, later: LaterStore, commands: CommandBus, *, on_commit: OnCommit
    ) -> None:
        self._routes = routes
        self._store = store
        self._later = later
        self._commands = commands
        self._on_commit = on_commit

    async def schedule(
        self, command: Command[object], *, at: Moment, tenant: str | None, command_id: str | None
    ) -> str:
        """Promise that *command* is executed at *at*, at the earliest; the id by which it may be cancelled.

        The same *command_id* is promised once per tenant. Raises `InvalidInput`, `CommandIdReused`, `StoreError`.
        """
        execution = self._commands.admit(command, checked_tenant(tenant), command_id)
        tenant, later_id = execution.envelope.tenant, execution.command_id
        at_ms, after_ms = milliseconds_of("at", at)
        encoded = self._routes.catalog.codec(type(command)).encode(command)
        envelope: Envelope = msgspec.structs.replace(
            execution.envelope, body=encoded.body, personal=encoded.personal, handler="duly.schedule"
        )
        lane = lane_of(tenant, envelope.id)
        later = Later(id=later_id, at_ms=at_ms, after_ms=after_ms or 0)
        verdict = await self._store.commit(
            Change(
                tenant=tenant,
                inbox=InboxWrite(
                    id=later_id,
                    name=f"schedule {envelope.name}",
                    digest=execution.digest,
                    token=uuid4().hex,
                    result="null",
                    keep=self._commands.inbox_keep,
                ),
                messages=(envelope,),
                promises=(Promise(0, self._routes.number(COMMAND_TAKER), lane, bucket_of(lane), later),),
            )
        )
        match verdict:
            case Done():
                self._on_commit(True, False)
            case Repeat(name=name, digest=digest) if name != f"schedule {envelope.name}" or digest != execution.digest:
                raise CommandIdReused(
                    f"The id {later_id!r} was used before in tenant {tenant!r}, for another command or another use: "
                    f"{name}. Give each new command an id of its own."
                )
            case Repeat():
                pass
            case Void(reason=reason):
                raise TransactionVoid(reason)
            case _:
                raise AssertionError(f"a change without documents met {verdict!r}")
        return later_id

    async def cancel(self, later_id: str, *, tenant: str | None) -> bool:
        """Withdraw what waits under this id; False when nothing does: it went its way, or never was."""
        return await self._later.cancel_later(checked_tenant(tenant), later_id)

    async def waiting(self, tenant: str | None) -> list[Waiting]:
        """What waits for its time, the next first, `WAITING_ROWS_MAX` at most."""
        return await self._later.waiting(checked_tenant(tenant), WAITING_ROWS_MAX)
