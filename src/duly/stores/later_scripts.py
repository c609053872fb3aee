"""Promises that wait for their time, as scripts."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from duly.clock import from_milliseconds, time_of
from duly.ports.later import Waiting
from duly.stores.commit_script import DELETE_LATER
from duly.stores.engine import Engine
from duly.stores.script import Script, Statement, json_rows

SELECT_NEXT_DUE: Final = "SELECT min(due_ms) - duly.now_ms() FROM duly.later"
# What is locked is being promoted, or withdrawn, by somebody else.
SELECT_DUE_NOW: Final = """
SELECT tenant, id, subscriber_no, bucket, lane, commit_id, ordinal FROM duly.later
 WHERE due_ms <= duly.now_ms() ORDER BY due_ms, commit_id, ordinal LIMIT :rows_max
   FOR UPDATE SKIP LOCKED
"""
# The lists keep PostgreSQL from reading all of the table.
DELETE_PROMOTED: Final = """
DELETE FROM duly.later
 WHERE tenant = ANY(:tenants) AND id = ANY(:ids)
   AND (tenant, id) IN (SELECT r.of_tenant, r.of_id FROM JSON_ROWS(:rows, of_tenant text, of_id text) AS r)
"""
INSERT_PROMOTED: Final = """
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
SELECT r.subscriber, r.bucket, r.lane, r.commit_id, r.ordinal
  FROM JSON_ROWS(:rows, place integer, subscriber integer, bucket integer, lane text, commit_id bigint,
                 ordinal integer) AS r
 ORDER BY r.place
"""
SELECT_WAITING: Final = """
SELECT l.id, m.name, s.name, l.due_ms FROM duly.later AS l
  JOIN duly.message AS m ON m.commit_id = l.commit_id AND m.ordinal = l.ordinal
  JOIN duly.subscriber AS s ON s.no = l.subscriber_no
 WHERE l.tenant = :tenant ORDER BY l.due_ms, l.id LIMIT :rows_max
"""


def next_due_script() -> Script[timedelta | None]:
    """How long until the next one is due."""
    found = yield Statement(SELECT_NEXT_DUE)
    wait_ms: int | None = found.rows[0][0]
    return None if wait_ms is None else from_milliseconds(wait_ms)


def promote_script(rows_max: int) -> Script[int]:
    """Put what is due into the outbox."""
    found = yield Statement(SELECT_DUE_NOW, {"rows_max": rows_max})
    if not found.rows:
        return 0
    yield Statement(
        DELETE_PROMOTED,
        {
            "tenants": sorted({r[0] for r in found.rows}),
            "ids": [r[1] for r in found.rows],
            "rows": json_rows([{"of_tenant": r[0], "of_id": r[1]} for r in found.rows]),
        },
    )
    promoted = [
        {"place": place, "subscriber": r[2], "bucket": r[3], "lane": r[4], "commit_id": r[5], "ordinal": r[6]}
        for place, r in enumerate(found.rows)
    ]
    yield Statement(INSERT_PROMOTED, {"rows": json_rows(promoted)})
    return len(found.rows)


def cancel_later_script(tenant: str, later_id: str) -> Script[bool]:
    """Withdraw one that waits."""
    deleted = yield Statement(DELETE_LATER, {"tenant": tenant, "ids": [later_id]})
    return bool(deleted.changed)


def waiting_script(tenant: str, rows_max: int) -> Script[list[Waiting]]:
    """A tenant's messages that wait, the next one first."""
    found = yield Statement(SELECT_WAITING, {"tenant": tenant, "rows_max": rows_max})
    return [Waiting(id=row[0], message_name=row[1], subscriber=row[2], due_at=time_of(row[3])) for row in found.rows]


class SqlLater:
    """The part of the store port that is about promises for later."""

    _engine: Engine

    async def next_due(self) -> timedelta | None:
        """How long until the next one is due; None when nothing waits."""
        return await self._engine.read(next_due_script)

    async def promote(self, rows_max: int) -> int:
        """Put what is due into the outbox; how many."""
        return await self._engine.write(lambda: promote_script(rows_max))

    async def cancel_later(self, tenant: str, later_id: str) -> bool:
        """Withdraw one that waits."""
        return await self._engine.write(lambda: cancel_later_script(tenant, later_id))

    async def waiting(self, tenant: str, rows_max: int) -> list[Waiting]:
        """A tenant's messages that wait."""
        return await self._engine.read(lambda: waiting_script(tenant, rows_max))
