"""What the ledger of effects asks of a store, as scripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import uuid4

from duly.clock import time_of, to_milliseconds
from duly.messages.envelope import decode_chain
from duly.ports.gateway import Prepared
from duly.ports.ledger import Anomaly, AttemptView, Claimed, EffectView, Ended
from duly.states.attempt import Origin
from duly.states.effect import Dispatch
from duly.stores.script import Row, Script, Statement, storable

SELECT_CLAIMABLE: Final = """
SELECT id FROM duly.effect
 WHERE gateway = :gateway AND state IN ('requested', 'queued', 'held') AND due_ms <= duly.now_ms()
 ORDER BY due_ms, no LIMIT :slots FOR UPDATE SKIP LOCKED
"""
SELECT_DUE_GATEWAYS: Final = """
SELECT DISTINCT gateway FROM duly.effect
 WHERE state IN ('requested', 'queued', 'held') AND due_ms <= duly.now_ms()
"""
UPDATE_CLAIMED: Final = """
UPDATE duly.effect
   SET state = 'attempting', reason = '', attempts = attempts + 1, counted = counted + 1, token = :token,
       lease_ms = duly.now_ms() + :lease_ms, changed_ms = duly.now_ms(), due_ms = NULL
 WHERE id = ANY(:ids)
"""
INSERT_ATTEMPTS: Final = """
INSERT INTO duly.attempt (effect_id, number, owner, token, key, digest, origin, started_ms)
SELECT id, attempts, :owner, :token, key, digest, 'scheduled', changed_ms FROM duly.effect WHERE id = ANY(:ids)
"""
SELECT_CLAIMED: Final = """
SELECT e.id, e.tenant, e.type, e.gateway, e.key, e.attempts, e.counted, e.requested_ms, e.trace,
       c.recipient, c.summary, c.content_type, c.body
  FROM duly.effect AS e JOIN duly.effect_content AS c ON c.effect_id = e.id
 WHERE e.id = ANY(:ids) ORDER BY e.no
"""
SUPPRESS: Final = """
UPDATE duly.effect SET state = 'suppressed', reason = :reason, changed_ms = duly.now_ms(), due_ms = NULL
 WHERE gateway = :gateway AND state IN ('requested', 'queued', 'held') AND due_ms <= duly.now_ms()
"""
END_EFFECT: Final = """
UPDATE duly.effect
   SET state = :state, reason = :reason, provider_id = coalesce(:provider_id, provider_id), token = NULL,
       lease_ms = NULL, changed_ms = duly.now_ms(), due_ms = duly.now_ms() + :wait_ms, counted = counted - :uncounted
 WHERE id = :effect_id AND token = :token AND state = 'attempting'
"""
END_ATTEMPT: Final = """
UPDATE duly.attempt
   SET ended_ms = (SELECT changed_ms FROM duly.effect WHERE id = :effect_id),
       outcome = :outcome, evidence = :evidence, provider_id = :provider_id
 WHERE effect_id = :effect_id AND number = :number
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
SELECT_LOST: Final = """
SELECT id, attempts FROM duly.effect
 WHERE state = 'attempting' AND lease_ms <= duly.now_ms() ORDER BY lease_ms LIMIT 500 FOR UPDATE SKIP LOCKED
"""
LOSE_EFFECT: Final = """
UPDATE duly.effect
   SET state = 'unknown', reason = :reason, token = NULL, lease_ms = NULL, changed_ms = duly.now_ms(), due_ms = NULL
 WHERE id = :id
"""
LOSE_ATTEMPT: Final = """
UPDATE duly.attempt
   SET ended_ms = (SELECT changed_ms FROM duly.effect WHERE id = :id), outcome = 'unknown', evidence = :reason
 WHERE effect_id = :id AND number = :number
"""
# Limited before contents are looked up: without statistics PostgreSQL would look up all of the tenant's.
SELECT_EFFECTS: Final = """
SELECT e.id, e.tenant, e.type, e.channel, e.gateway, c.recipient, c.summary, e.state, e.reason, e.provider_id,
       e.handler, e.chain, e.requested_ms, e.changed_ms, e.due_ms
  FROM (SELECT * FROM duly.effect AS e WHERE {where} ORDER BY e.no DESC LIMIT :rows_max) AS e
  LEFT JOIN duly.effect_content AS c ON c.effect_id = e.id
 ORDER BY e.no DESC
"""
SELECT_ATTEMPTS: Final = """
SELECT effect_id, number, origin, started_ms, ended_ms, outcome, evidence, provider_id
  FROM duly.attempt WHERE effect_id = ANY(:ids) ORDER BY effect_id, number
"""
COUNT_UNSETTLED: Final = """
SELECT count(*) FROM duly.effect
 WHERE state = 'attempting' OR (state IN ('requested', 'queued', 'held') AND due_ms <= duly.now_ms() + :within_ms)
"""


def claim_script(gateway: str, slots: int, owner: str, lease: timedelta) -> Script[list[Claimed]]:
    """Commit the next attempt of the oldest due effects."""
    due = yield Statement(SELECT_CLAIMABLE, {"gateway": gateway, "slots": slots})
    ids = [str(row[0]) for row in due.rows]
    if not ids:
        return []
    token = uuid4().hex
    yield Statement(UPDATE_CLAIMED, {"token": token, "lease_ms": to_milliseconds(lease), "ids": ids})
    yield Statement(INSERT_ATTEMPTS, {"owner": owner, "token": token, "ids": ids})
    found = yield Statement(SELECT_CLAIMED, {"ids": ids})
    return [
        Claimed(
            effect_id=str(row[0]),
            tenant=row[1],
            type=row[2],
            gateway=row[3],
            key=str(row[4]),
            number=row[5],
            counted=row[6],
            token=token,
            requested_at=time_of(row[7]),
            trace=row[8],
            prepared=Prepared(recipient=row[9], summary=row[10], content_type=row[11], body=bytes(row[12])),
        )
        for row in found.rows
    ]


def suppress_script(gateway: str, reason: str) -> Script[int]:
    """Suppress what is due at a gateway that may not reach anybody."""
    suppressed = yield Statement(SUPPRESS, {"gateway": gateway, "reason": reason})
    return suppressed.changed


def end_attempts_script(ended: Sequence[Ended]) -> Script[list[bool]]:
    """Write outcomes down, by effect, so that nobody waits for each other; a late one only as evidence.

    Whether each one counted, in the order of *ended*.
    """
    written = [False] * len(ended)
    for place, end in sorted(enumerate(ended), key=lambda pair: pair[1].effect_id):
        settled, evidence = end.settled, storable(end.evidence)
        provider_id = None if end.provider_id is None else storable(end.provider_id)
        moved = yield Statement(
            END_EFFECT,
            {
                "state": settled.state.value,
                "reason": storable(settled.reason),
                "provider_id": provider_id,
                "wait_ms": None if settled.wait is None else to_milliseconds(settled.wait),
                "uncounted": 0 if settled.counts else 1,
                "effect_id": end.effect_id,
                "token": end.token,
            },
        )
        about: dict[str, object] = {"effect_id": end.effect_id, "number": end.number, "provider_id": provider_id}
        outcome: dict[str, object] = {"outcome": end.outcome, "evidence": evidence}
        written[place] = moved.changed > 0
        if written[place]:
            yield Statement(END_ATTEMPT, {**about, **outcome})
            continue
        # Written before, by a commit whose answer was lost?
        same = {"effect_id": end.effect_id, "number": end.number, "token": end.token, **outcome}
        written[place] = bool((yield Statement(SELECT_WRITTEN, same)).rows)
        if not written[place]:
            note = f" [learned too late to count: {end.outcome} {provider_id or ''} {evidence}]"
            yield Statement(NOTE_LATE, {**about, "note": note, "token": end.token})
    return written


def due_gateways_script() -> Script[list[str]]:
    """Names of the gateways with an effect that is due."""
    found = yield Statement(SELECT_DUE_GATEWAYS)
    return [row[0] for row in found.rows]


def has_lost_attempts_script() -> Script[bool]:
    """Whether an attempt's lease has run out."""
    found = yield Statement(
        "SELECT 1 FROM duly.effect WHERE state = 'attempting' AND lease_ms <= duly.now_ms() LIMIT 1"
    )
    return bool(found.rows)


def lose_attempts_script(reason: str) -> Script[list[str]]:
    """Write *unknown* for attempts whose owner let the lease run out."""
    lost = yield Statement(SELECT_LOST)
    for effect_id, number in lost.rows:
        yield Statement(LOSE_EFFECT, {"id": str(effect_id), "reason": reason})
        yield Statement(LOSE_ATTEMPT, {"id": str(effect_id), "number": number, "reason": reason})
    return [str(row[0]) for row in lost.rows]


def effects_script(
    tenant: str, state: Dispatch | None, channel: str | None, after: str | None, rows_max: int
) -> Script[list[EffectView]]:
    """A page of a tenant's effects, the latest first."""
    where = ["e.tenant = :tenant"]
    parameters: dict[str, object] = {"tenant": tenant, "rows_max": rows_max}
    if state is not None:
        where.append("e.state = :state")
        parameters["state"] = state.value
    if channel is not None:
        where.append("e.channel = :channel")
        parameters["channel"] = channel
    if after is not None:
        where.append("e.no < (SELECT no FROM duly.effect WHERE tenant = :tenant AND id = :after)")
        parameters["after"] = after
    found = yield Statement(SELECT_EFFECTS.format(where=" AND ".join(where)), parameters)
    return (yield from _with_attempts(found.rows))


def effect_script(tenant: str, effect_id: str) -> Script[EffectView | None]:
    """One effect of a tenant."""
    found = yield Statement(
        SELECT_EFFECTS.format(where="e.tenant = :tenant AND e.id = :id"),
        {"tenant": tenant, "id": effect_id, "rows_max": 1},
    )
    views = yield from _with_attempts(found.rows)
    return views[0] if views else None


def anomalies_script(tenant: str, rows_max: int) -> Script[list[Anomaly]]:
    """A tenant's anomalies, the latest first."""
    found = yield Statement(
        "SELECT tenant, kind, about, detail, at_ms FROM duly.anomaly WHERE tenant = :tenant ORDER BY id DESC "
        "LIMIT :rows_max",
        {"tenant": tenant, "rows_max": rows_max},
    )
    return [Anomaly(tenant=row[0], kind=row[1], about=row[2], detail=row[3], at=time_of(row[4])) for row in found.rows]


def unsettled_script(within: timedelta) -> Script[int]:
    """How many effects are under way or about to be."""
    found = yield Statement(COUNT_UNSETTLED, {"within_ms": to_milliseconds(within)})
    count: int = found.rows[0][0]
    return count


def _with_attempts(rows: Sequence[Row]) -> Script[list[EffectView]]:
    found = yield Statement(SELECT_ATTEMPTS, {"ids": [str(row[0]) for row in rows]})
    attempts: dict[str, list[AttemptView]] = defaultdict(list)
    for row in found.rows:
        attempts[str(row[0])].append(
            AttemptView(
                number=row[1],
                origin=Origin(row[2]),
                started_at=time_of(row[3]),
                ended_at=None if row[4] is None else time_of(row[4]),
                outcome=row[5],
                evidence=row[6],
                provider_id=row[7],
            )
        )
    return [
        EffectView(
            id=str(row[0]),
            tenant=row[1],
            type=row[2],
            channel=row[3],
            gateway=row[4],
            recipient=row[5] if row[5] is not None else "[erased]",
            summary=row[6] if row[6] is not None else "[erased]",
            state=Dispatch(row[7]),
            reason=row[8],
            provider_id=row[9],
            handler=row[10],
            chain=decode_chain(row[11]),
            requested_at=time_of(row[12]),
            changed_at=time_of(row[13]),
            next_attempt_at=None
            if row[14] is None or row[7] not in ("queued", "held", "scheduled")
            else time_of(row[14]),
            attempts=tuple(attempts[str(row[0])]),
        )
        for row in rows
    ]
