"""What is known before effects are claimed: whose turn it is, who is paused, what is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from duly.clock import to_milliseconds
from duly.ports.ledger import BreakerMove
from duly.stores.script import Row, Script, Statement

TENANTS_PER_TURN_MAX: Final = 64
"""At how many tenants with waiting effects one turn looks; at sixteen times as many for urgent ones."""

# The tenants that wait, urgent effects apart, each with its oldest: found by hops through the index, not by reading the
# backlog. All of the urgent ones are looked at in each turn, so that nobody's future ones hide another's that are due.
SELECT_STANDING: Final = """
WITH RECURSIVE urgent (tenant, place) AS (
    SELECT min(e.tenant), 1 FROM duly.effect AS e
     WHERE e.gateway = :gateway AND e.urgent = 1 AND e.due_ms IS NOT NULL AND e.step = 'attempt'
    UNION ALL
    SELECT (SELECT min(e.tenant) FROM duly.effect AS e
             WHERE e.gateway = :gateway AND e.urgent = 1 AND e.due_ms IS NOT NULL AND e.step = 'attempt'
               AND e.tenant > urgent.tenant), urgent.place + 1
      FROM urgent WHERE urgent.tenant IS NOT NULL AND urgent.place < 16 * :tenants_max
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
SELECT 'urgent', urgent.tenant, '',
       (SELECT min(e.due_ms) FROM duly.effect AS e WHERE e.gateway = :gateway AND e.urgent = 1
           AND e.tenant = urgent.tenant AND e.due_ms IS NOT NULL AND e.step = 'attempt') - duly.now_ms(), place
  FROM urgent WHERE tenant IS NOT NULL
UNION ALL
SELECT 'bulk', bulk.tenant, '',
       (SELECT min(e.due_ms) FROM duly.effect AS e WHERE e.gateway = :gateway AND e.urgent = 0
           AND e.tenant = bulk.tenant AND e.due_ms IS NOT NULL AND e.step = 'attempt') - duly.now_ms(), place
  FROM bulk WHERE tenant IS NOT NULL
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
    """Tenants with an urgent effect that is due, the one that waits longest first."""
    bulk: tuple[str, ...]
    """Tenants with another effect that is due, in the order of their turns."""
    seen_tenant: str
    """After which tenant there may be more; empty when it was looked at all up to the last."""
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


def after_moves(standings: Standings, moves: Sequence[BreakerMove]) -> Standings:
    """How things stand once these breakers have opened and closed."""
    breakers = dict(standings.breakers)
    for move in moves:
        if move.open_for is not None:
            breakers[move.destination] = Away(move.reason, to_milliseconds(move.open_for), move.is_probing)
        elif move.destination in breakers and breakers[move.destination].is_probing:
            del breakers[move.destination]
    return msgspec.structs.replace(standings, breakers=breakers) if moves else standings


def _standings(rows: Sequence[Row]) -> Standings:
    turns: dict[str, list[tuple[int, str, int]]] = {"urgent": [], "bulk": []}
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
                turns[kind].append((place, name, milliseconds))
    bulk = sorted(turns["bulk"])
    return Standings(
        urgent=tuple(name for _, name, ahead in sorted(turns["urgent"], key=lambda turn: turn[2]) if ahead <= 0),
        bulk=tuple(name for _, name, ahead in bulk if ahead <= 0),
        seen_tenant=bulk[-1][1] if len(bulk) == TENANTS_PER_TURN_MAX else "",
        paused=paused,
        breakers=breakers,
        now_ms=now_ms,
    )


def shares_of(standings: Standings, slots: int) -> tuple[list[tuple[int, str, int]], str]:
    """How many effects of each tenant may be taken (urgent or not, tenant, number), and whose turn it was last."""
    shares: list[tuple[int, str, int]] = []
    for tenants, urgent in ((standings.urgent, 1), (standings.bulk, 0)):
        taking = tenants[:slots]
        shares += [(urgent, tenant, _share(slots, len(taking), place)) for place, tenant in enumerate(taking)]
    return shares, standings.bulk[slots - 1] if len(standings.bulk) > slots else standings.seen_tenant


def _share(slots: int, tenants: int, place: int) -> int:
    return slots // tenants + (1 if place < slots % tenants else 0)
