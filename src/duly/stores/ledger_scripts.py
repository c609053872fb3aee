"""What the ledger of effects asks of a store, as scripts."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from duly.clock import time_of, to_milliseconds
from duly.ports.ledger import OpenBreaker
from duly.stores.script import Script, Statement

SELECT_DUE_GATEWAYS: Final = """
SELECT DISTINCT gateway FROM duly.effect WHERE due_ms IS NOT NULL AND due_ms <= duly.now_ms()
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
