"""The rows that the floors of the event store write, put together as cheaply as a person would by hand."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

import msgspec

from benchmarks.subjects.accounts import NOTE, TENANT

NAME: Final = "Deposited"
HANDLER: Final = "accounts.fill"
# `{serial}` is each database's own word for a number that it draws.
TABLE: Final = (
    "CREATE TABLE events (position {serial}, tenant TEXT NOT NULL, stream TEXT NOT NULL, version INTEGER NOT NULL, "
    "name TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (tenant, stream, version))"
)
BARE_COUNTS: Final = {"events": "SELECT count(*) FROM events"}
DULY_COUNTS: Final = {
    "events": f"SELECT count(*) FROM duly.message WHERE tenant = '{TENANT}'",
    "streams": f"SELECT count(*) FROM duly.document WHERE tenant = '{TENANT}'",
    "commit rows": f"SELECT count(*) FROM duly.commit_log WHERE tenant = '{TENANT}'",
}

_decode: Final = msgspec.json.Decoder().decode


def stream(number: int) -> str:
    """The stream of an account."""
    return f"Account/account-{number}"


def bodies(number: int, events: int) -> list[str]:
    """The events of an account as JSON."""
    return [f'{{"account":"account-{number}","amount":{amount},"note":"{NOTE}"}}' for amount in range(events)]


def ids(events: int) -> list[str]:
    """Ids of so many events."""
    return [str(uuid4()) for _ in range(events)]


def chain() -> str:
    """The cause of an event, in the form in which duly stores it."""
    return f'[["command","Fill","{uuid4()}",""]]'


def sum_of(found: list[str]) -> int:
    """What the events of an account come to."""
    total = 0
    for body in found:
        total += _decode(body)["amount"]
    return total
