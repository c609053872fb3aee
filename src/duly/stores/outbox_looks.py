"""Looking at the outbox, as scripts: by primary key from the low-water mark on."""

from __future__ import annotations

from typing import Final

from duly.clock import from_milliseconds
from duly.messages.envelope import Envelope, Kind, decode_chain
from duly.ports.store import Due, Look, Mark, Seen
from duly.stores.script import ON_POSTGRES, Row, Script, Statement

# Read by primary key in order and filtered: no index to maintain, and no sort, whatever waits. Facts of the same moment
# come with each row, and in a row of their own when there is none. Of holds that are over, a look that shows them need
# not be told. The time is asked for once: were a hold over while rows are read, the end of its lane would be shown
# without its head. One writer: what is numbered is committed, or never will be.
LOOK: Final = f"""
SELECT 1, '',
       (SELECT min(n.until_ms) FROM duly.lane_hold AS n
         WHERE n.until_ms > CASE WHEN :with_held = 1 THEN duly.now_ms() ELSE 0 END) - duly.now_ms(),
       d.id, d.bucket, d.subscriber_no, d.lane, d.attempts, d.is_held,
       m.id, m.tenant, m.kind, m.name, m.version, m.body, p.body, m.subject, m.stream, m.stream_version, m.handler,
       m.chain, m.trace
  FROM (SELECT 1) AS one
  LEFT JOIN (SELECT o.id, o.bucket, o.subscriber_no, o.lane, o.commit_id, o.ordinal,
                    CASE WHEN h.head_id = o.id THEN h.attempts ELSE 0 END AS attempts,
                    CASE WHEN h.lane IS NULL THEN 0 ELSE 1 END AS is_held
               FROM duly.outbox AS o
               LEFT JOIN duly.lane_hold AS h ON h.subscriber_no = o.subscriber_no AND h.lane = o.lane
              WHERE o.id > :after AND o.bucket = ANY(:buckets) AND o.subscriber_no = ANY(:subscribers)
                AND NOT o.subscriber_no || ' ' || o.lane = ANY(:but_for_lanes) AND NOT o.id = ANY(:but_for_rows)
                AND (h.lane IS NULL OR (:with_held = 1 AND h.until_ms <= (SELECT duly.now_ms())))
              ORDER BY o.id LIMIT :rows_max) AS d ON 1 = 1
  LEFT JOIN duly.message AS m ON m.commit_id = d.commit_id AND m.ordinal = d.ordinal
  LEFT JOIN duly.personal AS p ON p.message_id = m.id
 ORDER BY d.id
{ON_POSTGRES}
SELECT CASE WHEN CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) > CAST(:mark AS bigint)
            THEN 1 ELSE 0 END,
       CAST(extract(epoch FROM pg_postmaster_start_time()) AS text),
       (SELECT min(n.until_ms) FROM duly.lane_hold AS n
         WHERE n.until_ms > CASE WHEN CAST(:with_held AS integer) = 1 THEN duly.now_ms() ELSE 0 END) - duly.now_ms(),
       d.*
  FROM (SELECT 1) AS one
  LEFT JOIN duly.look_at_outbox(:after, :with_held, :buckets, :subscribers, :but_for_lanes, :but_for_rows, :rows_max)
         AS d ON TRUE
 ORDER BY d.id
"""
MARK: Final = f"""
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'duly_outbox'), 0), 0
{ON_POSTGRES}
SELECT last, transaction FROM duly.outbox_mark()
"""
SELECT_LAST: Final = f"""
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'duly_outbox'), 0)
{ON_POSTGRES}
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM duly.outbox_id_seq
"""

_kinds: Final = {kind.value: kind for kind in Kind}


def look_script(look: Look) -> Script[Seen]:
    """What a look sees."""
    found = yield Statement(
        LOOK,
        {
            "mark": look.mark.transaction,
            "with_held": int(look.with_held),
            "after": look.after,
            "buckets": list(look.buckets),
            "subscribers": list(look.subscribers),
            "but_for_lanes": [f"{subscriber} {lane}" for subscriber, lane in look.but_for_lanes],
            "but_for_rows": list(look.but_for_rows),
            "rows_max": look.rows_max,
        },
    )
    rows = found.rows
    is_decided, server, next_hold_ms, last = rows[-1][:4]
    return Seen(
        # A row whose message is gone can never be delivered.
        rows=[_due(row) for row in rows if row[9] is not None],
        cut_at=last if last is not None and len(rows) >= look.rows_max else None,
        is_decided=bool(is_decided),
        server=server,
        next_hold=None if next_hold_ms is None else from_milliseconds(next_hold_ms),
    )


def mark_script() -> Script[Mark]:
    """How far rows are numbered."""
    ((last, transaction),) = (yield Statement(MARK)).rows
    return Mark(last, transaction)


def _due(row: Row) -> Due:
    (_, _, _, number, bucket, subscriber, lane, attempts, is_held, message_id, tenant, kind, name, version, body,
     personal, subject, stream, stream_version, handler, chain, trace) = row  # fmt: skip
    return Due(
        row=number,
        bucket=bucket,
        subscriber=subscriber,
        lane=lane,
        attempts=attempts,
        is_held=bool(is_held),
        envelope=Envelope(
            id=message_id,
            tenant=tenant,
            kind=_kinds[kind],
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
