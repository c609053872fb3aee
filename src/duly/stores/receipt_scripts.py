"""Receipts: kept, each once; matched with their effects; applied, at once or by a sweep.

A receipt and our record of acceptance may miss each other: neither sees what the other has not committed. The sweep is
the contract, so neither waits for the other, and acceptance costs no statement more. Whatever was not matched is due
again, at first within the second, then after as long as it has waited.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from duly.clock import EPOCH, time_of, to_milliseconds
from duly.ports.gateway import Receipt
from duly.ports.outcomes import Hearers
from duly.ports.receipts import ReceiptsJoined, ReceiptsTaken
from duly.stores.effect_moves import lock_effects
from duly.stores.engine import Engine
from duly.stores.receipt_moves import Applied, apply_waiting
from duly.stores.script import Script, Statement, json_rows, storable

JOINED_PER_SWEEP_MAX: Final = 500
TRIED_AGAIN_AFTER_MIN: Final = timedelta(seconds=1)
TRIED_AGAIN_AFTER_MAX: Final = timedelta(hours=1)
TRIED_FOR: Final = timedelta(days=7)
"""How long a receipt in quarantine is matched with effects again. After that it is only kept."""

SELECT_NOW: Final = "SELECT duly.now_ms()"
INSERT_RECEIPTS: Final = """
INSERT INTO duly.receipt (gateway, dedupe, provider_id, delivery, engagement, detail, suppresses, occurred_ms,
                          received_ms, closes_ms, due_ms)
SELECT :gateway, r.same, r.their_id, r.told, r.engaged, r.said, r.takes_off, r.at_ms, duly.now_ms(),
       duly.now_ms() + r.within_ms, CASE WHEN r.their_id IS NULL THEN NULL ELSE duly.now_ms() END
  FROM JSON_ROWS(:receipts, place integer, same text, their_id text, told text, engaged text, said text, takes_off text,
                 at_ms bigint, within_ms bigint) AS r
 WHERE true
 ORDER BY r.place
ON CONFLICT (gateway, dedupe) DO NOTHING
RETURNING id, dedupe
"""
# By an id of ours, and by the provider's: never beyond the gateway that it came in at.
SELECT_BY_ID: Final = "SELECT id, tenant FROM duly.effect WHERE id = ANY(:ids) AND gateway = :gateway"
SELECT_BY_PROVIDER_ID: Final = """
SELECT provider_id, id, tenant FROM duly.effect
 WHERE gateway = :gateway AND provider_id = ANY(:provider_ids) AND provider_id IS NOT NULL
"""
# By key, one by one: a join would be planned from statistics. The tenant is NULL when the effect is gone.
SELECT_BY_LATE_ID: Final = """
SELECT l.provider_id, l.effect_id, (SELECT e.tenant FROM duly.effect AS e WHERE e.id = l.effect_id)
  FROM duly.late_id AS l WHERE l.gateway = :gateway AND l.provider_id = ANY(:provider_ids)
"""
MATCH_RECEIPTS: Final = """
UPDATE duly.receipt AS f SET effect_id = r.found, tenant = r.of_tenant, due_ms = duly.now_ms()
  FROM JSON_ROWS(:matches, receipt bigint, found text, of_tenant text) AS r
 WHERE f.id = r.receipt AND f.effect_id IS NULL
"""
HAS_DUE: Final = (
    "SELECT 1 FROM duly.receipt WHERE due_ms IS NOT NULL AND due_ms <= duly.now_ms() ORDER BY due_ms LIMIT 1"
)
SELECT_DUE: Final = """
SELECT id, gateway, effect_id, provider_id, due_ms FROM duly.receipt
 WHERE due_ms IS NOT NULL AND due_ms <= duly.now_ms() ORDER BY due_ms LIMIT :rows_max
"""
# What was woken since it was read is due still. An attempt ends soon; an id that is unknown may stay so.
PUT_OFF: Final = """
UPDATE duly.receipt
   SET due_ms = CASE WHEN duly.now_ms() - received_ms >= :tried_for_ms THEN NULL
                     WHEN effect_id IS NOT NULL THEN duly.now_ms() + :shortest_ms
                     WHEN duly.now_ms() - received_ms >= :longest_ms THEN duly.now_ms() + :longest_ms
                     WHEN duly.now_ms() - received_ms >= :shortest_ms THEN 2 * duly.now_ms() - received_ms
                     ELSE duly.now_ms() + :shortest_ms END
 WHERE id = ANY(:ids) AND applied_ms IS NULL AND due_ms <= :read_ms
"""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt as the database takes it."""

    same: str
    effect_id: str | None
    their_id: str | None
    told: str | None
    engaged: str | None
    said: str
    takes_off: str
    at_ms: int | None
    within_ms: int | None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt that is not applied yet, and what it names."""

    id: int
    gateway: str
    effect_id: str | None
    provider_id: str | None


class Found(msgspec.Struct, frozen=True):
    """An effect that receipts are about."""

    id: str
    tenant: str


def take_receipts_script(
    gateway: str, receipts: Sequence[Receipt], within: timedelta | None, hearers: Hearers
) -> Script[ReceiptsTaken]:
    """Keep receipts, each once, and apply those whose effect is known."""
    records = [_record(receipt, within) for receipt in receipts]
    rows = [{**msgspec.structs.asdict(record), "place": place} for place, record in enumerate(records)]
    inserted = yield Statement(INSERT_RECEIPTS, {"gateway": gateway, "receipts": json_rows(rows)})
    if not inserted.rows:
        return ReceiptsTaken()
    # Of receipts that are the same the first was inserted.
    named = {record.same: record for record in reversed(records)}
    new = [
        Kept(id=row[0], gateway=gateway, effect_id=named[row[1]].effect_id, provider_id=named[row[1]].their_id)
        for row in inserted.rows
    ]
    matches = yield from _match(new)
    applied = yield from _apply(matches, {effect.id for effect in matches.values()}, hearers)
    done = len(applied.receipts & matches.keys())
    return ReceiptsTaken(new=len(new), applied=done, waiting=len(matches) - done, has_promised=applied.has_promised)


def join_receipts_script(hearers: Hearers) -> Script[ReceiptsJoined]:
    """Match and apply receipts that wait, those that are due longest first."""
    due = yield Statement(SELECT_DUE, {"rows_max": JOINED_PER_SWEEP_MAX})
    kept = [
        Kept(id=row[0], gateway=row[1], effect_id=None if row[2] is None else str(row[2]), provider_id=row[3])
        for row in due.rows
    ]
    if not kept:
        return ReceiptsJoined()
    matches = yield from _match([one for one in kept if one.effect_id is None])
    known = {effect.id for effect in matches.values()} | {one.effect_id for one in kept if one.effect_id is not None}
    applied = yield from _apply(matches, known, hearers)
    yield Statement(
        PUT_OFF,
        {
            "ids": [one.id for one in kept],
            "read_ms": max(row[4] for row in due.rows),
            "tried_for_ms": to_milliseconds(TRIED_FOR),
            "longest_ms": to_milliseconds(TRIED_AGAIN_AFTER_MAX),
            "shortest_ms": to_milliseconds(TRIED_AGAIN_AFTER_MIN),
        },
    )
    return ReceiptsJoined(
        applied=len(applied.receipts), has_promised=applied.has_promised, has_more=len(kept) == JOINED_PER_SWEEP_MAX
    )


def has_due_receipts() -> Script[bool]:
    """Whether a sweep would find anything."""
    return bool((yield Statement(HAS_DUE)).rows)


def now_script() -> Script[datetime]:
    """The time."""
    found = yield Statement(SELECT_NOW)
    return time_of(found.rows[0][0])


def _match(kept: Sequence[Kept]) -> Script[dict[int, Found]]:
    """Which effect each receipt is about, by the receipt's number; what is about none that is known is left out."""
    matches: dict[int, Found] = {}
    by_gateway: dict[str, list[Kept]] = defaultdict(list)
    for one in kept:
        by_gateway[one.gateway].append(one)
    for gateway, receipts in by_gateway.items():
        by_id = yield from _effects_by_id(gateway, {one.effect_id for one in receipts})
        unnamed = [one for one in receipts if one.effect_id not in by_id]
        by_theirs = yield from _effects_by_provider_id(gateway, {one.provider_id for one in unnamed})
        for one in receipts:
            effect = by_id.get(one.effect_id or "") or by_theirs.get(one.provider_id or "")
            if effect is not None:
                matches[one.id] = effect
    return matches


def _apply(matches: Mapping[int, Found], ids: set[str], hearers: Hearers) -> Script[Applied]:
    """Lock the effects *ids*, write down which receipts are about them, and apply these."""
    if not ids:
        return Applied()
    effects = yield from lock_effects(ids)
    if matches:
        rows = [
            {"receipt": receipt, "found": effect.id, "of_tenant": effect.tenant} for receipt, effect in matches.items()
        ]
        yield Statement(MATCH_RECEIPTS, {"matches": json_rows(rows)})
    return (yield from apply_waiting(effects, hearers))


def _effects_by_id(gateway: str, ids: Iterable[str | None]) -> Script[dict[str, Found]]:
    named = sorted(one for one in ids if one)
    if not named:
        return {}
    found = yield Statement(SELECT_BY_ID, {"ids": named, "gateway": gateway})
    return {str(row[0]): Found(str(row[0]), row[1]) for row in found.rows}


def _effects_by_provider_id(gateway: str, ids: Iterable[str | None]) -> Script[dict[str, Found]]:
    """By the provider's id of an effect, else by one that was learned late. What several effects have says nothing."""
    unknown = sorted(one for one in ids if one)
    matches: dict[str, Found] = {}
    for text in (SELECT_BY_PROVIDER_ID, SELECT_BY_LATE_ID):
        if not unknown:
            break
        found = yield Statement(text, {"gateway": gateway, "provider_ids": unknown})
        effects: dict[str, set[Found]] = defaultdict(set)
        for provider_id, effect_id, tenant in found.rows:
            if tenant is not None:
                effects[provider_id].add(Found(str(effect_id), tenant))
        matches |= {provider_id: effect for provider_id, (effect, *others) in effects.items() if not others}
        unknown = [one for one in unknown if one not in effects]
    return matches


def _record(receipt: Receipt, within: timedelta | None) -> Record:
    occurred = receipt.occurred_at
    return Record(
        same=storable(receipt.dedupe),
        effect_id=None if receipt.effect_id is None else storable(receipt.effect_id),
        their_id=None if receipt.provider_id is None else storable(receipt.provider_id),
        told=None if receipt.delivery is None else receipt.delivery.value,
        engaged=None if receipt.engagement is None else receipt.engagement.value,
        said=storable(receipt.detail),
        takes_off=storable(receipt.suppresses),
        at_ms=None if occurred is None else to_milliseconds(occurred - EPOCH),
        within_ms=None if within is None else to_milliseconds(within),
    )


class SqlReceipts:
    """The part of the ledger that keeps receipts."""

    _engine: Engine
    _hearers: Hearers

    async def now(self) -> datetime:
        """The time, by the database's clock."""
        return await self._engine.read(lambda: now_script())

    async def take_receipts(
        self, gateway: str, receipts: Sequence[Receipt], *, within: timedelta | None
    ) -> ReceiptsTaken:
        """Keep verified receipts and apply those whose effect is known."""
        return await self._engine.write(lambda: take_receipts_script(gateway, receipts, within, self._hearers))

    async def join_receipts(self) -> ReceiptsJoined:
        """Apply what waits."""
        if not await self._engine.read(lambda: has_due_receipts()):
            return ReceiptsJoined()
        return await self._engine.write(lambda: join_receipts_script(self._hearers))
