"""The hand-written ledger: an effect, and a row for each attempt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

TABLES: Final = (
    "CREATE TABLE effect (id {serial}, recipient TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL, "
    "provider_id TEXT)",
    "CREATE TABLE attempt (effect_id BIGINT NOT NULL, number INTEGER NOT NULL, started DOUBLE PRECISION NOT NULL, "
    "ended DOUBLE PRECISION, outcome TEXT, PRIMARY KEY (effect_id, number))",
    "CREATE INDEX effect_due ON effect (id) WHERE state = 'requested'",
)
COUNTS: Final = {
    "attempts begun": "SELECT count(*) FROM attempt",
    "attempts ended": "SELECT count(*) FROM attempt WHERE outcome IS NOT NULL",
    "effects accepted": "SELECT count(*) FROM effect WHERE state = 'accepted'",
}
DULY_COUNTS: Final = {
    "attempts begun": "SELECT count(*) FROM duly.attempt",
    "attempts ended": "SELECT count(*) FROM duly.attempt WHERE outcome IS NOT NULL",
    "effects accepted": "SELECT count(*) FROM duly.effect WHERE state = 'accepted'",
}


def requested(count: int) -> Iterator[tuple[str, str, str]]:
    """So many effects as rows: recipient, body, state."""
    for number in range(count):
        to = f"customer-{number}"
        yield to, f'{{"to":"{to}","text":"We have your order {number}."}}', "requested"


def call_provider(body: str) -> str:
    """The provider that answers at once."""
    return f"provider-{len(body)}"
