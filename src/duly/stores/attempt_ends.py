"""How attempts end: as their sender says, as never started, or as unknown because their worker was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from duly.clock import to_milliseconds
from duly.ports.ledger import Ended, Lost, LostSettler
from duly.ports.outcomes import DISPATCH_EVENTS, Hearers
from duly.states.attempt import Origin
from duly.states.effect import Dispatch, Settled
from duly.stores.effect_moves import (
    NEEDS_A_PERSON,
    Announced,
    EffectRow,
    Move,
    alarm,
    announce,
    lock_effects,
    move_effects,
)
from duly.stores.receipt_moves import apply_waiting, note_late_id
from duly.stores.script import Row, Script, Statement, json_rows, storable

NEVER_STARTED: Final = "never started: the claim's answer was lost"
LOST_PER_SWEEP_MAX: Final = 500

# Token and state as one condition on both sides: alone, the state would make PostgreSQL think that hardly any effect
# fits, and look through all effects for each end, by a plan that it made while they were few.
_END_EFFECTS: Final = """
UPDATE duly.effect AS e
   SET state = r.next_state, reason = r.why, hold = r.held_by, step = r.next_step, origin = 'scheduled', look_ups = 0,
       provider_id = coalesce(r.their_id, e.provider_id), counted = e.counted - r.uncounted,
       unsettled = CASE WHEN r.next_state = 'accepted' THEN 0 ELSE e.unsettled + r.unknown END,
       due_ms = (SELECT duly.now_ms()) + r.wait_ms, confirm_by_ms = (SELECT duly.now_ms()) + r.confirm_ms, token = NULL,
       lease_ms = NULL, moves = e.moves + 1, changed_ms = (SELECT duly.now_ms())
  FROM JSON_ROWS(:ended, effect_id text, held_token text, next_state text, why text, held_by text, next_step text,
                 their_id text, uncounted integer, unknown integer, wait_ms bigint, confirm_ms bigint) AS r
 WHERE e.id = r.effect_id AND CASE WHEN e.token = r.held_token THEN e.state END = 'attempting'
RETURNING id, attempts, reported"""
END_EFFECTS: Final = f"{_END_EFFECTS}, changed_ms"
# The same, with what an event tells.
END_EFFECTS_HEARD: Final = (
    f"{_END_EFFECTS}, tenant, type, channel, gateway, reference, chain, trace, moves, provider_id, changed_ms"
)
# At the moment at which its effect changed, if that is known: a later reading of the clock would come after it.
END_ATTEMPTS: Final = """
UPDATE duly.attempt AS a
   SET ended_ms = coalesce(:ended_ms, (SELECT duly.now_ms())), outcome = r.how, evidence = r.seen,
       provider_id = r.their_id
  FROM JSON_ROWS(:ended, of_effect text, its_number integer, how text, seen text, their_id text) AS r
 WHERE a.effect_id = r.of_effect AND a.number = r.its_number
"""
SELECT_WRITTEN: Final = """
SELECT 1 FROM duly.attempt
 WHERE effect_id = :effect_id AND number = :number AND token = :token AND outcome = :outcome AND evidence = :evidence
"""
NOTE_LATE: Final = """
UPDATE duly.attempt
   SET evidence = evidence || :note, provider_id = coalesce(provider_id, :provider_id)
 WHERE effect_id = :effect_id AND number = :number AND token = :token
"""
SUPPRESS_RECIPIENT: Final = """
INSERT INTO duly.suppression (tenant, channel, recipient_hash, reason, source, at_ms)
SELECT e.tenant, e.channel, c.recipient_hash, :reason, :source, duly.now_ms()
  FROM duly.effect AS e JOIN duly.effect_content AS c ON c.effect_id = e.id WHERE e.id = :effect_id
ON CONFLICT (tenant, channel, recipient_hash) DO NOTHING
"""
# Under lock, so that it has this token still: another may have claimed it meanwhile. Leases are few, so that one looks
# through them; an index of tokens would be written with each attempt and each end.
SELECT_ABANDONED: Final = """
SELECT id FROM duly.effect
 WHERE lease_ms IS NOT NULL AND token = :token AND state || '' = 'attempting' ORDER BY id FOR UPDATE
"""
SELECT_LOST: Final = """
SELECT id FROM duly.effect
 WHERE lease_ms IS NOT NULL AND lease_ms <= duly.now_ms() ORDER BY lease_ms LIMIT :rows_max FOR UPDATE SKIP LOCKED
"""
HAS_LOST: Final = """
SELECT 1 FROM duly.effect WHERE lease_ms IS NOT NULL AND lease_ms <= duly.now_ms() ORDER BY lease_ms LIMIT 1
"""


def end_attempts(ended: Sequence[Ended], hearers: Hearers) -> Script[tuple[list[bool], bool]]:
    """Write outcomes down, those of a stale token only as evidence.

    Whether each one counted, in the order of *ended*; and whether outcomes were promised to subscribers.
    """
    if not ended:
        return [], False
    # In the order of their ids, as everybody locks effects.
    records = [_effect_record(end) for end in sorted(ended, key=lambda end: end.effect_id)]
    found = yield Statement(END_EFFECTS_HEARD if hearers else END_EFFECTS, {"ended": json_rows(records)})
    rows = {str(row[0]): row for row in found.rows}
    # A stale end may come together with that of a later attempt.
    written = [end.effect_id in rows and rows[end.effect_id][1] == end.number for end in ended]
    counted = [end for end, is_written in zip(ended, written, strict=True) if is_written]
    if counted:
        changed_ms: int = found.rows[0][len(found.rows[0]) - 1]
        yield _end_attempts([_attempt_record(end) for end in counted], changed_ms)
    for place, end in enumerate(ended):
        if not written[place]:
            written[place] = yield from _late(end)
    for end in counted:
        if end.suppresses:
            reason = storable(end.suppresses)
            yield Statement(SUPPRESS_RECIPIENT, {"effect_id": end.effect_id, "reason": reason, "source": "provider"})
        if end.settled.alarm:
            yield from alarm(end.tenant, NEEDS_A_PERSON, end.effect_id, end.settled.alarm)
    outcomes = [a for end in counted if (a := _announced(end, rows[end.effect_id])) is not None] if hearers else []
    has_promised = yield from announce(outcomes, hearers)
    if reported := [effect_id for effect_id, row in rows.items() if row[2]]:
        applied = yield from apply_waiting((yield from lock_effects(reported)), hearers)
        has_promised |= applied.has_promised
    return written, has_promised


def abandon(token: str) -> Script[None]:
    """Put back what a claim took whose answer was lost: none of these calls was started."""
    found = yield Statement(SELECT_ABANDONED, {"token": token})
    rows = yield from lock_effects(str(row[0]) for row in found.rows)
    moves = [_put_back(row) for row in rows if row.state is Dispatch.ATTEMPTING]
    yield from move_effects(moves, {})
    ended = [_outcome(move.row, "not sent", NEVER_STARTED) for move in moves]
    if ended:
        yield _end_attempts(ended)


def lose_attempts(reason: str, settle: LostSettler, hearers: Hearers) -> Script[Lost]:
    """Write *unknown* for attempts whose owner let the lease run out, then apply the policy; free look-ups."""
    found = yield Statement(SELECT_LOST, {"rows_max": LOST_PER_SWEEP_MAX})
    rows = yield from lock_effects(str(row[0]) for row in found.rows)
    attempting = [row for row in rows if row.state is Dispatch.ATTEMPTING]
    moves = [
        Move(
            row=row,
            settled=settle(row.gateway, row.standing()),
            origin=Origin.SCHEDULED,
            unsettled=row.unsettled + 1,
            look_ups=0,
        )
        for row in attempting
    ]
    moves += [
        # A look-up changes nothing over there: it is simply made again.
        Move(row=row, settled=Settled(state=row.state, reason=row.reason, wait=timedelta(), step=row.step))
        for row in rows
        if row.state is Dispatch.UNKNOWN
    ]
    has_promised = yield from move_effects(moves, hearers)
    if attempting:
        yield _end_attempts([_outcome(row, "unknown", reason) for row in attempting])
    return Lost(effect_ids=tuple(row.id for row in attempting), has_promised=has_promised)


def has_lost_attempts() -> Script[bool]:
    """Whether a lease has run out."""
    return bool((yield Statement(HAS_LOST)).rows)


def _late(end: Ended) -> Script[bool]:
    """An outcome of a stale token: True when a commit whose answer was lost has written it; else it is evidence."""
    evidence = storable(end.evidence)
    provider_id = None if end.provider_id is None else storable(end.provider_id)
    about: dict[str, object] = {"effect_id": end.effect_id, "number": end.number, "token": end.token}
    same = yield Statement(SELECT_WRITTEN, {**about, "outcome": end.outcome, "evidence": evidence})
    if same.rows:
        return True
    note = f" [learned too late to count: {end.outcome} {provider_id or ''} {evidence}]"
    yield Statement(NOTE_LATE, {**about, "note": note, "provider_id": provider_id})
    yield from note_late_id(end.effect_id, provider_id)
    return False


def _end_attempts(ended: Sequence[Mapping[str, object]], ended_ms: int | None = None) -> Statement:
    return Statement(END_ATTEMPTS, {"ended": json_rows(ended), "ended_ms": ended_ms})


def _put_back(row: EffectRow) -> Move:
    state = Dispatch.UNKNOWN if row.unsettled else Dispatch.QUEUED
    settled = Settled(state=state, reason=NEVER_STARTED, wait=timedelta())
    return Move(row=row, settled=settled, counted=row.counted - 1)


def _outcome(row: EffectRow, outcome: str, evidence: str) -> dict[str, object]:
    return {"of_effect": row.id, "its_number": row.attempts, "how": outcome, "seen": evidence, "their_id": None}


def _effect_record(end: Ended) -> dict[str, object]:
    settled = end.settled
    return {
        "effect_id": end.effect_id,
        "held_token": end.token,
        "next_state": settled.state.value,
        "why": settled.reason and storable(settled.reason),
        "held_by": "gateway" if settled.state is Dispatch.HELD else "",
        "next_step": settled.step.value,
        "their_id": end.provider_id and storable(end.provider_id),
        "uncounted": 0 if settled.counts else 1,
        "unknown": 1 if end.outcome == "unknown" else 0,
        "wait_ms": None if settled.wait is None else to_milliseconds(settled.wait),
        "confirm_ms": None if end.confirm_within is None else to_milliseconds(end.confirm_within),
    }


def _attempt_record(end: Ended) -> dict[str, object]:
    return {
        "of_effect": end.effect_id,
        "its_number": end.number,
        "how": end.outcome,
        "seen": end.evidence and storable(end.evidence),
        "their_id": end.provider_id and storable(end.provider_id),
    }


def _announced(end: Ended, row: Row) -> Announced | None:
    event = DISPATCH_EVENTS.get(end.settled.state)
    if event is None or not end.is_news:
        return None
    return Announced(
        effect_id=end.effect_id,
        tenant=row[3],
        effect_type=row[4],
        channel=row[5],
        gateway=row[6],
        reference=row[7],
        chain=row[8],
        trace=row[9],
        moves=row[10],
        attempts=row[1],
        provider_id=row[11],
        event=event,
        reason=end.settled.reason,
    )
