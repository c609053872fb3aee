"""Removing what log and inbox need no more, as scripts.

Nothing here has an index of its own: one on the times of the inbox would cost every command more than a walk through
it costs once an hour, and messages are walked through in the order of their commits, each once. What is still promised
when the walk comes by is written down, and looked at again by the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from duly.clock import to_milliseconds
from duly.ports.housekeeping import InboxStep, MessageStep
from duly.stores.engine import Engine
from duly.stores.script import Row, Script, Statement, json_rows

SELECT_IDS: Final = """
SELECT tenant, id, CASE WHEN expires_ms <= duly.now_ms() THEN 1 ELSE 0 END FROM duly.inbox
 WHERE (tenant, id) > (:tenant, :id) ORDER BY tenant, id LIMIT :rows_max
"""
# The lists keep PostgreSQL from reading all of a table: without statistics it would begin with that, and go on so.
DELETE_IDS: Final = """
DELETE FROM duly.inbox
 WHERE expires_ms <= duly.now_ms() AND tenant = ANY(:tenants) AND id = ANY(:ids)
   AND (tenant, id) IN (SELECT r.of_tenant, r.of_id FROM JSON_ROWS(:rows, of_tenant text, of_id text) AS r)
"""
# Whoever promises messages of the past (a backfill) shares this lock: none of them goes meanwhile.
NO_BUCKET: Final = -1
LOCK_BUCKET: Final = "SELECT duly.lock_bucket(:bucket)"
SWEPT_THROUGH: Final = "handled messages swept through commit"
SELECT_SWEPT: Final = "SELECT value FROM duly.fact WHERE name = :name"
UPSERT_SWEPT: Final = """
INSERT INTO duly.fact (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
SELECT_COMMITS: Final = """
SELECT id, CASE WHEN at_ms <= duly.now_ms() - :age_ms THEN 1 ELSE 0 END FROM duly.commit_log
 WHERE id > :after ORDER BY id LIMIT :rows_max
"""
SELECT_UNHEARD: Final = """
SELECT m.commit_id, m.ordinal, m.id FROM duly.message AS m
 WHERE m.commit_id > :low AND m.commit_id <= :high AND m.kind <> 'event' ORDER BY m.commit_id, m.ordinal
"""
SELECT_LEFT_MESSAGES: Final = """
SELECT m.commit_id, m.ordinal, m.id FROM duly.message_left AS l
  JOIN duly.message AS m ON m.commit_id = l.commit_id AND m.ordinal = l.ordinal
 ORDER BY m.commit_id, m.ordinal LIMIT :rows_max
"""
# What waits for its time may be much, and has an index for this; the other two hold little: what is to be done.
SELECT_PROMISED: Final = """
SELECT o.commit_id, o.ordinal FROM duly.outbox AS o WHERE o.commit_id >= :low AND o.commit_id <= :high
UNION
SELECT l.commit_id, l.ordinal FROM duly.later AS l WHERE l.commit_id >= :low AND l.commit_id <= :high
UNION
SELECT p.commit_id, p.ordinal FROM duly.parked AS p WHERE p.commit_id >= :low AND p.commit_id <= :high
"""
INSERT_LEFT: Final = """
INSERT INTO duly.message_left (commit_id, ordinal)
SELECT r.of_commit, r.of_ordinal FROM JSON_ROWS(:rows, of_commit bigint, of_ordinal integer) AS r
 WHERE r.of_commit IS NOT NULL
ON CONFLICT DO NOTHING
"""
DELETE_LEFT_ROWS: Final = """
DELETE FROM duly.message_left
 WHERE commit_id = ANY(:commits)
   AND (commit_id, ordinal) IN (SELECT r.of_commit, r.of_ordinal
                                  FROM JSON_ROWS(:rows, of_commit bigint, of_ordinal integer) AS r)
"""
DELETE_MESSAGES: Final = """
DELETE FROM duly.message
 WHERE commit_id = ANY(:commits)
   AND (commit_id, ordinal) IN (SELECT r.of_commit, r.of_ordinal
                                  FROM JSON_ROWS(:rows, of_commit bigint, of_ordinal integer) AS r)
"""
DELETE_PERSONAL: Final = "DELETE FROM duly.personal WHERE message_id = ANY(:ids)"


def drop_expired_ids_script(after: tuple[str, str], rows_max: int) -> Script[InboxStep]:
    """Remove expired inbox rows among the next ones."""
    found = yield Statement(SELECT_IDS, {"tenant": after[0], "id": after[1], "rows_max": rows_max})
    expired = [{"of_tenant": row[0], "of_id": row[1]} for row in found.rows if row[2]]
    dropped = 0
    if expired:
        lists = {"tenants": sorted({row["of_tenant"] for row in expired}), "ids": [row["of_id"] for row in expired]}
        dropped = (yield Statement(DELETE_IDS, {**lists, "rows": json_rows(expired)})).changed
    last = (found.rows[-1][0], found.rows[-1][1]) if len(found.rows) == rows_max else None
    return InboxStep(dropped, last)


def drop_handled_script(age: timedelta, after: int | None, commits_max: int) -> Script[MessageStep]:
    """Remove messages that nobody is promised any more."""
    yield Statement(LOCK_BUCKET, {"bucket": NO_BUCKET})
    dropped = 0
    if after is None:
        left = yield Statement(SELECT_LEFT_MESSAGES, {"rows_max": commits_max})
        dropped += yield from _drop(left.rows)
        swept = yield Statement(SELECT_SWEPT, {"name": SWEPT_THROUGH})
        after = int(swept.rows[0][0]) if swept.rows else 0
    found = yield Statement(SELECT_COMMITS, {"after": after, "age_ms": to_milliseconds(age), "rows_max": commits_max})
    old = [row[0] for row in found.rows if row[1]]
    # Times follow the order of commits only nearly: what is behind a younger one waits for the next sweep.
    if len(old) < len(found.rows):
        old = old[: next(place for place, row in enumerate(found.rows) if not row[1])]
    if not old:
        return MessageStep(dropped, None)
    messages = yield Statement(SELECT_UNHEARD, {"low": after, "high": old[-1]})
    dropped += yield from _drop(messages.rows)
    yield Statement(UPSERT_SWEPT, {"name": SWEPT_THROUGH, "value": str(old[-1])})
    return MessageStep(dropped, old[-1] if len(old) == commits_max else None)


def _drop(messages: Sequence[Row]) -> Script[int]:
    """Remove these messages but for those that are promised; write those down."""
    if not messages:
        return 0
    found = yield Statement(SELECT_PROMISED, {"low": messages[0][0], "high": messages[-1][0]})
    promised = {(row[0], row[1]) for row in found.rows}
    gone = [row for row in messages if (row[0], row[1]) not in promised]
    kept = [row for row in messages if (row[0], row[1]) in promised]
    if kept:
        yield Statement(INSERT_LEFT, {"rows": _places(kept)})
    if not gone:
        return 0
    which = {"commits": sorted({int(row[0]) for row in gone}), "rows": _places(gone)}
    yield Statement(DELETE_LEFT_ROWS, which)
    yield Statement(DELETE_PERSONAL, {"ids": [str(row[2]) for row in gone]})
    deleted = yield Statement(DELETE_MESSAGES, which)
    return deleted.changed


def _places(messages: Sequence[Row]) -> str:
    return json_rows([{"of_commit": row[0], "of_ordinal": row[1]} for row in messages])


class SqlHousekeeping:
    """The part of the store port that removes what log and inbox need no more."""

    _engine: Engine

    async def drop_expired_ids(self, after: tuple[str, str], rows_max: int) -> InboxStep:
        """Remove expired inbox rows among the next ones."""
        return await self._engine.write(lambda: drop_expired_ids_script(after, rows_max))

    async def drop_handled(self, age: timedelta, after: int | None, commits_max: int) -> MessageStep:
        """Remove messages that nobody is promised any more."""
        return await self._engine.write(lambda: drop_handled_script(age, after, commits_max))
