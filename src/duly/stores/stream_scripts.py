"""Reading event-sourced aggregates: the head of a stream, its snapshot and the events after it, in one statement.

One stream comes as one row: its events as two long texts, a line each, since a row and a value for each event would
cost more than all the rest. No JSON that duly writes holds a line break, and no stored name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from duly.domain.aggregate import stream_of
from duly.ports.store import StoredDocument, StoredStream, StreamNeeds
from duly.stores.archived_events import archived_stream_script
from duly.stores.engine import Engine
from duly.stores.script import Row, Script, Statement, json_rows

_SNAPSHOT: Final = "LEFT JOIN duly.snapshot AS s ON s.tenant = :tenant AND s.type = :type AND s.id = :id AND {usable}"
_USABLE: Final = "s.schema >= :oldest AND s.schema <= :newest"
_AFTER_SNAPSHOT: Final = f"""
           AND m.stream_version > coalesce((SELECT s.version FROM duly.snapshot AS s
                                             WHERE s.tenant = :tenant AND s.type = :type AND s.id = :id
                                               AND {_USABLE}), 0)"""
# The events are put together in the order of the subquery, which is that of its index; between them a line break, as it
# is: a function that makes one would be called for every event.
_STREAM: Final = """
SELECT d.version, d.body, {snapshot_columns}, e.events, e.first, e.last, e.kinds, e.bodies, e.personal
  FROM duly.document AS d {snapshot}
 CROSS JOIN (
    SELECT count(*) AS events, min(o.number) AS first, max(o.number) AS last, string_agg(o.kind, '\n') AS kinds,
           string_agg(o.body, '\n') AS bodies, {all_personal} AS personal
      FROM (
        SELECT m.stream_version AS number, m.name || ' ' || m.version AS kind, m.body AS body{personal}
          FROM duly.message AS m {personal_join}
         WHERE m.tenant = :tenant AND m.stream = :stream AND m.kind = 'event'{after}
         ORDER BY m.stream_version) AS o) AS e
 WHERE d.tenant = :tenant AND d.type = :type AND d.id = :id
"""


def _statement(*, snapshots: bool, personal: bool) -> str:
    return _STREAM.format(
        snapshot_columns="s.version, s.schema, s.body" if snapshots else "NULL, NULL, NULL",
        snapshot=_SNAPSHOT.format(usable=_USABLE) if snapshots else "",
        after=_AFTER_SNAPSHOT if snapshots else "",
        personal=", coalesce(p.body, '') AS personal" if personal else "",
        personal_join="LEFT JOIN duly.personal AS p ON p.message_id = m.id" if personal else "",
        all_personal="string_agg(o.personal, '\n')" if personal else "NULL",
    )


SELECT_STREAM: Final = {
    (snapshots, personal): _statement(snapshots=snapshots, personal=personal)
    for snapshots in (False, True)
    for personal in (False, True)
}
"""By whether snapshots can be read, and whether events may have personal fields."""

# Several streams: a row for each event. CROSS JOIN keeps SQLite from beginning with all documents of the type.
SELECT_STREAMS: Final = """
SELECT * FROM (
    SELECT r.of_id, 0 AS part, d.version AS number, d.schema AS version, '' AS name, d.body AS body, '' AS personal
      FROM JSON_ROWS(:rows, of_id text, stream text) AS r CROSS JOIN duly.document AS d
     WHERE d.tenant = :tenant AND d.type = :type AND d.id = r.of_id
    UNION ALL
    SELECT r.of_id, 1, s.version, s.schema, '', s.body, ''
      FROM JSON_ROWS(:rows, of_id text, stream text) AS r CROSS JOIN duly.snapshot AS s
     WHERE s.tenant = :tenant AND s.type = :type AND s.id = r.of_id AND s.schema >= :oldest AND s.schema <= :newest
    UNION ALL
    SELECT r.of_id, 2, m.stream_version, m.version, m.name, m.body, coalesce(p.body, '')
      FROM JSON_ROWS(:rows, of_id text, stream text) AS r CROSS JOIN duly.message AS m
      LEFT JOIN duly.personal AS p ON p.message_id = m.id
     WHERE m.tenant = :tenant AND m.stream = r.stream AND m.kind = 'event'
       AND m.stream_version > coalesce((SELECT s.version FROM duly.snapshot AS s
                                         WHERE s.tenant = :tenant AND s.type = :type AND s.id = r.of_id
                                           AND s.schema >= :oldest AND s.schema <= :newest), 0)
    ) AS found
 ORDER BY of_id, part, number
"""


def stream_script(tenant: str, type_name: str, aggregate_id: str, needs: StreamNeeds) -> Script[StoredStream | None]:
    """One stream."""
    parameters: dict[str, object] = {
        "tenant": tenant,
        "type": type_name,
        "id": aggregate_id,
        "stream": stream_of(type_name, aggregate_id),
    }
    if needs.snapshots:
        parameters |= {"oldest": needs.snapshots[0], "newest": needs.snapshots[-1]}
    found = yield Statement(SELECT_STREAM[bool(needs.snapshots), needs.personal], parameters)
    for version, head, taken_at, schema, state, events, first, last, kinds, bodies, personal in found.rows:
        before = taken_at or 0
        if events != version - before or (events and (first != before + 1 or last != version)):
            # Some of them are in the archive, or lost.
            several = yield from streams_script(tenant, type_name, [aggregate_id], needs)
            return several[0] if several else None
        return StoredStream(
            aggregate_id,
            version,
            head,
            None if taken_at is None else StoredDocument(aggregate_id, taken_at, schema, state),
            True,
            kinds.split("\n") if events else (),
            bodies.split("\n") if events else (),
            personal.split("\n") if events and personal is not None else (),
        )
    return None


def streams_script(tenant: str, type_name: str, ids: Sequence[str], needs: StreamNeeds) -> Script[list[StoredStream]]:
    """Several streams."""
    if not ids:
        return []
    found = yield Statement(
        SELECT_STREAMS,
        {
            "tenant": tenant,
            "type": type_name,
            "rows": json_rows([{"of_id": each, "stream": stream_of(type_name, each)} for each in ids]),
            "oldest": needs.snapshots[0] if needs.snapshots else 1,
            "newest": needs.snapshots[-1] if needs.snapshots else 0,
        },
    )
    rows_of: dict[str, list[Row]] = {}
    for of_id, *row in found.rows:
        rows_of.setdefault(of_id, []).append(row)
    streams: list[StoredStream] = []
    for each, rows in rows_of.items():
        streams.append((yield from _stored_script(tenant, stream_of(type_name, each), each, rows)))
    return streams


def _stored_script(tenant: str, stream: str, aggregate_id: str, rows: Sequence[Row]) -> Script[StoredStream]:
    """The stream of these rows: its head, then its snapshot if there is one, then those of its events not archived."""
    _, version, _, _, head, _ = rows[0]
    snapshot = None
    for part, taken_at, schema, _, state, _ in rows[1:2]:
        if part == 1:
            snapshot = StoredDocument(aggregate_id, taken_at, schema, state)
    before = 0 if snapshot is None else snapshot.version
    events: list[Row] = [row[1:] for row in rows[1 if snapshot is None else 2 :]]
    if len(events) < version - before:
        there = {row[0] for row in events}
        archived = yield from archived_stream_script(tenant, stream, before)
        events = sorted([row for row in archived if row[0] not in there] + events, key=lambda row: row[0])
    return StoredStream(
        aggregate_id,
        version,
        head,
        snapshot,
        # Counted first: the version of a document, which this may be by mistake, is no count of events.
        len(events) == version - before and [row[0] for row in events] == list(range(before + 1, version + 1)),
        [f"{row[2]} {row[1]}" for row in events],
        [row[3] for row in events],
        [row[4] or "" for row in events],
    )


class SqlStreams:
    """The part of a SQL store that event-sourced aggregates need."""

    _engine: Engine

    async def stream(self, tenant: str, type_name: str, aggregate_id: str, needs: StreamNeeds) -> StoredStream | None:
        """One event-sourced aggregate, or None."""
        return await self._engine.read(lambda: stream_script(tenant, type_name, aggregate_id, needs))

    async def streams(self, tenant: str, type_name: str, ids: Sequence[str], needs: StreamNeeds) -> list[StoredStream]:
        """Those of several event-sourced aggregates that there are."""
        return await self._engine.read(lambda: streams_script(tenant, type_name, ids, needs))
