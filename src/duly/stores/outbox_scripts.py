"""What the relay asks of a store, as scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import uuid4

from duly.clock import time_of, to_milliseconds
from duly.messages.identity import BUCKETS
from duly.ports.store import Due, Notice, Ownership, Parked, Subscription
from duly.stores.commit_script import DELETE_HOLD, INSERT_OUTBOX, owns_bucket
from duly.stores.notice_scripts import notice_script
from duly.stores.outbox_looks import SELECT_LAST
from duly.stores.script import Script, Statement, storable

COUNT_UNDELIVERED: Final = """
SELECT (SELECT count(*) FROM duly.outbox AS o
          LEFT JOIN duly.lane_hold AS h ON h.subscriber_no = o.subscriber_no AND h.lane = o.lane
         WHERE h.lane IS NULL OR h.until_ms <= duly.now_ms() + :within_ms)
     + (SELECT count(*) FROM duly.later WHERE due_ms <= duly.now_ms() + :within_ms)
"""
# An owner that was silent only for a while, and comes back for its own, has not been ended by what it handled.
SELECT_FREE: Final = """
SELECT bucket, CASE WHEN owner IS NULL OR owner = :owner THEN 0 ELSE 1 END
  FROM duly.bucket WHERE until_ms <= duly.now_ms() ORDER BY bucket LIMIT :wanted
   FOR UPDATE SKIP LOCKED
"""
UPSERT_HOLD: Final = """
INSERT INTO duly.lane_hold (subscriber_no, lane, head_id, attempts, until_ms, reason)
VALUES (:subscriber, :lane, :row, :attempts, duly.now_ms() + :wait_ms, :reason)
ON CONFLICT (subscriber_no, lane) DO UPDATE
   SET head_id = excluded.head_id, attempts = excluded.attempts, until_ms = excluded.until_ms, reason = excluded.reason
"""
INSERT_PARKED: Final = """
INSERT INTO duly.parked (id, tenant, subscriber_no, bucket, lane, commit_id, ordinal, attempts, reason, parked_ms)
VALUES (:row, :tenant, :subscriber, :bucket, :lane, :commit_id, :ordinal, :attempts, :reason, duly.now_ms())
"""
SELECT_PARKED: Final = """
SELECT p.id, p.tenant, s.name, p.lane, m.id, m.name, p.attempts, p.reason, p.parked_ms
  FROM duly.parked AS p
  JOIN duly.subscriber AS s ON s.no = p.subscriber_no
  JOIN duly.message AS m ON m.commit_id = p.commit_id AND m.ordinal = p.ordinal
 WHERE p.tenant = :tenant ORDER BY p.id DESC LIMIT :rows_max
"""
# Deleted first: of two who put the same message back, one finds it gone.
DELETE_PARKED: Final = """
DELETE FROM duly.parked WHERE tenant = :tenant AND id = :id
RETURNING subscriber_no, bucket, lane, commit_id, ordinal
"""


def subscribe_script(subscriptions: Sequence[Subscription]) -> Script[dict[str, int]]:
    """The number of each subscriber by name; new ones get one, renamed ones keep theirs."""
    numbers: dict[str, int] = {}
    # By name, so that workers that start at the same time wait for each other one way round.
    for subscription in sorted(subscriptions, key=lambda subscription: subscription.name):
        for former in subscription.formerly:
            yield Statement(
                "UPDATE duly.subscriber SET name = :name WHERE name = :former "
                "AND NOT EXISTS (SELECT 1 FROM duly.subscriber WHERE name = :name)",
                {"name": subscription.name, "former": former},
            )
        yield Statement(
            "INSERT INTO duly.subscriber (name, since_ms) VALUES (:name, duly.now_ms()) ON CONFLICT DO NOTHING",
            {"name": subscription.name},
        )
        found = yield Statement("SELECT no FROM duly.subscriber WHERE name = :name", {"name": subscription.name})
        numbers[subscription.name] = found.rows[0][0]
    return numbers


def own_buckets_script(owner: str, lease: timedelta, let_go: Sequence[int]) -> Script[Ownership]:
    """Renew, let go, and take free buckets up to a fair share of them."""
    lease_ms = to_milliseconds(lease)
    yield Statement(
        "INSERT INTO duly.worker (owner, until_ms) VALUES (:owner, duly.now_ms() + :lease_ms) "
        "ON CONFLICT (owner) DO UPDATE SET until_ms = excluded.until_ms",
        {"owner": owner, "lease_ms": lease_ms},
    )
    yield Statement("DELETE FROM duly.worker WHERE until_ms <= duly.now_ms()")
    workers = yield Statement("SELECT count(*) FROM duly.worker")
    share = -(-BUCKETS // max(1, workers.rows[0][0]))
    yield Statement(
        "UPDATE duly.bucket SET owner = NULL, token = NULL, until_ms = 0 "
        "WHERE owner = :owner AND bucket = ANY(:let_go)",
        {"owner": owner, "let_go": list(let_go)},
    )
    yield Statement(
        "UPDATE duly.bucket SET until_ms = duly.now_ms() + :lease_ms WHERE owner = :owner AND until_ms > duly.now_ms()",
        {"owner": owner, "lease_ms": lease_ms},
    )
    mine = yield Statement(
        "SELECT bucket, token FROM duly.bucket WHERE owner = :owner AND until_ms > duly.now_ms()", {"owner": owner}
    )
    tokens: dict[int, str] = {row[0]: row[1] for row in mine.rows}
    unclean: dict[int, int] = {}
    if len(tokens) < share:
        free = yield Statement(SELECT_FREE, {"owner": owner, "wanted": share - len(tokens)})
        for bucket, is_unclean in free.rows:
            token = uuid4().hex
            yield Statement("SELECT duly.lock_bucket(:bucket)", {"bucket": bucket})
            yield Statement(
                "UPDATE duly.bucket SET owner = :owner, token = :token, until_ms = duly.now_ms() + :lease_ms "
                "WHERE bucket = :bucket",
                {"owner": owner, "token": token, "lease_ms": lease_ms, "bucket": bucket},
            )
            tokens[bucket] = token
            if is_unclean:
                # After the lock: what the former owner still commits, it has begun before.
                ((last,),) = (yield Statement(SELECT_LAST)).rows
                unclean[bucket] = last
    return Ownership(tokens, share, unclean)


def disown_script(owner: str) -> Script[None]:
    """Let go of everything."""
    yield Statement(
        "UPDATE duly.bucket SET owner = NULL, token = NULL, until_ms = 0 WHERE owner = :owner", {"owner": owner}
    )
    yield Statement("DELETE FROM duly.worker WHERE owner = :owner", {"owner": owner})


def hold_script(due: Due, token: str, attempts: int, wait: timedelta, reason: str) -> Script[bool]:
    """Put a lane on hold for its head."""
    if not (yield from owns_bucket(due.bucket, token)):
        return False
    present = yield Statement("SELECT 1 FROM duly.outbox WHERE id = :row", {"row": due.row})
    if not present.rows:
        return False
    yield Statement(
        UPSERT_HOLD,
        {
            "subscriber": due.subscriber,
            "lane": due.lane,
            "row": due.row,
            "attempts": attempts,
            "wait_ms": to_milliseconds(wait),
            "reason": storable(reason),
        },
    )
    return True


def park_script(due: Due, token: str, attempts: int, reason: str, notice: Notice | None = None) -> Script[bool]:
    """Move a row to the parked ones and let its lane go on."""
    if not (yield from owns_bucket(due.bucket, token)):
        return False
    deleted = yield Statement("DELETE FROM duly.outbox WHERE id = :row RETURNING commit_id, ordinal", {"row": due.row})
    if not deleted.rows:
        return False
    commit_id, ordinal = deleted.rows[0]
    yield Statement(
        INSERT_PARKED,
        {
            "row": due.row,
            "tenant": due.envelope.tenant,
            "subscriber": due.subscriber,
            "bucket": due.bucket,
            "lane": due.lane,
            "commit_id": commit_id,
            "ordinal": ordinal,
            "attempts": attempts,
            "reason": storable(reason),
        },
    )
    yield Statement(DELETE_HOLD, {"subscriber": due.subscriber, "lane": due.lane})
    if notice is not None:
        yield from notice_script(notice)
    return True


def parked_script(tenant: str, rows_max: int) -> Script[list[Parked]]:
    """A tenant's parked messages, the latest first."""
    found = yield Statement(SELECT_PARKED, {"tenant": tenant, "rows_max": rows_max})
    return [
        Parked(
            id=row[0],
            tenant=row[1],
            subscriber=row[2],
            lane=row[3],
            message_id=str(row[4]),
            message_name=row[5],
            attempts=row[6],
            reason=row[7],
            parked_at=time_of(row[8]),
        )
        for row in found.rows
    ]


def unpark_script(tenant: str, parked_id: int) -> Script[bool]:
    """Put a parked message back at the end of its lane."""
    taken = yield Statement(DELETE_PARKED, {"tenant": tenant, "id": parked_id})
    for subscriber, bucket, lane, commit_id, ordinal in taken.rows:
        yield Statement(
            INSERT_OUTBOX,
            {
                "subscriber": subscriber,
                "bucket": bucket,
                "lane": lane,
                "commit_id": commit_id,
                "ordinal": ordinal,
            },
        )
    return bool(taken.rows)


def undelivered_script(within: timedelta) -> Script[int]:
    """How many promises are not kept yet."""
    found = yield Statement(COUNT_UNDELIVERED, {"within_ms": to_milliseconds(within)})
    count: int = found.rows[0][0]
    return count
