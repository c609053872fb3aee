"""What the ledger of effects asks of a store, as scripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from duly.clock import time_of, to_milliseconds
from duly.messages.envelope import decode_chain
from duly.ports.ledger import Anomaly, AttemptView, EffectView, OpenBreaker
from duly.states.attempt import Origin
from duly.states.effect import Dispatch
from duly.stores.script import Row, Script, Statement

SELECT_DUE_GATEWAYS: Final = """
SELECT DISTINCT gateway FROM duly.effect WHERE due_ms IS NOT NULL AND due_ms <= duly.now_ms()
"""
# Limited before contents are looked up: without statistics PostgreSQL would look up all of the tenant's.
SELECT_EFFECTS: Final = """
SELECT e.id, e.tenant, e.type, e.channel, e.gateway, c.recipient, c.summary, e.state, e.reason, e.provider_id,
       e.handler, e.chain, e.requested_ms, e.changed_ms, e.due_ms
  FROM (SELECT * FROM duly.effect AS e WHERE {where}
         ORDER BY e.requested_ms DESC, e.no DESC LIMIT :rows_max) AS e
  LEFT JOIN duly.effect_content AS c ON c.effect_id = e.id
 ORDER BY e.requested_ms DESC, e.no DESC
"""
SELECT_ATTEMPTS: Final = """
SELECT effect_id, number, origin, started_ms, ended_ms, outcome, evidence, provider_id
  FROM duly.attempt WHERE effect_id = ANY(:ids) ORDER BY effect_id, number
"""
COUNT_UNSETTLED: Final = """
SELECT count(*) FROM duly.effect
 WHERE lease_ms IS NOT NULL OR (due_ms IS NOT NULL AND due_ms <= duly.now_ms() + :within_ms)
"""


def due_gateways_script() -> Script[list[str]]:
    """Names of the gateways with an effect that is due."""
    found = yield Statement(SELECT_DUE_GATEWAYS)
    return [row[0] for row in found.rows]


def breakers_script() -> Script[list[OpenBreaker]]:
    """Every open breaker."""
    found = yield Statement(
        "SELECT gateway, destination, reason, opened_ms, until_ms FROM duly.breaker ORDER BY gateway, destination"
    )
    return [
        OpenBreaker(gateway=row[0], destination=row[1], reason=row[2], opened_at=time_of(row[3]), until=time_of(row[4]))
        for row in found.rows
    ]


def fact_script(name: str) -> Script[str]:
    """A fact that this database alone knows."""
    found = yield Statement("SELECT value FROM duly.fact WHERE name = :name", {"name": name})
    value: str = found.rows[0][0]
    return value


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
        where.append(
            "(e.requested_ms, e.no) < (SELECT requested_ms, no FROM duly.effect WHERE tenant = :tenant AND id = :after)"
        )
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
