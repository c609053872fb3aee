"""What the floors of a hot key drain: rows of one lane, each handled and deleted in a commit of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

LANE: Final = "acme/Basket/basket-0"
PAGE_ROWS: Final = 500
TABLES: Final = (
    "CREATE TABLE outbox (id {serial}, lane TEXT NOT NULL, payload TEXT NOT NULL)",
    "CREATE TABLE parcel (tenant TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, "
    "PRIMARY KEY (tenant, id))",
)
LEFT: Final = "SELECT count(*) FROM outbox"
WRITTEN: Final = "SELECT count(*) FROM parcel"


def payloads(count: int) -> Iterator[tuple[str, str]]:
    """So many rows: the lane, and a payload as large as those of ours."""
    for line in range(count):
        yield LANE, f'{{"basket_id":"basket-0","line":{line},"article":"article-{line}"}}'


def parcel(row_id: int, payload: str) -> tuple[str, str, str]:
    """The document that is written of a payload: tenant, id, body."""
    return "acme", f"basket-0-{row_id}", payload
