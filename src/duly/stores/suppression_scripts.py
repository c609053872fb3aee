"""The suppression list, and tenants that wait, as scripts. Both are looked at when an effect is to be attempted."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from duly.clock import time_of
from duly.ports.keeping import Pause, Resumed, Suppression
from duly.ports.outcomes import Hearers
from duly.states.effect import Dispatch, Settled
from duly.stores.audit_scripts import note_script
from duly.stores.effect_moves import EffectRow, Move, lock_effects, move_effects
from duly.stores.script import Script, Statement, storable

BY_TENANT: Final = "tenant"
"""The `hold` of an effect whose tenant is paused."""

IS_IT: Final = "tenant = :tenant AND channel = :channel AND recipient_hash = :recipient_hash"
SELECT_SUPPRESSION: Final = f"SELECT channel, recipient_hash, reason, source, at_ms FROM duly.suppression WHERE {IS_IT}"
INSERT_SUPPRESSION: Final = """
INSERT INTO duly.suppression (tenant, channel, recipient_hash, reason, source, at_ms)
VALUES (:tenant, :channel, :recipient_hash, :reason, :source, duly.now_ms())
ON CONFLICT (tenant, channel, recipient_hash) DO NOTHING
"""
UPDATE_SUPPRESSION: Final = (
    f"UPDATE duly.suppression SET reason = :reason, source = :source, at_ms = duly.now_ms() WHERE {IS_IT}"
)
DELETE_SUPPRESSION: Final = f"DELETE FROM duly.suppression WHERE {IS_IT}"
SELECT_SUPPRESSIONS: Final = """
SELECT channel, recipient_hash, reason, source, at_ms FROM duly.suppression
 WHERE tenant = :tenant AND {place} ORDER BY channel, recipient_hash LIMIT :rows_max
"""
PAUSE: Final = """
INSERT INTO duly.pause (tenant, reason, by_whom, at_ms) VALUES (:tenant, :reason, :by, duly.now_ms())
ON CONFLICT (tenant) DO UPDATE SET reason = excluded.reason, by_whom = excluded.by_whom, at_ms = excluded.at_ms
"""
# The tenants of effects that are held, found by hops through the index, not by reading all that is held. The index is
# named in its own words (hold <> ''), without which SQLite does not see that it will do.
SELECT_RESUMED: Final = """
WITH RECURSIVE held (tenant) AS (
    SELECT min(e.tenant) FROM duly.effect AS e WHERE e.hold = 'tenant' AND e.hold <> ''
    UNION ALL
    SELECT (SELECT min(e.tenant) FROM duly.effect AS e
             WHERE e.hold = 'tenant' AND e.hold <> '' AND e.tenant > held.tenant)
      FROM held WHERE held.tenant IS NOT NULL
)
SELECT tenant FROM held
 WHERE tenant IS NOT NULL AND NOT EXISTS (SELECT 1 FROM duly.pause AS p WHERE p.tenant = held.tenant)
"""
SELECT_HELD: Final = """
SELECT id FROM duly.effect WHERE hold = 'tenant' AND hold <> '' AND tenant = :tenant LIMIT :rows_max
   FOR UPDATE SKIP LOCKED
"""


def suppress_script(tenant: str, channel: str, recipient_hash: str, reason: str, source: str) -> Script[bool]:
    """Put somebody on the list, or replace the reason."""
    about = _about(tenant, channel, recipient_hash)
    told: dict[str, object] = {**about, "reason": storable(reason), "source": storable(source)}
    is_new = bool((yield Statement(INSERT_SUPPRESSION, told)).changed)
    if not is_new:
        yield Statement(UPDATE_SUPPRESSION, told)
    yield from note_script(tenant, verb="suppress", by=source, reason=reason, detail=f"{channel} {recipient_hash}")
    return is_new


def unsuppress_script(tenant: str, channel: str, recipient_hash: str, reason: str, by: str) -> Script[bool]:
    """Take somebody off the list."""
    about = _about(tenant, channel, recipient_hash)
    if not (yield Statement(DELETE_SUPPRESSION, about)).changed:
        return False
    yield from note_script(tenant, verb="unsuppress", by=by, reason=reason, detail=f"{channel} {recipient_hash}")
    return True


def suppression_script(tenant: str, channel: str, recipient_hash: str) -> Script[Suppression | None]:
    """One entry."""
    about = _about(tenant, channel, recipient_hash)
    found = yield Statement(SELECT_SUPPRESSION, about)
    for row in found.rows:
        return Suppression(channel=row[0], recipient_hash=row[1], reason=row[2], source=row[3], at=time_of(row[4]))
    return None


def suppressions_script(
    tenant: str, channel: str | None, after: tuple[str, str] | None, rows_max: int
) -> Script[list[Suppression]]:
    """A page of a tenant's entries, by channel and hash."""
    after_channel, after_hash = map(storable, after or ("", ""))
    parameters: dict[str, object] = {
        "tenant": tenant,
        "after_channel": after_channel,
        "after_hash": after_hash,
        "rows_max": rows_max,
    }
    place = "(channel, recipient_hash) > (:after_channel, :after_hash)"
    if channel is not None:
        parameters |= {"channel": storable(channel), "after_hash": after_hash if after_channel == channel else ""}
        del parameters["after_channel"]
        place = "channel = :channel AND recipient_hash > :after_hash"
    found = yield Statement(SELECT_SUPPRESSIONS.format(place=place), parameters)
    return [
        Suppression(channel=row[0], recipient_hash=row[1], reason=row[2], source=row[3], at=time_of(row[4]))
        for row in found.rows
    ]


def pause_script(tenant: str, reason: str, by: str) -> Script[None]:
    """Let a tenant's effects wait."""
    yield Statement(PAUSE, {"tenant": tenant, "reason": storable(reason), "by": storable(by)})
    yield from note_script(tenant, verb="pause", by=by, reason=reason)


def resume_script(tenant: str, reason: str, by: str) -> Script[bool]:
    """Let a tenant's effects wait no longer; what is held is released by `release_resumed_script`."""
    if not (yield Statement("DELETE FROM duly.pause WHERE tenant = :tenant", {"tenant": tenant})).changed:
        return False
    yield from note_script(tenant, verb="resume", by=by, reason=reason)
    return True


def paused_script(tenant: str) -> Script[Pause | None]:
    """Whether a tenant waits."""
    found = yield Statement("SELECT reason, by_whom, at_ms FROM duly.pause WHERE tenant = :tenant", {"tenant": tenant})
    for row in found.rows:
        return Pause(reason=row[0], by=row[1], at=time_of(row[2]))
    return None


def release_resumed_script(rows_max: int, hearers: Hearers) -> Script[Resumed]:
    """Make effects due whose tenants are not paused (any more).

    Also those that a sender put off while the resumption was on its way: that is why this is repeated as a sweep.
    """
    rows: list[EffectRow] = []
    resumed = yield Statement(SELECT_RESUMED)
    for (tenant,) in resumed.rows:
        found = yield Statement(SELECT_HELD, {"tenant": tenant, "rows_max": rows_max - len(rows)})
        rows += yield from lock_effects(str(row[0]) for row in found.rows)
        if len(rows) >= rows_max:
            break
    moves = [_resumed(row) for row in rows if row.hold == BY_TENANT]
    has_promised = yield from move_effects(moves, hearers)
    return Resumed(effects=len(moves), has_more=len(rows) >= rows_max, has_promised=has_promised)


def _about(tenant: str, channel: str, recipient_hash: str) -> dict[str, object]:
    return {"tenant": tenant, "channel": storable(channel), "recipient_hash": storable(recipient_hash)}


def _resumed(row: EffectRow) -> Move:
    """Due at once. What may have gone through is unknown as before, and waited for an attempt."""
    state = Dispatch.UNKNOWN if row.state is Dispatch.UNKNOWN else Dispatch.QUEUED
    return Move(row=row, settled=Settled(state=state, reason="the tenant was resumed", wait=timedelta()))
