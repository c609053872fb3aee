"""Look-ups of unknown effects at their providers, and what runs out by time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from duly.clock import time_of, to_milliseconds
from duly.ports.gateway import Prepared, decode_attachments
from duly.ports.ledger import Claimed, LookUpDue, LookUpEnded, Turned
from duly.ports.outcomes import DELIVERY_EVENTS, Hearers
from duly.states.delivery import Delivery
from duly.states.effect import Dispatch, Settled
from duly.stores.effect_moves import (
    EFFECT_COLUMNS,
    EffectRow,
    Move,
    announce,
    announced,
    effect_row,
    lock_effects,
    move_effects,
)
from duly.stores.receipt_moves import wake_receipts
from duly.stores.script import Script, Statement, storable

EXPIRED_PER_SWEEP_MAX: Final = 500
BREAKER_KEPT: Final = timedelta(days=1)
"""How long an open breaker is remembered that nobody has asked through since it was time to."""

SELECT_LOOK_UPS: Final = f"""
SELECT {EFFECT_COLUMNS}, e.key, e.requested_ms, duly.now_ms() FROM duly.effect AS e
 WHERE e.gateway = :gateway AND e.due_ms IS NOT NULL AND e.due_ms <= duly.now_ms() AND e.step <> 'attempt'
   AND e.state = 'unknown'
 ORDER BY e.due_ms LIMIT :slots FOR UPDATE SKIP LOCKED
"""
SELECT_CONTENTS: Final = """
SELECT effect_id, recipient, summary, content_type, body, attachments
  FROM duly.effect_content WHERE effect_id = ANY(:ids)
"""
TAKE_LOOK_UPS: Final = """
UPDATE duly.effect AS e
   SET token = :token, lease_ms = duly.now_ms() + :lease_ms, due_ms = NULL, look_ups = e.look_ups + 1,
       moves = e.moves + 1
 WHERE e.id = ANY(:ids)
"""
SELECT_HELD_TOKEN: Final = "SELECT 1 FROM duly.effect WHERE id = :id AND token = :token"
INSERT_LOOK_UP: Final = """
INSERT INTO duly.look_up (effect_id, number, step, asked_ms, answer, evidence, provider_id)
SELECT :effect_id, (SELECT count(*) FROM duly.look_up WHERE effect_id = :effect_id) + 1, :step, duly.now_ms(), :answer,
       :evidence, :provider_id
"""
SELECT_EXPIRED: Final = """
SELECT id FROM duly.effect
 WHERE expires_ms IS NOT NULL AND expires_ms <= duly.now_ms() AND state IN ('requested', 'scheduled', 'queued', 'held')
 ORDER BY expires_ms LIMIT :rows_max FOR UPDATE SKIP LOCKED
"""
SELECT_UNCONFIRMED: Final = f"""
SELECT {EFFECT_COLUMNS} FROM duly.effect AS e
 WHERE e.confirm_by_ms IS NOT NULL AND e.confirm_by_ms <= duly.now_ms()
 ORDER BY e.confirm_by_ms LIMIT :rows_max FOR UPDATE SKIP LOCKED
"""
# The gateway or the customer may be gone; with the next call, a new tally begins.
FORGET_BREAKERS: Final = "DELETE FROM duly.breaker WHERE until_ms <= duly.now_ms() - :kept_ms"
UNCONFIRM: Final = """
UPDATE duly.effect AS e
   SET confirm_by_ms = NULL, delivery = CASE WHEN e.id = ANY(:unconfirmed) THEN 'unconfirmed' ELSE e.delivery END,
       delivery_ms = CASE WHEN e.id = ANY(:unconfirmed) THEN duly.now_ms() ELSE e.delivery_ms END, moves = e.moves + 1
 WHERE e.id = ANY(:ids)
"""


def claim_look_ups_script(gateway: str, slots: int, token: str, lease: timedelta) -> Script[list[LookUpDue]]:
    """Take unknown effects that are due to be looked up."""
    found = yield Statement(SELECT_LOOK_UPS, {"gateway": gateway, "slots": slots})
    if not found.rows:
        return []
    ids = [str(row[0]) for row in found.rows]
    contents = yield Statement(SELECT_CONTENTS, {"ids": ids})
    prepared = {
        str(row[0]): Prepared(
            recipient=row[1],
            summary=row[2],
            content_type=row[3],
            body=bytes(row[4]),
            attachments=decode_attachments(row[5]),
        )
        for row in contents.rows
    }
    yield Statement(TAKE_LOOK_UPS, {"token": token, "lease_ms": to_milliseconds(lease), "ids": ids})
    # A reference is enough to look something up: an effect whose content was erased is looked up, too.
    erased = Prepared(recipient="", summary="", content_type="", body=b"")
    return [
        LookUpDue(
            claimed=Claimed(
                effect_id=row.id,
                tenant=row.tenant,
                type=row.type,
                gateway=row.gateway,
                key=str(raw[23]),
                number=row.attempts,
                counted=row.counted,
                unsettled=row.unsettled,
                key_age=row.key_age,
                policy=row.policy,
                is_probe=False,
                token=token,
                prepared=prepared.get(row.id, erased),
                requested_at=time_of(raw[24]),
                started_at=time_of(raw[25]),
                trace=row.trace,
            ),
            step=row.step,
            look_ups=row.look_ups + 1,
        )
        for raw in found.rows
        for row in [effect_row(raw)]
    ]


def end_look_ups_script(ended: Sequence[LookUpEnded], hearers: Hearers) -> Script[Turned]:
    """Write down what look-ups came to; False where the effect has moved on meanwhile."""
    written: dict[str, bool] = {}
    has_promised = False
    rows = {row.id: row for row in (yield from lock_effects(end.effect_id for end in ended))}
    for end in ended:
        row = rows.get(end.effect_id)
        if row is None:
            continue
        held = yield Statement(SELECT_HELD_TOKEN, {"id": end.effect_id, "token": end.token})
        yield Statement(
            INSERT_LOOK_UP,
            {
                "effect_id": end.effect_id,
                "step": end.step.value,
                "answer": end.answer,
                "evidence": storable(end.evidence),
                "provider_id": end.provider_id and storable(end.provider_id),
            },
        )
        is_held = bool(held.rows) and row.state is Dispatch.UNKNOWN
        written[end.effect_id] = is_held
        if is_held:
            has_promised |= yield from move_effects([_move(row, end)], hearers)
            yield from wake_receipts(row.id, end.provider_id)
    return Turned(written=tuple(written.get(end.effect_id, False) for end in ended), has_promised=has_promised)


def expire_script(hearers: Hearers) -> Script[bool]:
    """Close waiting effects whose time ran out, deliveries that nobody reports on any more, and stale breakers."""
    yield Statement(FORGET_BREAKERS, {"kept_ms": to_milliseconds(BREAKER_KEPT)})
    found = yield Statement(SELECT_EXPIRED, {"rows_max": EXPIRED_PER_SWEEP_MAX})
    rows = yield from lock_effects(str(row[0]) for row in found.rows)
    moves = [Move(row=row, settled=Settled(state=Dispatch.EXPIRED, reason="its time ran out")) for row in rows]
    has_promised = yield from move_effects(moves, hearers)
    late = yield Statement(SELECT_UNCONFIRMED, {"rows_max": EXPIRED_PER_SWEEP_MAX})
    silent = [effect_row(row) for row in late.rows]
    if not silent:
        return has_promised
    unconfirmed = [row for row in silent if row.delivery in (None, "sent", "deferred")]
    yield Statement(UNCONFIRM, {"ids": [row.id for row in silent], "unconfirmed": [row.id for row in unconfirmed]})
    event = DELIVERY_EVENTS[Delivery.UNCONFIRMED]
    told = [announced(row, event, "no report came in time") for row in unconfirmed]
    return (yield from announce(told, hearers)) or has_promised


def _move(row: EffectRow, end: LookUpEnded) -> Move:
    """The look-up's end. What is settled by it is no longer unknown."""
    is_settled = end.settled.state is not Dispatch.UNKNOWN
    return Move(
        row=row,
        settled=end.settled,
        provider_id=end.provider_id,
        unsettled=0 if is_settled else row.unsettled,
        look_ups=0 if is_settled else row.look_ups,
        confirm_within=end.confirm_within,
    )
