"""What the floors of promises write: an announcement, and an outbox row with the message for each subscriber."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.subjects.announcements import SUBSCRIBERS, TENANT, TEXT, announcement_id

# `{serial}` is each database's own word for a number that it draws.
TABLES: Final = (
    "CREATE TABLE announcement (tenant TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (tenant, id))",
    "CREATE TABLE outbox (id {serial}, topic TEXT NOT NULL, key TEXT NOT NULL, payload TEXT NOT NULL)",
)
COUNTS: Final = {
    "announcements": "SELECT count(*) FROM announcement",
    "outbox rows": "SELECT count(*) FROM outbox",
}
DULY_COUNTS: Final = {
    "announcements": f"SELECT count(*) FROM duly.document WHERE tenant = '{TENANT}'",
    "outbox rows": f"SELECT count(*) FROM duly.outbox WHERE lane LIKE '{TENANT}/%'",
}


def cycles(count: int) -> Iterator[tuple[str, str, list[str]]]:
    """Id, message and topics of each announcement, of every kind by turns, in so many cycles."""
    topics = {subscribers: [f"hear-{number}" for number in range(subscribers)] for subscribers in SUBSCRIBERS}
    for number in range(count):
        for subscribers in SUBSCRIBERS:
            announcement = announcement_id(number, subscribers)
            yield announcement, f'{{"announcement":"{announcement}","text":"{TEXT}"}}', topics[subscribers]
