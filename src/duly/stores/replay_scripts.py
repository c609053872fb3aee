"""The past of a subscriber, as scripts: counted, read, and promised again in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from duly.clock import EPOCH, time_of, to_milliseconds
from duly.messages.envelope import Envelope, Kind, decode_chain
from duly.ports.replay import Backfill, Past, PastCount, PastMessage, PastPromise, Place
from duly.stores.archived_past import (
    IS_NEW,
    LAST_ORDINAL,
    archived_past_script,
    count_archived_script,
    put_back_script,
)
from duly.stores.audit_scripts import note_script
from duly.stores.engine import Engine
from duly.stores.housekeeping_scripts import NO_BUCKET
from duly.stores.script import Row, Script, Statement, json_rows, storable

NEVER_MS: Final = 2**62
NOBODY: Final = -1

SELECT_SUBSCRIBER: Final = "SELECT since_ms FROM duly.subscriber WHERE no = :subscriber"
_OF_THE_PAST: Final = """m.tenant = :tenant AND m.kind IN ('event', 'public') AND m.name = ANY(:names)
   AND (:effect_type = '' OR replace(m.body, :effect_type, '') <> m.body)
   AND c.at_ms >= :since_ms AND c.at_ms < :until_ms"""
COUNT_PAST: Final = f"""
SELECT p.name, sum(p.is_new), sum(1 - p.is_new), min(p.new_ms), max(p.new_ms), max(p.commit_id)
  FROM (SELECT m.name, m.commit_id,
               CASE WHEN {IS_NEW} THEN 1 ELSE 0 END AS is_new,
               CASE WHEN {IS_NEW} THEN c.at_ms END AS new_ms
          FROM duly.message AS m
          JOIN duly.commit_log AS c ON c.id = m.commit_id
         WHERE {_OF_THE_PAST}) AS p
 GROUP BY p.name
"""
# By primary key from a place on: a page costs what lies between its ends.
SELECT_PAST: Final = f"""
SELECT m.commit_id, m.ordinal, m.id, m.tenant, m.kind, m.name, m.version, m.body,
       (SELECT p.body FROM duly.personal AS p WHERE p.message_id = m.id),
       m.subject, m.stream, m.stream_version, m.handler, m.chain, m.trace
  FROM duly.message AS m
  JOIN duly.commit_log AS c ON c.id = m.commit_id
 WHERE (m.commit_id, m.ordinal) > (:commit_id, :ordinal) AND m.commit_id <= :through
   AND {_OF_THE_PAST}
   AND {IS_NEW}
 ORDER BY m.commit_id, m.ordinal LIMIT :rows_max
"""
SELECT_DIGESTS: Final = """
SELECT id, digest FROM duly.effect WHERE id = ANY(:ids)
UNION ALL
SELECT id, digest FROM duly.effect_key WHERE id = ANY(:ids)
"""
_BACKFILL: Final = """id, tenant, subscriber_no, since_ms, until_ms, heard_ms, through, commit_id, ordinal, total,
       promised, by_whom, reason, begun_ms, ended_ms"""
SELECT_UNFINISHED: Final = f"""
SELECT {_BACKFILL} FROM duly.backfill
 WHERE tenant = :tenant AND subscriber_no = :subscriber AND ended_ms IS NULL
"""
SELECT_BACKFILL: Final = f"SELECT {_BACKFILL} FROM duly.backfill WHERE id = :id FOR UPDATE"
SELECT_BACKFILLS: Final = f"""
SELECT {_BACKFILL} FROM duly.backfill
 WHERE tenant = :tenant AND subscriber_no = :subscriber ORDER BY begun_ms DESC, id LIMIT :rows_max
"""
INSERT_BACKFILL: Final = """
INSERT INTO duly.backfill (id, tenant, subscriber_no, since_ms, until_ms, heard_ms, through, commit_id, ordinal, total,
                           promised, by_whom, reason, begun_ms)
VALUES (:id, :tenant, :subscriber, :since_ms, :until_ms, :heard_ms, :through, :commit_id, :ordinal, :total, 0, :by,
        :reason, duly.now_ms())
ON CONFLICT DO NOTHING
"""
# With the sweep of handled messages, and with archiving: none of them goes between the look and the promise.
SHARE_BUCKET: Final = "SELECT duly.share_bucket(:bucket)"
# In the order of the past, so that the ids of a lane follow it. What was swept since it was read is left out.
INSERT_PROMISES: Final = """
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
SELECT CAST(:subscriber AS integer), r.bucket, r.lane, r.of_commit, r.number
  FROM JSON_ROWS(:rows, bucket integer, lane text, of_commit bigint, number integer) AS r
 WHERE EXISTS (SELECT 1 FROM duly.message AS m WHERE m.commit_id = r.of_commit AND m.ordinal = r.number)
 ORDER BY r.of_commit, r.number
"""
ADVANCE: Final = """
UPDATE duly.backfill
   SET commit_id = :commit_id, ordinal = :ordinal, promised = promised + :promised,
       ended_ms = CASE WHEN :ends = 1 THEN duly.now_ms() END
 WHERE id = :id
"""


def count_past_script(past: Past) -> Script[PastCount]:
    """How much past there is for a subscriber."""
    since_ms = yield from _heard_since(past.subscriber)
    about = _about(past, since_ms, own="")
    found = yield Statement(COUNT_PAST, about)
    rows = [
        (name, int(new), int(heard), [at for at in times if at is not None], last)
        for name, new, heard, *times, last in found.rows
    ]
    if not past.effect_type:  # outcomes have no stream
        archived = yield from count_archived_script(about, past.names)
        rows += [(name, one.new, one.heard, one.times_new, one.last_commit) for name, one in archived.items()]
    counts: Counter[str] = Counter()
    for name, new, *_ in rows:
        counts[name] += new
    times = [at for row in rows for at in row[3]]
    return PastCount(
        past=past,
        by_name=tuple(sorted(((name, new) for name, new in counts.items() if new), key=lambda one: (-one[1], one[0]))),
        heard=sum(row[2] for row in rows),
        first_at=time_of(min(times)) if times else None,
        last_at=time_of(max(times)) if times else None,
        began_at=time_of(since_ms),
        through=max((row[4] for row in rows), default=0),
    )


def read_past_script(past: Past, through: int, after: Place, rows_max: int, backfill: str) -> Script[list[PastMessage]]:
    """A page of the past."""
    since_ms = yield from _heard_since(past.subscriber)
    about = _about(past, since_ms, own=backfill)
    place = {"commit_id": after[0], "ordinal": after[1], "through": through, "rows_max": rows_max}
    found = yield Statement(SELECT_PAST, {**about, **place})
    page = [PastMessage((row[0], row[1]), _envelope(row[2:])) for row in found.rows]
    if past.effect_type:
        return page
    last = page[-1].place if len(page) == rows_max else (through, LAST_ORDINAL)
    archived = yield from archived_past_script(about, past.names, after, last, rows_max)
    if archived:
        page = sorted((*page, *(PastMessage(*one) for one in archived)), key=lambda one: one.place)[:rows_max]
    return page


def effect_digests_script(ids: Sequence[str]) -> Script[dict[str, str]]:
    """The digests of effects that there are or were."""
    found = yield Statement(SELECT_DIGESTS, {"ids": list(ids)})
    return {str(row[0]): row[1] for row in found.rows}


def begin_backfill_script(backfill: Backfill) -> Script[Backfill]:
    """Write the request, unless it is there, or another one is unfinished."""
    past = backfill.past
    since_ms = yield from _heard_since(past.subscriber)
    where: dict[str, object] = {"tenant": past.tenant, "subscriber": past.subscriber}
    inserted = yield Statement(
        INSERT_BACKFILL,
        {
            **where,
            "id": backfill.id,
            "since_ms": _milliseconds(past.since, 0),
            "until_ms": _milliseconds(past.until, NEVER_MS),
            "heard_ms": NEVER_MS if past.even_if_heard else since_ms,
            "through": backfill.through,
            "commit_id": backfill.place[0],
            "ordinal": backfill.place[1],
            "total": backfill.total,
            "by": storable(backfill.by),
            "reason": storable(backfill.reason),
        },
    )
    if inserted.changed:
        detail = f"backfill {backfill.id}: {backfill.total} messages to subscriber {past.subscriber}"
        yield from note_script(past.tenant, verb="backfill", by=backfill.by, reason=backfill.reason, detail=detail)
    found = yield Statement(SELECT_BACKFILL, {"id": backfill.id})
    if not found.rows:
        found = yield Statement(SELECT_UNFINISHED, where)
    return _backfill(found.rows[0], past)


def promise_past_script(
    backfill: Backfill, promises: Sequence[PastPromise], place: Place, ends: bool
) -> Script[Backfill]:
    """Promise the next messages, if nobody else did."""
    found = yield Statement(SELECT_BACKFILL, {"id": backfill.id})
    present = _backfill(found.rows[0], backfill.past)
    if present.place != backfill.place or present.ended_at is not None:
        return present
    rows: list[dict[str, object]] = [
        {"bucket": p.bucket, "lane": p.lane, "of_commit": p.place[0], "number": p.place[1]} for p in promises
    ]
    yield Statement(SHARE_BUCKET, {"bucket": NO_BUCKET})
    yield from put_back_script([promise.place for promise in promises])
    kept = yield Statement(INSERT_PROMISES, {"subscriber": backfill.past.subscriber, "rows": json_rows(rows)})
    yield Statement(
        ADVANCE,
        {
            "id": backfill.id,
            "commit_id": place[0],
            "ordinal": place[1],
            "promised": kept.changed,
            "ends": int(ends),
        },
    )
    found = yield Statement(SELECT_BACKFILL, {"id": backfill.id})
    return _backfill(found.rows[0], backfill.past)


def backfills_script(tenant: str, subscriber: int, rows_max: int) -> Script[list[Backfill]]:
    """What was asked for, the latest first."""
    where = {"tenant": tenant, "subscriber": subscriber, "rows_max": rows_max}
    found = yield Statement(SELECT_BACKFILLS, where)
    past = Past(tenant=tenant, subscriber=subscriber, names=())
    return [_backfill(row, past) for row in found.rows]


class SqlReplay:
    """The part of a SQL store that replays need."""

    _engine: Engine

    async def count_past(self, past: Past) -> PastCount:
        """How much past there is for a subscriber."""
        return await self._engine.read_together(lambda: count_past_script(past))

    async def read_past(
        self, past: Past, *, through: int, after: Place, rows_max: int, backfill: str = ""
    ) -> list[PastMessage]:
        """A page of the past, in the order of its commits."""
        return await self._engine.read_together(lambda: read_past_script(past, through, after, rows_max, backfill))

    async def effect_digests(self, ids: Sequence[str]) -> dict[str, str]:
        """The digests of those effects that the ledger has, or had."""
        return await self._engine.read(lambda: effect_digests_script(ids))

    async def begin_backfill(self, backfill: Backfill) -> Backfill:
        """Write a request, unless that was done before; the backfill as it stands, or another that is unfinished."""
        return await self._engine.write(lambda: begin_backfill_script(backfill))

    async def promise_past(
        self, backfill: Backfill, promises: Sequence[PastPromise], *, place: Place, ends: bool
    ) -> Backfill:
        """Promise the next messages; how the backfill stands now."""
        return await self._engine.write(lambda: promise_past_script(backfill, promises, place, ends))

    async def backfills(self, tenant: str, subscriber: int, rows_max: int) -> list[Backfill]:
        """What was asked for in this tenant, the latest first."""
        return await self._engine.read(lambda: backfills_script(tenant, subscriber, rows_max))


def _heard_since(subscriber: int) -> Script[int]:
    found = yield Statement(SELECT_SUBSCRIBER, {"subscriber": subscriber})
    since_ms: int = found.rows[0][0]
    return since_ms


def _about(past: Past, since_ms: int, *, own: str) -> dict[str, object]:
    return {
        "tenant": past.tenant,
        "names": list(past.names),
        # In the body of an outcome, whose fields are written in order: no text in it can hold these quotes.
        "effect_type": f'"effect_type":"{past.effect_type}"' if past.effect_type else "",
        "since_ms": _milliseconds(past.since, 0),
        "until_ms": _milliseconds(past.until, NEVER_MS),
        "heard_ms": NEVER_MS if past.even_if_heard else since_ms,
        "backfilled": NOBODY if past.even_if_heard else past.subscriber,
        "own": own,
    }


def _milliseconds(moment: datetime | None, without: int) -> int:
    return without if moment is None else to_milliseconds(moment - EPOCH)


def _backfill(row: Row, past: Past) -> Backfill:
    found = Past(
        tenant=row[1],
        subscriber=row[2],
        names=past.names,
        effect_type=past.effect_type,
        since=time_of(row[3]) if row[3] else None,
        until=None if row[4] == NEVER_MS else time_of(row[4]),
        even_if_heard=row[5] == NEVER_MS,
    )
    return Backfill(
        id=row[0],
        past=found,
        through=row[6],
        place=(row[7], row[8]),
        total=row[9],
        promised=row[10],
        by=row[11],
        reason=row[12],
        begun_at=time_of(row[13]),
        ended_at=None if row[14] is None else time_of(row[14]),
    )


def _envelope(row: Row) -> Envelope:
    return Envelope(
        id=str(row[0]),
        tenant=row[1],
        kind=Kind(row[2]),
        name=row[3],
        version=row[4],
        body=row[5],
        personal=row[6],
        subject=row[7],
        stream=row[8],
        stream_version=row[9],
        handler=row[10],
        chain=decode_chain(row[11]),
        trace=row[12],
    )
