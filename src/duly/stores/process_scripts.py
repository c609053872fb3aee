"""Processes and their histories, as scripts."""

from __future__ import annotations

from typing import Final

import msgspec

from duly.clock import time_of
from duly.messages.envelope import Kind
from duly.ports.processes import PROCESS_DOCUMENT, ProcessStepView, ProcessView
from duly.stores.engine import Engine
from duly.stores.script import Script, Statement

# By primary key, from a place on. '/' follows '.' in the order of bytes: what lies between begins with the prefix.
SELECT_PROCESSES: Final = """
SELECT type, id, schema, body FROM duly.document
 WHERE tenant = :tenant AND type >= :first AND type < :behind AND (type, id) > (:after_type, :after_id)
 ORDER BY type, id LIMIT :rows_max
"""
SELECT_STEPS: Final = """
SELECT s.number, s.message_id, s.kind, s.name, s.version, s.body, p.body, s.decision, s.at_ms
  FROM duly.process_step AS s
  LEFT JOIN duly.personal AS p ON p.message_id = s.message_id AND p.tenant = s.tenant
 WHERE s.tenant = :tenant AND s.process = :process AND s.id = :id
 ORDER BY s.number
"""
# A range of the primary key, the history of one process; asked only of processes that have heard much.
SELECT_HEARD: Final = """
SELECT decision FROM duly.process_step
 WHERE tenant = :tenant AND process = :process AND id = :id AND message_id = :message_id
"""


def processes_script(
    tenant: str, process: str | None, after: tuple[str, str], rows_max: int
) -> Script[list[ProcessView]]:
    """A page of processes."""
    first = PROCESS_DOCUMENT if process is None else f"{PROCESS_DOCUMENT}{process}"
    found = yield Statement(
        SELECT_PROCESSES,
        {
            "tenant": tenant,
            "first": first,
            "behind": f"{PROCESS_DOCUMENT[:-1]}/" if process is None else f"{first}\x01",
            "after_type": f"{PROCESS_DOCUMENT}{after[0]}" if any(after) else "",
            "after_id": after[1],
            "rows_max": rows_max,
        },
    )
    return [
        ProcessView(
            process=row[0].removeprefix(PROCESS_DOCUMENT),
            id=row[1],
            version=row[2],
            state=document["state"],
            waiting=tuple(document["waiting"]),
            is_ended=document["is_ended"],
            steps=document["steps"],
        )
        for row in found.rows
        for document in [msgspec.json.decode(row[3])]
    ]


def process_steps_script(tenant: str, process: str, process_id: str) -> Script[list[ProcessStepView]]:
    """The history of a process."""
    found = yield Statement(SELECT_STEPS, {"tenant": tenant, "process": process, "id": process_id})
    return [
        ProcessStepView(
            number=row[0],
            message_id=str(row[1]),
            kind=Kind(row[2]),
            name=row[3],
            version=row[4],
            heard=msgspec.json.decode(row[5]),
            personal=None if row[6] is None else msgspec.json.decode(row[6]),
            decision=msgspec.json.decode(row[7]),
            at=time_of(row[8]),
        )
        for row in found.rows
    ]


def heard_script(tenant: str, process: str, process_id: str, message_id: str) -> Script[list[str]]:
    """What a process decided about a message."""
    found = yield Statement(
        SELECT_HEARD, {"tenant": tenant, "process": process, "id": process_id, "message_id": message_id}
    )
    return [row[0] for row in found.rows]


class SqlProcesses:
    """The part of the store port that is about processes."""

    _engine: Engine

    async def processes(
        self, tenant: str, process: str | None, after: tuple[str, str], rows_max: int
    ) -> list[ProcessView]:
        """A tenant's processes, by manager and id."""
        return await self._engine.read(lambda: processes_script(tenant, process, after, rows_max))

    async def process_steps(self, tenant: str, process: str, process_id: str) -> list[ProcessStepView]:
        """The history of a process, in order."""
        return await self._engine.read(lambda: process_steps_script(tenant, process, process_id))

    async def decisions_about(self, tenant: str, process: str, process_id: str, message_id: str) -> list[str]:
        """What a process decided about a message: none, if it has not heard it."""
        return await self._engine.read(lambda: heard_script(tenant, process, process_id, message_id))
