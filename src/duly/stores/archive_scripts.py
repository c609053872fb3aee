"""Putting finished streams away, as scripts: a step is a transaction, and whoever repeats it goes on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from duly.ports.archive import ArchiveStep
from duly.stores.archived_events import ArchivedEvent, deflated
from duly.stores.engine import Engine
from duly.stores.housekeeping_scripts import LOCK_BUCKET, NO_BUCKET
from duly.stores.script import Row, Script, Statement, json_rows, storable

# In the order of the stream, over its index; with its place in the log, and whether a backfill has put it back.
SELECT_EVENTS: Final = """
SELECT m.commit_id, m.ordinal, m.id, m.name, m.version, m.subject, m.stream_version, m.handler, m.chain, m.trace,
       m.body,
       (SELECT p.last_position - p.events + 1 FROM duly.commit_position AS p WHERE p.commit_id = m.commit_id)
       + m.ordinal,
       (SELECT c.at_ms FROM duly.commit_log AS c WHERE c.id = m.commit_id),
       CASE WHEN EXISTS (SELECT 1 FROM duly.archived_event AS e
                          WHERE e.commit_id = m.commit_id AND e.ordinal = m.ordinal) THEN 1 ELSE 0 END
  FROM duly.message AS m
 WHERE m.tenant = :tenant AND m.stream = :stream AND m.kind = 'event'
 ORDER BY m.stream_version, m.commit_id, m.ordinal LIMIT :rows_max
"""
SELECT_FURTHEST_BEHIND: Final = """
SELECT p.name, p.position FROM duly.projection AS p
 WHERE p.digest = ANY(:digests) AND p.state = 'live' ORDER BY p.position, p.name LIMIT 1
"""
# One statement sees a promise in one of these places, while it goes from one to the other.
SELECT_PROMISED: Final = """
SELECT o.commit_id, o.ordinal, 'waits for its delivery to' AS how, o.subscriber_no FROM duly.outbox AS o
 WHERE o.commit_id >= :low AND o.commit_id <= :high
UNION ALL
SELECT l.commit_id, l.ordinal, 'waits for its time to go to', l.subscriber_no FROM duly.later AS l
 WHERE l.commit_id >= :low AND l.commit_id <= :high
UNION ALL
SELECT k.commit_id, k.ordinal, 'is parked for', k.subscriber_no FROM duly.parked AS k
 WHERE k.commit_id >= :low AND k.commit_id <= :high
"""
SELECT_SUBSCRIBER: Final = "SELECT name FROM duly.subscriber WHERE no = :number"
INSERT_ARCHIVE: Final = """
INSERT INTO duly.archived_stream (tenant, stream, first_position, last_position, first_version, last_version, events,
                                  body, at_ms, by_whom, reason)
VALUES (:tenant, :stream, :first_position, :last_position, :first_version, :last_version, :events, :body, duly.now_ms(),
        :by, :reason)
RETURNING id
"""
INSERT_ARCHIVED: Final = """
INSERT INTO duly.archived_event (commit_id, ordinal, place, archive_id)
SELECT r.of_commit, r.of_ordinal, r.line, CAST(:archive AS bigint)
  FROM JSON_ROWS(:rows, of_commit bigint, of_ordinal integer, line integer) AS r
"""
# The list keeps PostgreSQL from reading all of the table.
DELETE_EVENTS: Final = """
DELETE FROM duly.message
 WHERE commit_id = ANY(:commits)
   AND (commit_id, ordinal) IN (SELECT r.of_commit, r.of_ordinal
                                  FROM JSON_ROWS(:rows, of_commit bigint, of_ordinal integer) AS r)
"""


def archive_script(
    tenant: str, stream: str, digests: Collection[str], by: str, reason: str, events_max: int
) -> Script[ArchiveStep]:
    """Put away the next events of a stream."""
    # Nobody promises messages of the past meanwhile.
    yield Statement(LOCK_BUCKET, {"bucket": NO_BUCKET})
    where: dict[str, object] = {"tenant": tenant, "stream": stream}
    found = yield Statement(SELECT_EVENTS, {**where, "rows_max": events_max})
    if not found.rows:
        return ArchiveStep(events=0)
    going, refused = yield from _up_to_what_stays(found.rows, digests)
    if not going:
        return ArchiveStep(events=0, refused=refused)
    events = [_event(row) for row in going if not row[13]]
    if events:
        yield from _insert(where, events, by, reason)
    yield Statement(DELETE_EVENTS, {"commits": sorted({int(row[0]) for row in going}), "rows": _places(going)})
    has_more = not refused and len(found.rows) == events_max
    return ArchiveStep(events=len(events), refused=refused, has_more=has_more)


def _up_to_what_stays(rows: Sequence[Row], digests: Collection[str]) -> Script[tuple[Sequence[Row], str]]:
    """The events before the first one that has to stay, and why it has to."""
    furthest = yield Statement(SELECT_FURTHEST_BEHIND, {"digests": sorted(digests)})
    commits = [row[0] for row in rows]
    promised = yield Statement(SELECT_PROMISED, {"low": min(commits), "high": max(commits)})
    promises = {(row[0], row[1]): (row[2], row[3]) for row in promised.rows}
    for place, row in enumerate(rows):
        told = f"its event {row[6]}, a {row[3]},"
        if row[11] is None:
            return rows[:place], f"{told} has no position yet: a worker gives it one in a moment"
        if furthest.rows and furthest.rows[0][1] < row[11]:
            name, position = furthest.rows[0]
            return rows[:place], (
                f"{told} is at position {row[11]:,}, and projection {name!r} has come to {position:,}: "
                f"{row[11] - position:,} behind"
            )
        if (row[0], row[1]) in promises:
            how, number = promises[row[0], row[1]]
            subscriber = yield Statement(SELECT_SUBSCRIBER, {"number": number})
            name = subscriber.rows[0][0] if subscriber.rows else f"subscriber {number}"
            return rows[:place], f"{told} {how} {name}"
    return rows, ""


def _event(row: Row) -> ArchivedEvent:
    return ArchivedEvent(
        commit_id=row[0],
        ordinal=row[1],
        id=str(row[2]),
        name=row[3],
        version=row[4],
        subject=row[5],
        stream_version=row[6],
        handler=row[7],
        chain=row[8],
        trace=row[9],
        body=row[10],
        position=row[11],
        at_ms=row[12],
    )


def _insert(where: dict[str, object], events: Sequence[ArchivedEvent], by: str, reason: str) -> Script[None]:
    versions = [event.stream_version or 0 for event in events]
    inserted = yield Statement(
        INSERT_ARCHIVE,
        {
            **where,
            "first_position": min(event.position for event in events),
            "last_position": max(event.position for event in events),
            "first_version": min(versions),
            "last_version": max(versions),
            "events": len(events),
            "body": deflated(events),
            "by": storable(by),
            "reason": storable(reason),
        },
    )
    rows: list[dict[str, object]] = [
        {"of_commit": event.commit_id, "of_ordinal": event.ordinal, "line": place} for place, event in enumerate(events)
    ]
    yield Statement(INSERT_ARCHIVED, {"archive": inserted.rows[0][0], "rows": json_rows(rows)})


def _places(rows: Sequence[Row]) -> str:
    return json_rows([{"of_commit": row[0], "of_ordinal": row[1]} for row in rows])


class SqlArchive:
    """The part of the store port that puts finished streams away."""

    _engine: Engine

    async def archive(
        self, tenant: str, stream: str, *, digests: Collection[str], by: str, reason: str, events_max: int
    ) -> ArchiveStep:
        """Put away the next events of a stream."""
        return await self._engine.write(lambda: archive_script(tenant, stream, digests, by, reason, events_max))
