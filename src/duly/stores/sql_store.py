"""What both SQL stores have in common: every operation is a script, and an engine runs it in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from duly.ports.change import Repeat
from duly.ports.ledger import LookUpDue, LookUpEnded, Lost, LostSettler, OpenBreaker, Turn, Turned
from duly.ports.outcomes import Hearers
from duly.ports.store import (
    Due,
    Look,
    Mark,
    Notice,
    Ownership,
    Parked,
    Seen,
    StoredDocument,
    Subscription,
    Unfinished,
)
from duly.stores import attempt_ends, ledger_scripts, look_up_scripts, outbox_scripts
from duly.stores.archive_scripts import SqlArchive
from duly.stores.commit_script import inbox_script
from duly.stores.engine import Engine
from duly.stores.history_scripts import SqlHistories
from duly.stores.housekeeping_scripts import SqlHousekeeping
from duly.stores.later_scripts import SqlLater
from duly.stores.log_scripts import SqlLog
from duly.stores.outbox_looks import look_script, mark_script
from duly.stores.process_scripts import SqlProcesses
from duly.stores.receipt_scripts import SqlReceipts
from duly.stores.replay_scripts import SqlReplay
from duly.stores.script import Script, Statement
from duly.stores.sql_operations import SqlOperations
from duly.stores.sql_projections import SqlProjections
from duly.stores.sql_tenants import SqlTenants
from duly.stores.stream_scripts import SqlStreams
from duly.stores.turn_script import turn_script

SELECT_DOCUMENT: Final = (
    "SELECT id, version, schema, body FROM duly.document WHERE tenant = :tenant AND type = :type AND id = :id"
)
# The slot is the id, or there is one row: so this is the order of ids, and the primary key's. The LEFT JOIN, and the
# whole key out of the subquery, leave PostgreSQL one way, by primary key; else, without statistics, it goes through all
# documents of the type.
SELECT_DOCUMENTS_BY: Final = """
SELECT d.id, d.version, d.schema, d.body
  FROM (SELECT tenant, type, slot, id FROM duly.entry
         WHERE tenant = :tenant AND type = :type AND field = :field AND value = :value
         ORDER BY slot LIMIT :rows_max) AS e
  LEFT JOIN duly.document AS d ON d.tenant = e.tenant AND d.type = e.type AND d.id = e.id
 ORDER BY e.slot
"""


def document_script(tenant: str, type_name: str, document_id: str) -> Script[StoredDocument | None]:
    """One document."""
    found = yield Statement(SELECT_DOCUMENT, {"tenant": tenant, "type": type_name, "id": document_id})
    for row in found.rows:
        return StoredDocument(*row)
    return None


def documents_by_script(
    tenant: str, type_name: str, field: str, value: str, rows_max: int
) -> Script[list[StoredDocument]]:
    """The documents that a findable value belongs to."""
    found = yield Statement(
        SELECT_DOCUMENTS_BY,
        {"tenant": tenant, "type": type_name, "field": field, "value": value, "rows_max": rows_max},
    )
    return [StoredDocument(*row) for row in found.rows if row[0] is not None]


def unfinished_script(within: timedelta) -> Script[Unfinished]:
    """What there is still to do."""
    undelivered = yield from outbox_scripts.undelivered_script(within)
    unsettled = yield from ledger_scripts.unsettled_script(within)
    return Unfinished(undelivered, unsettled)


class SqlStore(
    SqlArchive,
    SqlHistories,
    SqlHousekeeping,
    SqlLater,
    SqlLog,
    SqlOperations,
    SqlProcesses,
    SqlProjections,
    SqlReceipts,
    SqlReplay,
    SqlStreams,
    SqlTenants,
):
    """The parts of the store port that are the same on every SQL database."""

    _engine: Engine
    _hearers: Hearers = {}

    # Reading.

    async def document(self, tenant: str, type_name: str, document_id: str) -> StoredDocument | None:
        """One document, or None."""
        return await self._engine.read(lambda: document_script(tenant, type_name, document_id))

    async def documents_by(
        self, tenant: str, type_name: str, field: str, value: str, rows_max: int
    ) -> list[StoredDocument]:
        """The documents that a findable value belongs to, by id."""
        return await self._engine.read(lambda: documents_by_script(tenant, type_name, field, value, rows_max))

    async def inbox_row(self, tenant: str, command_id: str) -> Repeat | None:
        """What an earlier execution of this command left, or None."""
        return await self._engine.read(lambda: inbox_script(tenant, command_id))

    # The outbox.

    async def subscribe(self, subscriptions: Sequence[Subscription]) -> dict[str, int]:
        """The stable number of each subscriber by name."""
        return await self._engine.write(lambda: outbox_scripts.subscribe_script(subscriptions))

    async def own_buckets(self, owner: str, lease: timedelta, *, let_go: Sequence[int]) -> Ownership:
        """Renew leases, let go of some buckets, take free ones."""
        return await self._engine.write(lambda: outbox_scripts.own_buckets_script(owner, lease, let_go))

    async def disown(self, owner: str) -> None:
        """Let go of all of *owner*'s buckets."""
        await self._engine.write(lambda: outbox_scripts.disown_script(owner))

    async def look(self, look: Look) -> Seen:
        """Outbox rows that may be delivered now."""
        return await self._engine.read(lambda: look_script(look))

    async def mark(self) -> Mark:
        """How far rows are numbered by now."""
        return await self._engine.read(mark_script)

    async def hold(self, due: Due, token: str, *, attempts: int, wait: timedelta, reason: str) -> bool:
        """Put a lane on hold."""
        return await self._engine.write(lambda: outbox_scripts.hold_script(due, token, attempts, wait, reason))

    async def park(self, due: Due, token: str, *, attempts: int, reason: str, notice: Notice | None = None) -> bool:
        """Move a row to the parked ones, with a notice of it."""
        return await self._engine.write(lambda: outbox_scripts.park_script(due, token, attempts, reason, notice))

    async def parked(self, tenant: str, rows_max: int) -> list[Parked]:
        """A tenant's parked messages."""
        return await self._engine.read(lambda: outbox_scripts.parked_script(tenant, rows_max))

    async def unpark(self, tenant: str, parked_id: int) -> bool:
        """Put a parked message back at the end of its lane."""
        return await self._engine.write(lambda: outbox_scripts.unpark_script(tenant, parked_id))

    async def undelivered(self, within: timedelta) -> int:
        """How many promises are not kept yet."""
        return await self._engine.read(lambda: outbox_scripts.undelivered_script(within))

    async def unfinished(self, within: timedelta) -> Unfinished:
        """What there is still to do, as of one moment."""
        return await self._engine.read_together(lambda: unfinished_script(within))

    # The ledger.

    def outcomes_heard_by(self, hearers: Hearers) -> None:
        """From now on promise outcomes to these subscribers."""
        self._hearers = dict(hearers)

    async def turn(self, turn: Turn) -> Turned:
        """Write outcomes down and commit the next attempts."""
        return await self._engine.write(lambda: turn_script(turn, self._hearers))

    async def due_gateways(self) -> list[str]:
        """Names of the gateways with an effect that is due."""
        return await self._engine.read(lambda: ledger_scripts.due_gateways_script())

    async def has_lost_attempts(self) -> bool:
        """Whether a lease has run out."""
        return await self._engine.read(lambda: attempt_ends.has_lost_attempts())

    async def lose_attempts(self, reason: str, settle: LostSettler) -> Lost:
        """Write *unknown* for attempts whose lease ran out, then apply the policy."""
        return await self._engine.write(lambda: attempt_ends.lose_attempts(reason, settle, self._hearers))

    async def claim_look_ups(self, gateway: str, slots: int, *, token: str, lease: timedelta) -> list[LookUpDue]:
        """Take unknown effects that are due to be looked up."""
        return await self._engine.write(lambda: look_up_scripts.claim_look_ups_script(gateway, slots, token, lease))

    async def end_look_ups(self, ended: Sequence[LookUpEnded]) -> Turned:
        """Write down what look-ups came to."""
        return await self._engine.write(lambda: look_up_scripts.end_look_ups_script(ended, self._hearers))

    async def expire(self) -> bool:
        """Close what has run out of time."""
        return await self._engine.write(lambda: look_up_scripts.expire_script(self._hearers))

    async def breakers(self) -> list[OpenBreaker]:
        """Every open breaker."""
        return await self._engine.read(lambda: ledger_scripts.breakers_script())

    async def fact(self, name: str) -> str:
        """A fact that this database alone knows."""
        return await self._engine.read(lambda: ledger_scripts.fact_script(name))

    async def unsettled(self, within: timedelta) -> int:
        """How many effects are under way or about to be."""
        return await self._engine.read(lambda: ledger_scripts.unsettled_script(within))
