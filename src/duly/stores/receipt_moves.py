"""What the waiting receipts of effects do to them. Locks are taken in one order: effects, then receipts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from duly.messages.outcomes import EffectOutcome
from duly.ports.outcomes import DELIVERY_EVENTS, ENGAGEMENT_EVENT, Hearers
from duly.states.delivery import Delivery, Engagement, moves_forward
from duly.states.effect import Dispatch, Settled
from duly.states.report import MEANINGS, Meaning
from duly.stores.effect_moves import (
    Announced,
    EffectRow,
    Move,
    alarm,
    announce,
    announced,
    move_effects,
)
from duly.stores.script import Row, Script, Statement, json_rows, storable

SETTLED: Final = "settled by a receipt"
HELD_BACK: Final = "a receipt says that the provider has taken it, though none of our attempts says so"
BY_RECEIPT: Final = "receipt"
"""What such an effect is held by."""
TAKEN_UNAWARES: Final = "a receipt says that an effect was taken"
ON_THE_WAY: Final = frozenset({None, Delivery.SENT, Delivery.DEFERRED})
"""More is expected to be reported."""

# By the effect's index alone: without statistics PostgreSQL would add the one of all that is not applied.
SELECT_WAITING: Final = """
SELECT id, effect_id, provider_id, delivery, engagement, suppresses, closes_ms
  FROM duly.receipt WHERE effect_id = ANY(:ids) AND coalesce(applied_ms, 0) = 0
 ORDER BY coalesce(occurred_ms, received_ms), id
"""
SELECT_REPORTED: Final = """
SELECT DISTINCT effect_id FROM duly.receipt WHERE effect_id = ANY(:ids) AND applied_ms IS NOT NULL
"""
MARK_REPORTED: Final = "UPDATE duly.effect SET reported = 1 WHERE id = ANY(:ids)"
MARK_APPLIED: Final = "UPDATE duly.receipt SET applied_ms = duly.now_ms(), due_ms = NULL WHERE id = ANY(:ids)"
# What is held back for a person does not run out of time: it has gone through.
RECORD_REPORTS: Final = """
UPDATE duly.effect AS e
   SET delivery = r.told, delivery_ms = CASE WHEN r.is_new = 1 THEN duly.now_ms() ELSE e.delivery_ms END,
       confirm_by_ms = CASE WHEN r.is_over = 1 THEN NULL ELSE coalesce(e.confirm_by_ms, r.until_ms) END,
       expires_ms = CASE WHEN e.hold = 'receipt' THEN NULL ELSE e.expires_ms END,
       provider_id = coalesce(e.provider_id, r.their_id), reported = 0, moves = e.moves + r.more_moves
  FROM JSON_ROWS(:reports, effect text, told text, is_new integer, is_over integer, until_ms bigint, their_id text,
                 more_moves integer) AS r
 WHERE e.id = r.effect
"""
NOTE_LATE_ID: Final = """
INSERT INTO duly.late_id (gateway, provider_id, effect_id)
SELECT e.gateway, :provider_id, e.id FROM duly.effect AS e WHERE e.id = :effect_id
ON CONFLICT (gateway, provider_id, effect_id) DO NOTHING
"""
WAKE_RECEIPTS: Final = """
UPDATE duly.receipt SET due_ms = duly.now_ms()
 WHERE applied_ms IS NULL AND provider_id = :provider_id
   AND gateway = (SELECT e.gateway FROM duly.effect AS e WHERE e.id = :effect_id)
"""
SUPPRESS: Final = """
INSERT INTO duly.suppression (tenant, channel, recipient_hash, reason, source, at_ms)
SELECT c.tenant, :channel, c.recipient_hash, :reason, :source, duly.now_ms()
  FROM duly.effect_content AS c WHERE c.effect_id = :effect_id
ON CONFLICT (tenant, channel, recipient_hash) DO NOTHING
"""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt whose effect is known, not applied yet."""

    id: int
    effect_id: str
    provider_id: str | None
    delivery: Delivery | None
    engagement: Engagement | None
    suppresses: str
    closes_ms: int | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the waiting receipts of one effect come to."""

    row: EffectRow
    receipts: tuple[Waiting, ...]
    delivery: Delivery | None
    events: tuple[tuple[type[EffectOutcome], str], ...]
    """What subscribers may hear, each with its reason."""
    changes: int
    """How often the delivery moved or an engagement came."""

    @property
    def meaning(self) -> Meaning:
        """What it means for the dispatch."""
        meaning = MEANINGS[self.row.state]
        if meaning is Meaning.HOLDS_BACK and self.row.hold == BY_RECEIPT:
            return Meaning.AGREES
        return meaning

    @property
    def provider_id(self) -> str | None:
        """The first id that one of them names."""
        return next((one.provider_id for one in self.receipts if one.provider_id is not None), None)


class Applied(msgspec.Struct, frozen=True):
    """Which receipts were applied, and whether outcomes were promised to subscribers."""

    receipts: frozenset[int] = frozenset()
    has_promised: bool = False


def apply_waiting(rows: Sequence[EffectRow], hearers: Hearers) -> Script[Applied]:
    """Apply what waits for these effects, which are locked. About one that is being attempted it waits on."""
    if not rows:
        return Applied()
    found = yield Statement(SELECT_WAITING, {"ids": [row.id for row in rows]})
    waiting = _by_effect(found.rows)
    rows = [row for row in rows if row.id in waiting]
    attempting = [row.id for row in rows if row.state is Dispatch.ATTEMPTING]
    if attempting:
        yield Statement(MARK_REPORTED, {"ids": attempting})
    reports = [_report(row, waiting[row.id]) for row in rows if row.state is not Dispatch.ATTEMPTING]
    return (yield from _apply(reports, hearers)) if reports else Applied()


def note_late_id(effect_id: str, provider_id: str | None) -> Script[None]:
    """A stale worker has learned this id: receipts find the effect by it."""
    if provider_id is not None:
        yield Statement(NOTE_LATE_ID, {"effect_id": effect_id, "provider_id": provider_id})
        yield from wake_receipts(effect_id, provider_id)


def wake_receipts(effect_id: str, provider_id: str | None) -> Script[None]:
    """An effect was found to have this id, long after its attempt: let the next sweep look for its receipts."""
    if provider_id is not None:
        yield Statement(WAKE_RECEIPTS, {"effect_id": effect_id, "provider_id": storable(provider_id)})


def _apply(reports: Sequence[Report], hearers: Hearers) -> Script[Applied]:
    yield from _tell_a_person(reports)
    moves = {report.row.id: move for report in reports if (move := _move(report)) is not None}
    has_promised = yield from move_effects(list(moves.values()), hearers)
    yield Statement(RECORD_REPORTS, {"reports": json_rows([_record(report) for report in reports])})
    events = [event for report in reports for event in _announced(report, 1 if report.row.id in moves else 0)]
    has_promised |= yield from announce(events, hearers)
    for report in reports:
        for receipt in report.receipts:
            if receipt.suppresses:
                yield Statement(
                    SUPPRESS,
                    {
                        "channel": report.row.channel,
                        "effect_id": report.row.id,
                        "reason": receipt.suppresses,
                        "source": BY_RECEIPT,
                    },
                )
    applied = [receipt.id for report in reports for receipt in report.receipts]
    yield Statement(MARK_APPLIED, {"ids": applied})
    return Applied(frozenset(applied), has_promised)


def _tell_a_person(reports: Sequence[Report]) -> Script[None]:
    """Write down what contradicts the ledger, once per effect: when its first receipt comes."""
    contradicting = [report for report in reports if report.meaning in (Meaning.CONTRADICTS, Meaning.HOLDS_BACK)]
    if not contradicting:
        return
    found = yield Statement(SELECT_REPORTED, {"ids": [report.row.id for report in contradicting]})
    told = {str(row[0]) for row in found.rows}
    for report in contradicting:
        row = report.row
        if report.meaning is Meaning.HOLDS_BACK:
            detail = (
                f"It was {row.state.value}, and its provider reports that it has taken it. It is held back, so that "
                "it does not go out twice. Compare its attempts with the provider's log, then settle it."
            )
        elif row.id not in told:
            detail = (
                f"It is {row.state.value}, and its provider reports that it has taken it. The state stays, and what "
                "is reported is recorded as its delivery. Compare its attempts with the provider's log."
            )
        else:
            continue
        yield from alarm(row.tenant, TAKEN_UNAWARES, row.id, detail)


def _by_effect(rows: Sequence[Row]) -> Mapping[str, list[Waiting]]:
    waiting: dict[str, list[Waiting]] = defaultdict(list)
    for row in rows:
        waiting[str(row[1])].append(
            Waiting(
                id=row[0],
                effect_id=str(row[1]),
                provider_id=row[2],
                delivery=None if row[3] is None else Delivery(row[3]),
                engagement=None if row[4] is None else Engagement(row[4]),
                suppresses=row[5],
                closes_ms=row[6],
            )
        )
    return waiting


def _report(row: EffectRow, receipts: Sequence[Waiting]) -> Report:
    """Fold receipts into the delivery of their effect: it moves forward only."""
    delivery = None if row.delivery is None else Delivery(row.delivery)
    events: list[tuple[type[EffectOutcome], str]] = []
    changes = 0
    for receipt in receipts:
        if receipt.delivery is not None and moves_forward(delivery, receipt.delivery):
            delivery = receipt.delivery
            changes += 1
            if delivery in DELIVERY_EVENTS:
                events.append((DELIVERY_EVENTS[delivery], delivery.value))
        if receipt.engagement is not None:
            changes += 1
            events.append((ENGAGEMENT_EVENT, receipt.engagement.value))
    return Report(row=row, receipts=tuple(receipts), delivery=delivery, events=tuple(events), changes=changes)


def _move(report: Report) -> Move | None:
    row = report.row
    provider_id = None if row.provider_id is not None else report.provider_id
    match report.meaning:
        case Meaning.SETTLES:
            accepted = Settled(state=Dispatch.ACCEPTED, reason=SETTLED)
            return Move(row=row, settled=accepted, provider_id=provider_id, unsettled=0, look_ups=0)
        case Meaning.HOLDS_BACK:
            held = Settled(state=Dispatch.HELD, reason=HELD_BACK)
            return Move(row=row, settled=held, hold=BY_RECEIPT, provider_id=provider_id)
        case Meaning.WAITS | Meaning.CONTRADICTS | Meaning.AGREES:
            return None


def _record(report: Report) -> dict[str, object]:
    delivery = report.delivery
    closes = [one.closes_ms for one in report.receipts if one.closes_ms is not None]
    begins = report.meaning is not Meaning.AGREES
    return {
        "effect": report.row.id,
        "told": None if delivery is None else delivery.value,
        "is_new": int((delivery and delivery.value) != report.row.delivery),
        "is_over": int(delivery not in ON_THE_WAY),
        "until_ms": max(closes, default=None) if begins else None,
        "their_id": report.provider_id,
        "more_moves": report.changes,
    }


def _announced(report: Report, moved: int) -> list[Announced]:
    """The events of a report, each with a number of its own among the effect's moves."""
    row = report.row
    return [
        msgspec.structs.replace(
            announced(row, event, reason, provider_id=row.provider_id or report.provider_id),
            moves=row.moves + moved + place,
        )
        for place, (event, reason) in enumerate(report.events, start=1)
    ]
