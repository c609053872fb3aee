"""The event log by position, as scripts, and the part of a SQL store that reads it.

Positions are given to commits; the one of an event follows from its commit's and its ordinal.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from duly.ports.log import LogEvent, LogPage
from duly.stores.archived_events import COMMITS, STRETCH, archived_in_script
from duly.stores.engine import Engine
from duly.stores.script import ON_POSTGRES, Row, Script, Statement

SELECT_HEAD: Final = "SELECT next_position - 1 FROM duly.log_head"

# The head comes along, of the same moment, as an event behind all others: one round trip tells how far the reading
# went, and whether it has to look into the archive. Whoever reads this puts the rows in order.
HEAD: Final = """h.next_position, coalesce((SELECT max(a.last_position) FROM duly.archived_stream AS a), 0), '', '', '',
       0, '', NULL, NULL, NULL, ''"""
EVENT: Final = """c.first_position + m.ordinal, c.at_ms, m.id, m.tenant, m.name, m.version, m.body,
       (SELECT p.body FROM duly.personal AS p WHERE p.message_id = m.id), m.stream, m.stream_version, m.chain"""

# The events of each commit by primary key; CROSS JOIN keeps SQLite from beginning with them. All as one text, since
# Python's driver lets go of the interpreter at every row, and waits until it gets it back from what else is running.
# PostgreSQL takes the events of all commits in one walk over the index. A full join cannot be a nested loop, which
# would compare each with each where a page is taken for less than it is. It stays one as long as no filter shows that
# rows of one side alone are not wanted: hence coalesce.
SELECT_PAGE: Final = f"""
SELECT json_group_array(json_array({HEAD})) FROM duly.log_head AS h
 UNION ALL
SELECT json_group_array(json_array({EVENT}))
  FROM duly.log_commit AS c CROSS JOIN duly.message AS m
 WHERE {STRETCH}{{filters}}
{ON_POSTGRES}
WITH c AS MATERIALIZED (
    SELECT c.commit_id, c.first_position, c.events, c.at_ms FROM duly.log_commit AS c WHERE {COMMITS}
)
SELECT {HEAD} FROM duly.log_head AS h
 UNION ALL
SELECT {EVENT}
  FROM (SELECT * FROM duly.message AS m WHERE m.commit_id = ANY(ARRAY(SELECT commit_id FROM c))) AS m
  FULL JOIN c ON c.commit_id = m.commit_id
 WHERE coalesce(m.ordinal < c.events AND c.first_position + m.ordinal >= :first
                AND c.first_position + m.ordinal <= :last{{filters}}, FALSE)
"""
POSITIONS_PER_STATEMENT_MAX: Final = 1_000
"""So many of the largest messages, each character of them escaped, are half of what SQLite takes for one text."""
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
    parameters: dict[str, object] = {}
    filters = ""
    if names is not None:
        filters += OF_NAMES
        parameters["names"] = sorted(names)
    if tenant is not None:
        filters += OF_TENANT
        parameters["tenant"] = tenant
    text = SELECT_PAGE.format(filters=filters)
    events: list[LogEvent] = []
    begun = after
    while True:
        ends = min(last, begun + POSITIONS_PER_STATEMENT_MAX)
        found = yield Statement(text, {**parameters, "first": begun + 1, "last": ends})
        read = sorted(unpacked(found.rows), key=_position)
        head = read.pop()
        if begun < head.at_ms:
            archived = yield from archived_in_script(begun + 1, ends, names, tenant)
            read = sorted({event.position: event for event in (*archived, *read)}.values(), key=_position)
        events += read
        begun = max(begun, min(ends, head.position - 1))
        if begun < ends or begun >= last:
            return LogPage(events, begun)


def unpacked(rows: Sequence[Row]) -> list[LogEvent]:
    """The events of rows; or of JSON texts, each of which has many."""
    if len(rows[0]) == 1:
        return [event for row in rows for event in _packed.decode(row[0])]
    return [LogEvent(*row) for row in rows]


_packed: Final = msgspec.json.Decoder(list[LogEvent])
_position: Final = attrgetter("position")


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
