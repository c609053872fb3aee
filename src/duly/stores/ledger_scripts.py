"""What the ledger of effects asks of a store, as scripts."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from duly.clock import time_of, to_milliseconds
from duly.ports.ledger import OpenBreaker
from duly.stores.script import Script, Statement

# From gateway to gateway through the index: the backlog is not read.
SELECT_DUE_GATEWAYS: Final = """
WITH RECURSIVE known (gateway) AS (
    SELECT min(e.gateway) FROM duly.effect AS e WHERE e.due_ms IS NOT NULL
    UNION ALL
    SELECT (SELECT min(e.gateway) FROM duly.effect AS e WHERE e.due_ms IS NOT NULL AND e.gateway > known.gateway)
      FROM known WHERE known.gateway IS NOT NULL
)
SELECT known.gateway FROM known
 WHERE known.gateway IS NOT NULL
   AND (SELECT min(e.due_ms) FROM duly.effect AS e WHERE e.gateway = known.gateway AND e.due_ms IS NOT NULL)
       <= duly.now_ms()
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


def unsettled_script(within: timedelta) -> Script[int]:
    """How many effects are under way or about to be."""
    found = yield Statement(COUNT_UNSETTLED, {"within_ms": to_milliseconds(within)})
    count: int = found.rows[0][0]
    return count
