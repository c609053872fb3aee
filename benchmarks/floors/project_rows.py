"""What the floors of projections read and write: a log of events, and one row for each line of a basket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

EVENTS_PER_BATCH: Final = 500
"""As many as duly's own batches have by default."""

TABLES: Final = (
    "CREATE TABLE event (position {serial}, tenant TEXT NOT NULL, payload TEXT NOT NULL)",
    "CREATE TABLE basket_line (tenant TEXT NOT NULL, basket_id TEXT NOT NULL, line INTEGER NOT NULL, "
    "article TEXT NOT NULL, position BIGINT NOT NULL, PRIMARY KEY (tenant, basket_id, line))",
    "CREATE TABLE checkpoint (name TEXT NOT NULL PRIMARY KEY, position BIGINT NOT NULL)",
    "INSERT INTO checkpoint VALUES ('basket_list', 0)",
)
WRITTEN: Final = "SELECT count(*) FROM basket_line"


def payloads(count: int) -> Iterator[tuple[str, str]]:
    """So many tenants and payloads, as large as those of ours."""
    for number in range(count):
        basket, line = divmod(number, 4)
        yield "acme", f'{{"basket_id":"basket-{basket}","line":{line},"article":"article-{line}"}}'
