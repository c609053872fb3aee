"""What the floors of the relay drain: rows with payloads, claimed under a lease by 500, read, deleted by 500."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

CLAIM_ROWS: Final = 500
LEASE_SECONDS: Final = 15
TABLES: Final = (
    "CREATE TABLE outbox (id {serial}, lane TEXT NOT NULL, payload TEXT NOT NULL, owner TEXT, "
    "until DOUBLE PRECISION NOT NULL DEFAULT 0)",
)
LEFT: Final = "SELECT count(*) FROM outbox"


def payloads(count: int) -> Iterator[tuple[str, str]]:
    """So many lanes and payloads, as large as those of ours."""
    for number in range(count):
        basket, line = divmod(number, 4)
        yield (
            f"acme/Basket/basket-{basket}",
            f'{{"basket_id":"basket-{basket}","line":{line},"article":"article-{line}"}}',
        )
