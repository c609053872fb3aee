"""What has been kept long enough, as scripts. Only effects in a final state are touched.

Ages are found by the time of request, in the order of an index, and then checked by the time of the last change: what
was settled late is kept as long as what was settled at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from duly.clock import to_milliseconds
from duly.ports.gateway import decode_attachments
from duly.ports.keeping import OldContents, OldEffects
from duly.ports.ledger_view import Place
from duly.states.effect import FINAL
from duly.stores.script import Script, Statement

FINAL_STATES: Final = sorted(state.value for state in FINAL)

# Two steps, each of which an index answers at once on both databases.
SELECT_NEXT_CHANNEL: Final = (
    "SELECT min(e.channel) FROM duly.effect AS e WHERE e.tenant = :tenant AND e.channel > :channel"
)
SELECT_NEXT_TENANT: Final = "SELECT min(e.tenant) FROM duly.effect AS e WHERE e.tenant > :tenant"
SELECT_OLD_CONTENTS: Final = """
SELECT c.requested_ms, c.effect_id FROM duly.effect_content AS c
 WHERE c.tenant = :tenant AND c.channel = :channel AND c.requested_ms <= duly.now_ms() - :age_ms
   AND (c.requested_ms, c.effect_id) > (:after_ms, :after_id)
 ORDER BY c.requested_ms, c.effect_id LIMIT :rows_max
"""
SELECT_FINAL: Final = """
SELECT id FROM duly.effect
 WHERE id = ANY(:ids) AND state = ANY(:final) AND changed_ms <= duly.now_ms() - :age_ms ORDER BY id
"""
SELECT_FILES: Final = """
SELECT effect_id, subject, attachments FROM duly.effect_content WHERE effect_id = ANY(:ids) AND attachments <> '[]'
"""
SELECT_FILES_OF_SUBJECTS: Final = """
SELECT effect_id, attachments FROM duly.effect_content
 WHERE tenant = :tenant AND subject = ANY(:subjects) AND attachments <> '[]'
"""
SELECT_RELATED: Final = """
SELECT o.id FROM duly.effect AS o
 WHERE o.tenant = :tenant AND o.correlation IN (SELECT e.correlation FROM duly.effect AS e WHERE e.id = ANY(:ids))
"""
DELETE_CONTENTS: Final = """
DELETE FROM duly.effect_content
 WHERE effect_id = ANY(:ids)
   AND effect_id IN (SELECT e.id FROM duly.effect AS e WHERE e.id = ANY(:ids) AND e.state = ANY(:final))
"""
CLEAR_RECEIPTS: Final = """
UPDATE duly.receipt SET detail = '' WHERE effect_id IS NOT NULL AND effect_id = ANY(:ids) AND detail <> ''
"""
SELECT_OLD_EFFECTS: Final = """
SELECT e.requested_ms, e.no, e.id,
       CASE WHEN e.state = ANY(:final) AND e.changed_ms <= duly.now_ms() - :age_ms AND e.confirm_by_ms IS NULL
            THEN 1 ELSE 0 END
  FROM duly.effect AS e
 WHERE e.tenant = :tenant AND e.channel = :channel AND e.requested_ms <= duly.now_ms() - :age_ms
   AND (e.requested_ms, e.no) > (:after_ms, :after_no)
 ORDER BY e.requested_ms, e.no LIMIT :rows_max
"""
KEEP_KEYS: Final = """
INSERT INTO duly.effect_key (id, digest)
SELECT e.id, e.digest FROM duly.effect AS e WHERE e.id = ANY(:ids) AND e.state = ANY(:final)
ON CONFLICT DO NOTHING
"""
SELECT_KEPT: Final = """
SELECT e.id FROM duly.effect AS e
 WHERE e.id = ANY(:ids) AND e.state = ANY(:final) AND EXISTS (SELECT 1 FROM duly.effect_key AS k WHERE k.id = e.id)
 ORDER BY e.id FOR UPDATE
"""
DELETE_WHOLE: Final = (
    "DELETE FROM duly.effect_content WHERE effect_id = ANY(:ids)",
    "DELETE FROM duly.attempt WHERE effect_id = ANY(:ids)",
    "DELETE FROM duly.look_up WHERE effect_id = ANY(:ids)",
    "DELETE FROM duly.receipt WHERE effect_id IS NOT NULL AND effect_id = ANY(:ids)",
    "DELETE FROM duly.effect WHERE id = ANY(:ids)",
)
BEFORE_ALL: Final = (-1, "")


def kept_for_script(after: tuple[str, str], rows_max: int) -> Script[list[tuple[str, str]]]:
    """Pairs of tenant and channel for which there are effects: by hops through the index, one per pair."""
    pairs: list[tuple[str, str]] = []
    tenant, channel = after
    while len(pairs) < rows_max:
        ((following,),) = (yield Statement(SELECT_NEXT_CHANNEL, {"tenant": tenant, "channel": channel})).rows
        if following is None:
            ((tenant,),) = (yield Statement(SELECT_NEXT_TENANT, {"tenant": tenant})).rows
            if tenant is None:
                break
            channel = ""
        else:
            channel = following
            pairs.append((tenant, channel))
    return pairs


def old_contents_script(
    tenant: str, channel: str, age: timedelta, after: tuple[int, str] | None, rows_max: int
) -> Script[OldContents]:
    """Effects in a final state that are older than *age* and have their contents still."""
    after_ms, after_id = after or BEFORE_ALL
    age_ms = to_milliseconds(age)
    old = yield Statement(
        SELECT_OLD_CONTENTS,
        {
            "tenant": tenant,
            "channel": channel,
            "age_ms": age_ms,
            "after_ms": after_ms,
            "after_id": after_id,
            "rows_max": rows_max,
        },
    )
    ids = [str(row[1]) for row in old.rows]
    final = yield Statement(SELECT_FINAL, {"ids": ids, "final": FINAL_STATES, "age_ms": age_ms})
    settled = [str(row[0]) for row in final.rows]
    files = yield from _files_of_no_other(tenant, settled)
    last = (old.rows[-1][0], ids[-1]) if len(ids) == rows_max else None
    return OldContents(effect_ids=tuple(settled), attachments=files, after=last)


def drop_contents_script(ids: Sequence[str]) -> Script[int]:
    """Remove address, summary and request, and what receipts tell in detail."""
    deleted = yield Statement(DELETE_CONTENTS, {"ids": list(ids), "final": FINAL_STATES})
    yield Statement(CLEAR_RECEIPTS, {"ids": list(ids)})
    return deleted.changed


def old_effects_script(
    tenant: str, channel: str, age: timedelta, after: Place | None, rows_max: int
) -> Script[OldEffects]:
    """Effects in a final state that are older than *age* and await no report."""
    after = after or Place(-1, 0)
    old = yield Statement(
        SELECT_OLD_EFFECTS,
        {
            "tenant": tenant,
            "channel": channel,
            "age_ms": to_milliseconds(age),
            "final": FINAL_STATES,
            "after_ms": after.requested_ms,
            "after_no": after.no,
            "rows_max": rows_max,
        },
    )
    last = Place(*old.rows[-1][:2]) if len(old.rows) == rows_max else None
    return OldEffects(effect_ids=tuple(str(row[2]) for row in old.rows if row[3]), after=last)


def keep_keys_script(ids: Sequence[str]) -> Script[None]:
    """Remember the keys of effects that will be removed.

    In a commit of its own, before that of the removal: else a replay that has looked for the key too early, and waits
    for the row to go, would make the effect anew.
    """
    yield Statement(KEEP_KEYS, {"ids": list(ids), "final": FINAL_STATES})


def drop_effects_script(ids: Sequence[str]) -> Script[int]:
    """Remove effects whose keys are remembered, and all that belongs to them. What people did to them stays."""
    kept = yield Statement(SELECT_KEPT, {"ids": list(ids), "final": FINAL_STATES})
    going = {"ids": [str(row[0]) for row in kept.rows]}
    if going["ids"]:
        for statement in DELETE_WHOLE:
            yield Statement(statement, going)
    return len(kept.rows)


def _files_of_no_other(tenant: str, ids: Sequence[str]) -> Script[tuple[str, ...]]:
    """References to files of these effects, but for those that another effect has: the same person's, or a sibling."""
    files = yield Statement(SELECT_FILES, {"ids": list(ids)})
    if not files.rows:
        return ()
    going = {str(row[0]) for row in files.rows}
    of_subjects = yield Statement(
        SELECT_FILES_OF_SUBJECTS, {"tenant": tenant, "subjects": sorted({str(row[1]) for row in files.rows})}
    )
    related = yield Statement(SELECT_RELATED, {"tenant": tenant, "ids": sorted(going)})
    of_related = yield Statement(SELECT_FILES, {"ids": [str(row[0]) for row in related.rows]})
    others = [row[1] for row in of_subjects.rows if row[0] not in going]
    others += [row[2] for row in of_related.rows if row[0] not in going]
    in_use = {attachment.reference for text in others for attachment in decode_attachments(text)}
    referred = [attachment.reference for row in files.rows for attachment in decode_attachments(row[2])]
    return tuple(sorted(set(referred) - in_use))
