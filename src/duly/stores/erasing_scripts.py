"""Erasing one person, as scripts, in batches that may be repeated. The facts stay: what went out, when and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from duly.messages.fields import ERASED
from duly.ports.keeping import ErasedEffects
from duly.ports.outcomes import Hearers
from duly.states.effect import WAITING, Dispatch, Settled, Step
from duly.stores.effect_moves import EffectRow, Move, lock_effects, move_effects
from duly.stores.script import Row, Script, Statement, json_rows, storable

ADDRESS_CHARACTERS_MIN: Final = 6
"""How long a recipient must be to be looked for in what providers said: a shorter one is a part of too much else."""

CANCELLED: Final = "erased"
NOT_AGAIN: Final = "it is not tried again (erased); an earlier attempt may have gone through"

DELETE_PERSONAL: Final = """
DELETE FROM duly.personal WHERE message_id IN (
    SELECT p.message_id FROM duly.personal AS p WHERE p.tenant = :tenant AND p.subject = :subject LIMIT :rows_max)
"""
# What handlers said when they failed may quote what they had in hand. Few messages are parked or held up.
CLEAR_PARKED: Final = """
UPDATE duly.parked AS p SET reason = :erased
 WHERE p.tenant = :tenant AND p.reason <> :erased
   AND EXISTS (SELECT 1 FROM duly.message AS m WHERE m.commit_id = p.commit_id AND m.ordinal = p.ordinal
                AND coalesce(m.subject, m.id) = :subject)
"""
CLEAR_HOLDS: Final = """
UPDATE duly.lane_hold AS h SET reason = :erased
 WHERE h.reason <> :erased
   AND EXISTS (SELECT 1 FROM duly.outbox AS o, duly.message AS m
                WHERE o.id = h.head_id AND m.commit_id = o.commit_id AND m.ordinal = o.ordinal AND m.tenant = :tenant
                  AND coalesce(m.subject, m.id) = :subject)
"""
SELECT_CONTENTS: Final = """
SELECT effect_id, recipient FROM duly.effect_content
 WHERE tenant = :tenant AND subject = :subject ORDER BY effect_id LIMIT :rows_max
"""
DELETE_CONTENTS: Final = "DELETE FROM duly.effect_content WHERE effect_id = ANY(:ids)"
CLEAR_RECEIPTS: Final = """
UPDATE duly.receipt SET detail = '' WHERE effect_id IS NOT NULL AND effect_id = ANY(:ids) AND detail <> ''
"""
# Gateways write no addresses into what they report. This is for the one that does.
CLEAR_WORDS: Final = """
UPDATE duly.{table} AS t SET {column} = replace(t.{column}, r.address, :erased)
  FROM JSON_ROWS(:addresses, of_effect text, address text) AS r
 WHERE t.{key} = r.of_effect AND replace(t.{column}, r.address, '') <> t.{column}
"""
WORDS: Final = (
    ("effect", "reason", "id"),
    ("attempt", "evidence", "effect_id"),
    ("look_up", "evidence", "effect_id"),
)
CLEAR_ANOMALIES: Final = """
UPDATE duly.anomaly AS t SET detail = replace(t.detail, r.address, :erased)
  FROM JSON_ROWS(:addresses, of_effect text, address text) AS r
 WHERE t.tenant = :tenant AND t.about = r.of_effect AND replace(t.detail, r.address, '') <> t.detail
"""


def erase_messages_script(tenant: str, subject: str, rows_max: int) -> Script[int]:
    """Remove the personal fields of a person's messages; how many."""
    about: dict[str, object] = {"tenant": tenant, "subject": storable(subject)}
    yield Statement(CLEAR_PARKED, {**about, "erased": ERASED})
    yield Statement(CLEAR_HOLDS, {**about, "erased": ERASED})
    return (yield Statement(DELETE_PERSONAL, {**about, "rows_max": rows_max})).changed


def erase_effects_script(tenant: str, subject: str, rows_max: int, hearers: Hearers) -> Script[ErasedEffects]:
    """Remove address and request of a person's effects.

    What waits is cancelled. What is under way ends as it will, and is not tried again. What is unknown stays unknown,
    and is looked up if it was to be: that needs its reference only.
    """
    found = yield Statement(SELECT_CONTENTS, {"tenant": tenant, "subject": storable(subject), "rows_max": rows_max})
    if not found.rows:
        return ErasedEffects(effects=0, cancelled=0, has_more=False, has_promised=False)
    ids = [str(row[0]) for row in found.rows]
    rows = yield from lock_effects(ids)
    moves = [move for row in rows if (move := _move(row)) is not None]
    has_promised = yield from move_effects(moves, hearers)
    yield Statement(DELETE_CONTENTS, {"ids": ids})
    yield Statement(CLEAR_RECEIPTS, {"ids": ids})
    yield from _clear_words(tenant, found.rows)
    return ErasedEffects(
        effects=len(ids),
        cancelled=sum(move.settled.state is Dispatch.CANCELLED for move in moves),
        has_more=len(ids) == rows_max,
        has_promised=has_promised,
    )


def _move(row: EffectRow) -> Move | None:
    if row.state in WAITING:
        return Move(row=row, settled=Settled(state=Dispatch.CANCELLED, reason=CANCELLED))
    if row.state is Dispatch.UNKNOWN and row.step is Step.ATTEMPT and (row.due_ms is not None or row.hold):
        return Move(row=row, settled=Settled(state=Dispatch.UNKNOWN, reason=NOT_AGAIN))
    return None


def _clear_words(tenant: str, rows: Sequence[Row]) -> Script[None]:
    addresses = [
        {"of_effect": str(row[0]), "address": str(row[1])} for row in rows if len(str(row[1])) >= ADDRESS_CHARACTERS_MIN
    ]
    if not addresses:
        return
    about: dict[str, object] = {"addresses": json_rows(addresses), "erased": ERASED}
    for table, column, key in WORDS:
        yield Statement(CLEAR_WORDS.format(table=table, column=column, key=key), about)
    yield Statement(CLEAR_ANOMALIES, {**about, "tenant": tenant})
