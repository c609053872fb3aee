"""What is known before effects are claimed: whose turn it is, who is paused, what is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from duly.stores.script import Row, Script, Statement

TENANTS_PER_TURN_MAX: Final = 16
"""Among how many tenants one turn shares the free slots."""

# The tenants whose turn it is, urgent effects apart: found by hops through the index, not by reading the backlog.
SELECT_STANDING: Final = """
WITH RECURSIVE urgent (tenant, place) AS (
    SELECT min(e.tenant), 1 FROM duly.effect AS e
     WHERE e.gateway = :gateway AND e.urgent = 1 AND e.due_ms IS NOT NULL AND e.step = 'attempt'
    UNION ALL
    SELECT (SELECT min(e.tenant) FROM duly.effect AS e
             WHERE e.gateway = :gateway AND e.urgent = 1 AND e.due_ms IS NOT NULL AND e.step = 'attempt'
               AND e.tenant > urgent.tenant), urgent.place + 1
      FROM urgent WHERE urgent.tenant IS NOT NULL AND urgent.place < :tenants_max
), bulk (tenant, place) AS (
    SELECT min(e.tenant), 1 FROM duly.effect AS e
     WHERE e.gateway = :gateway AND e.urgent = 0 AND e.due_ms IS NOT NULL AND e.step = 'attempt'
       AND e.tenant > :after_tenant
    UNION ALL
    SELECT (SELECT min(e.tenant) FROM duly.effect AS e
             WHERE e.gateway = :gateway AND e.urgent = 0 AND e.due_ms IS NOT NULL AND e.step = 'attempt'
               AND e.tenant > bulk.tenant), bulk.place + 1
      FROM bulk WHERE bulk.tenant IS NOT NULL AND bulk.place < :tenants_max
)
SELECT 'urgent', tenant, '', 0, place FROM urgent WHERE tenant IS NOT NULL
UNION ALL SELECT 'bulk', tenant, '', 0, place FROM bulk WHERE tenant IS NOT NULL
UNION ALL SELECT 'pause', tenant, reason, 0, 0 FROM duly.pause
UNION ALL SELECT 'breaker', destination, reason, until_ms - duly.now_ms(), is_probing FROM duly.breaker
           WHERE gateway = :gateway
UNION ALL SELECT 'now', '', '', duly.now_ms(), 0
"""


class Away(msgspec.Struct, frozen=True):
    """An open breaker. When no time is left, one attempt asks whether it is back; while one asks, all others wait."""

    reason: str
    left_ms: int
    is_probing: bool


class Standings(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before a claim: whose turn it is, who is paused, what is away and for how long."""

    urgent: tuple[str, ...]
    bulk: tuple[str, ...]
    paused: dict[str, str]
    breakers: dict[str, Away]
    """By destination."""
    now_ms: int


def standing_script(gateway: str, after_tenant: str) -> Script[Standings]:
    """How things stand at a gateway; *after_tenant* is whose turn it was last."""
    found = yield Statement(
        SELECT_STANDING, {"gateway": gateway, "after_tenant": after_tenant, "tenants_max": TENANTS_PER_TURN_MAX}
    )
    return _standings(found.rows)


def _standings(rows: Sequence[Row]) -> Standings:
    turns: dict[str, list[tuple[int, str]]] = {"urgent": [], "bulk": []}
    paused: dict[str, str] = {}
    breakers: dict[str, Away] = {}
    now_ms = 0
    for kind, name, reason, milliseconds, place in rows:
        match kind:
            case "pause":
                paused[name] = reason
            case "breaker":
                breakers[name] = Away(reason, milliseconds, bool(place))
            case "now":
                now_ms = milliseconds
            case _:
                turns[kind].append((place, name))
    urgent, bulk = (tuple(name for _, name in sorted(turns[kind])) for kind in ("urgent", "bulk"))
    return Standings(urgent=urgent, bulk=bulk, paused=paused, breakers=breakers, now_ms=now_ms)


def shares_of(standings: Standings, slots: int) -> tuple[list[tuple[int, str, int]], str]:
    """How many effects of each tenant may be taken (urgent or not, tenant, number), and whose turn it was last."""
    shares: list[tuple[int, str, int]] = []
    for tenants, urgent in ((standings.urgent, 1), (standings.bulk, 0)):
        taking = tenants[:slots]
        shares += [(urgent, tenant, _share(slots, len(taking), place)) for place, tenant in enumerate(taking)]
    bulk = standings.bulk
    if len(bulk) > slots:
        return shares, bulk[slots - 1]
    return shares, bulk[-1] if len(bulk) == TENANTS_PER_TURN_MAX else ""


def _share(slots: int, tenants: int, place: int) -> int:
    return slots // tenants + (1 if place < slots % tenants else 0)
