"""How the state of effects is written, apart from attempts: many at once, with the events that their outcomes are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from duly.clock import from_milliseconds, to_milliseconds
from duly.messages.envelope import Kind, Link, decode_chain, encode_chain
from duly.messages.identity import bucket_of, derived_id, lane_of
from duly.messages.outcomes import EffectOutcome
from duly.ports.outcomes import DISPATCH_EVENTS, Hearers
from duly.states.attempt import Origin
from duly.states.effect import Dispatch, Settled, Standing, Step, is_legal
from duly.states.policy import Policy
from duly.stores.script import Row, Script, Statement, json_rows, storable

LEDGER: Final = "duly.ledger"
"""The handler that raises outcomes, as chains of causes name it."""

EFFECT_COLUMNS: Final = (
    "e.id, e.tenant, e.type, e.channel, e.gateway, e.policy, e.state, e.step, e.hold, e.counted, e.attempts, "
    "e.unsettled, e.look_ups, e.moves, e.provider_id, e.reference, e.chain, e.trace, e.delivery, "
    "CASE WHEN e.first_attempt_ms IS NULL THEN 0 ELSE duly.now_ms() - e.first_attempt_ms END, e.due_ms, e.reason, "
    "e.origin"
)
LOCK_EFFECTS: Final = f"SELECT {EFFECT_COLUMNS} FROM duly.effect AS e WHERE e.id = ANY(:ids) ORDER BY e.id FOR UPDATE"
MOVE_EFFECTS: Final = """
UPDATE duly.effect AS e
   SET state = r.next_state, reason = r.why, hold = r.held_by, step = r.next_step, origin = r.ordered_by,
       provider_id = coalesce(r.their_id, e.provider_id), counted = r.now_counted, unsettled = r.now_unsettled,
       look_ups = r.now_look_ups, due_ms = duly.now_ms() + r.wait_ms, token = NULL, lease_ms = NULL,
       confirm_by_ms = coalesce(duly.now_ms() + r.confirm_ms, e.confirm_by_ms),
       moves = e.moves + 1, changed_ms = duly.now_ms()
  FROM JSON_ROWS(:moves, effect_id text, next_state text, why text, held_by text, next_step text, ordered_by text,
                 their_id text, now_counted integer, now_unsettled integer, now_look_ups integer, wait_ms bigint,
                 confirm_ms bigint) AS r
 WHERE e.id = r.effect_id
"""
# Nothing of these commits is a domain event: they take no position in the log.
INSERT_COMMIT: Final = """
INSERT INTO duly.commit_log (tenant, events, at_ms) VALUES (:tenant, 0, duly.now_ms()) RETURNING id
"""
INSERT_MESSAGES: Final = """
INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, subject, handler, chain, trace, body)
SELECT :commit_id, r.ordinal, r.id, :tenant, r.kind, r.name, r.version, r.subject, r.handler, r.chain, r.trace, r.body
  FROM JSON_ROWS(:messages, ordinal integer, id text, kind text, name text, version integer, subject text, handler text,
                 chain text, trace text, body text) AS r
"""
INSERT_PROMISES: Final = """
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
SELECT r.subscriber, r.bucket, r.lane, :commit_id, r.ordinal
  FROM JSON_ROWS(:promises, subscriber integer, bucket integer, lane text, ordinal integer) AS r
 ORDER BY r.ordinal
"""
SELECT_SUBJECTS: Final = "SELECT effect_id, subject FROM duly.effect_content WHERE effect_id = ANY(:ids)"
INSERT_ALARM: Final = """
INSERT INTO duly.anomaly (tenant, kind, about, detail, at_ms) VALUES (:tenant, :kind, :about, :detail, duly.now_ms())
"""
NEEDS_A_PERSON: Final = "an unknown outcome needs a person"


class EffectRow(msgspec.Struct, frozen=True, kw_only=True):
    """An effect as it lies in its row, locked."""

    id: str
    tenant: str
    type: str
    channel: str
    gateway: str
    policy: Policy
    state: Dispatch
    step: Step
    hold: str
    counted: int
    attempts: int
    unsettled: int
    look_ups: int
    moves: int
    provider_id: str | None
    reference: str | None
    chain: str
    trace: str | None
    delivery: str | None
    key_age: timedelta
    due_ms: int | None
    reason: str
    origin: Origin
    """Who ordered its next attempt."""

    def standing(self, *, attempts: int | None = None, unsettled: int | None = None) -> Standing:
        """Where it stands, for a decision."""
        return Standing(
            policy=self.policy,
            attempts=self.counted if attempts is None else attempts,
            unsettled=self.unsettled if unsettled is None else unsettled,
            key_age=self.key_age,
            look_ups=self.look_ups,
        )


def effect_row(row: Row) -> EffectRow:
    """A row of `EFFECT_COLUMNS`."""
    return EffectRow(
        id=str(row[0]),
        tenant=row[1],
        type=row[2],
        channel=row[3],
        gateway=row[4],
        policy=Policy(row[5]),
        state=Dispatch(row[6]),
        step=Step(row[7]),
        hold=row[8],
        counted=row[9],
        attempts=row[10],
        unsettled=row[11],
        look_ups=row[12],
        moves=row[13],
        provider_id=row[14],
        reference=row[15],
        chain=row[16],
        trace=row[17],
        delivery=row[18],
        key_age=from_milliseconds(row[19]),
        due_ms=row[20],
        reason=row[21],
        origin=Origin(row[22]),
    )


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """An effect and what becomes of it. What is None stays as it is."""

    row: EffectRow
    settled: Settled
    hold: str = ""
    origin: Origin | None = None
    provider_id: str | None = None
    counted: int | None = None
    unsettled: int | None = None
    look_ups: int | None = None
    confirm_within: timedelta | None = None


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome that subscribers may hear of."""

    effect_id: str
    tenant: str
    effect_type: str
    channel: str
    gateway: str
    reference: str | None
    chain: str
    trace: str | None
    moves: int
    attempts: int
    provider_id: str | None
    event: type[EffectOutcome]
    reason: str


def lock_effects(ids: Iterable[str]) -> Script[list[EffectRow]]:
    """The rows of effects, locked until the transaction ends, in the order of their ids."""
    found = yield Statement(LOCK_EFFECTS, {"ids": sorted(set(ids))})
    return [effect_row(row) for row in found.rows]


def move_effects(moves: Sequence[Move], hearers: Hearers) -> Script[bool]:
    """Write *moves*, whose rows are locked; whether outcomes were promised to subscribers."""
    if not moves:
        return False
    for move in moves:
        present, following = move.row.state, move.settled.state
        if present is not following and not is_legal(present, following):
            raise ValueError(f"effect {move.row.id} cannot move from {present.value} to {following.value}")
    yield Statement(MOVE_EFFECTS, {"moves": json_rows([_record(move) for move in moves])})
    for move in moves:
        if move.settled.alarm:
            yield from alarm(move.row.tenant, NEEDS_A_PERSON, move.row.id, move.settled.alarm)
    return (yield from announce([a for move in moves if (a := _announced(move)) is not None], hearers))


def alarm(tenant: str, kind: str, about: str, detail: str) -> Script[None]:
    """Write down that a person should look."""
    yield Statement(INSERT_ALARM, {"tenant": tenant, "kind": kind, "about": about, "detail": storable(detail)})


def announce(outcomes: Sequence[Announced], hearers: Hearers) -> Script[bool]:
    """Raise outcomes as public events for whoever hears them; whether anybody does.

    In the transaction that wrote the outcome, whose lock on the effect keeps its events in order.
    """
    heard: dict[str, list[tuple[Announced, tuple[int, ...]]]] = defaultdict(list)
    for outcome in outcomes:
        numbers = hearers.get((outcome.event.__duly__.name, outcome.effect_type), ())
        if numbers:
            heard[outcome.tenant].append((outcome, numbers))
    subjects = yield from _subjects([outcome.effect_id for events in heard.values() for outcome, _ in events])
    for tenant, events in heard.items():
        (row,) = (yield Statement(INSERT_COMMIT, {"tenant": tenant})).rows
        messages = [
            _message(ordinal, outcome, subjects.get(outcome.effect_id)) for ordinal, (outcome, _) in enumerate(events)
        ]
        promises = [
            {"subscriber": number, "bucket": bucket_of(lane), "lane": lane, "ordinal": ordinal}
            for ordinal, (outcome, numbers) in enumerate(events)
            for number in numbers
            for lane in [lane_of(tenant, outcome.effect_id)]
        ]
        about: dict[str, object] = {"commit_id": row[0], "tenant": tenant}
        yield Statement(INSERT_MESSAGES, {**about, "messages": json_rows(messages)})
        yield Statement(INSERT_PROMISES, {**about, "promises": json_rows(promises)})
    return bool(heard)


def _record(move: Move) -> dict[str, object]:
    row, settled = move.row, move.settled
    return {
        "effect_id": row.id,
        "next_state": settled.state.value,
        "why": storable(settled.reason),
        "held_by": move.hold,
        "next_step": settled.step.value,
        "ordered_by": (move.origin or row.origin).value,
        "their_id": move.provider_id and storable(move.provider_id),
        "now_counted": row.counted if move.counted is None else move.counted,
        "now_unsettled": row.unsettled if move.unsettled is None else move.unsettled,
        "now_look_ups": row.look_ups if move.look_ups is None else move.look_ups,
        "wait_ms": None if settled.wait is None else to_milliseconds(settled.wait),
        "confirm_ms": None if move.confirm_within is None else to_milliseconds(move.confirm_within),
    }


def _announced(move: Move) -> Announced | None:
    row, following = move.row, move.settled.state
    event = DISPATCH_EVENTS.get(following)
    if event is None or following is row.state or (following is Dispatch.UNKNOWN and row.unsettled):
        return None
    return announced(row, event, move.settled.reason, provider_id=move.provider_id)


def announced(row: EffectRow, event: type[EffectOutcome], reason: str, *, provider_id: str | None = None) -> Announced:
    """The outcome *event* of an effect."""
    return Announced(
        effect_id=row.id,
        tenant=row.tenant,
        effect_type=row.type,
        channel=row.channel,
        gateway=row.gateway,
        reference=row.reference,
        chain=row.chain,
        trace=row.trace,
        moves=row.moves + 1,
        attempts=row.attempts,
        provider_id=provider_id or row.provider_id,
        event=event,
        reason=reason,
    )


def _subjects(effect_ids: Sequence[str]) -> Script[dict[str, str]]:
    """Whose data effects hold: what follows from an outcome is theirs, too. Of an erased one it is forgotten."""
    if not effect_ids:
        return {}
    found = yield Statement(SELECT_SUBJECTS, {"ids": list(dict.fromkeys(effect_ids))})
    return {str(row[0]): row[1] for row in found.rows}


def _message(ordinal: int, outcome: Announced, subject: str | None) -> dict[str, object]:
    event = outcome.event(
        effect_id=outcome.effect_id,
        effect_type=outcome.effect_type,
        channel=outcome.channel,
        gateway=outcome.gateway,
        reference=outcome.reference,
        reason=storable(outcome.reason),
        provider_id=outcome.provider_id and storable(outcome.provider_id),
        attempts=outcome.attempts,
    )
    facts = outcome.event.__duly__
    return {
        "ordinal": ordinal,
        # A state or delivery is written once per number of moves.
        "id": derived_id(outcome.tenant, outcome.effect_id, handler=f"{LEDGER}#{facts.name}", ordinal=outcome.moves),
        "kind": Kind.PUBLIC.value,
        "name": facts.name,
        "version": facts.version,
        "subject": subject or outcome.effect_id,
        "handler": LEDGER,
        "chain": encode_chain((*decode_chain(outcome.chain), Link("effect", outcome.effect_type, outcome.effect_id))),
        "trace": outcome.trace,
        "body": msgspec.json.encode(event, order="deterministic").decode(),
    }
