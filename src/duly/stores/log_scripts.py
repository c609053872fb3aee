"""The event log by position, as scripts, and the part of a SQL store that reads it.

Positions are given to commits; the one of an event follows from its commit's and its ordinal.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from duly.clock import time_of
from duly.messages.envelope import Envelope, Kind, decode_chain
from duly.ports.log import LogEvent, LogPage
from duly.stores.archived_events import STRETCH, archived_in_script
from duly.stores.engine import Engine
from duly.stores.script import Script, Statement

SELECT_HEAD: Final = "SELECT next_position - 1 FROM duly.log_head"

# From the stretch of positions that the first one is in, over their index; then the events of each commit by primary
# key. BETWEEN twice the same is an equality that PostgreSQL can neither hash nor merge: without statistics it would
# else read all messages. CROSS JOIN keeps SQLite from beginning with them, and filters that look like the join's keep
# PostgreSQL from it. The head comes along, of the same moment: one round trip tells how far the reading went, and
# whether it has to look into the archive. Whoever reads this puts the rows in order.
SELECT_PAGE: Final = f"""
SELECT h.next_position, (SELECT max(a.last_position) FROM duly.archived_stream AS a), NULL AS position, NULL AS at_ms,
       NULL AS id, NULL AS tenant, NULL AS name, NULL AS version, NULL AS body, NULL AS personal, NULL AS subject,
       NULL AS stream, NULL AS stream_version, NULL AS handler, NULL AS chain, NULL AS trace
  FROM duly.log_head AS h
 UNION ALL
SELECT NULL, NULL, c.first_position + m.ordinal,
       c.at_ms, m.id, m.tenant, m.name, m.version, m.body,
       (SELECT p.body FROM duly.personal AS p WHERE p.message_id = m.id), m.subject, m.stream, m.stream_version,
       m.handler, m.chain, m.trace
  FROM duly.log_commit AS c CROSS JOIN duly.message AS m
              WHERE {STRETCH}{{filters}}
"""
OF_NAMES: Final = "\n                AND CASE WHEN c.events > 0 THEN m.name END = ANY(:names)"
OF_TENANT: Final = "\n                AND CASE WHEN c.events > 0 THEN m.tenant END = :tenant"


def log_head_script() -> Script[int]:
    """The last position that was given."""
    found = yield Statement(SELECT_HEAD)
    head: int = found.rows[0][0]
    return head


def read_log_script(
    after: int, positions_max: int, names: Collection[str] | None, tenant: str | None, through: int | None
) -> Script[LogPage]:
    """A stretch of the log."""
    last = after + positions_max if through is None else min(after + positions_max, through)
    parameters: dict[str, object] = {"first": after + 1, "last": last}
    filters = ""
    if names is not None:
        filters += OF_NAMES
        parameters["names"] = sorted(names)
    if tenant is not None:
        filters += OF_TENANT
        parameters["tenant"] = tenant
    found = yield Statement(SELECT_PAGE.format(filters=filters), parameters)
    events = [
        LogEvent(
            position=position,
            at=time_of(at_ms),
            envelope=Envelope(
                id=message_id,
                tenant=of_tenant,
                kind=Kind.EVENT,
                name=name,
                version=version,
                body=body,
                personal=personal,
                subject=subject,
                stream=stream,
                stream_version=stream_version,
                handler=handler,
                chain=decode_chain(chain),
                trace=trace,
            ),
        )
        for (
            _,
            _,
            position,
            at_ms,
            message_id,
            of_tenant,
            name,
            version,
            body,
            personal,
            subject,
            stream,
            stream_version,
            handler,
            chain,
            trace,
        ) in found.rows
        if position is not None
    ]
    next_position, archived_through = next((row[0], row[1]) for row in found.rows if row[2] is None)
    if archived_through is not None and after < archived_through:
        archived = yield from archived_in_script(after + 1, last, names, tenant)
        events = list({event.position: event for event in (*archived, *events)}.values())
    events.sort(key=_position)
    return LogPage(events, max(after, min(last, next_position - 1)))


def _position(event: LogEvent) -> int:
    return event.position


class SqlLog:
    """Reading the event log."""

    _engine: Engine

    async def log_head(self) -> int:
        """The last position that was given."""
        return await self._engine.read(log_head_script)

    async def read_log(
        self,
        after: int,
        positions_max: int,
        *,
        names: Collection[str] | None = None,
        tenant: str | None = None,
        through: int | None = None,
    ) -> LogPage:
        """A stretch of the log."""
        return await self._engine.read(lambda: read_log_script(after, positions_max, names, tenant, through))
