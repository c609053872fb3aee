"""What a database was asked for and has spent while a block was timed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """In the whole block; None is what was not looked at, or cannot be seen."""

    statements: int | None = None
    """What the client said, BEGIN and COMMIT among them; not what a function of the database runs inside."""
    round_trips: int | None = None
    """How often the client waited for the server; a SQLite database is in this process, and has none."""
    wal_bytes: int | None = None
    server_cpu_seconds: float | None = None


class Meter(Protocol):
    """Looks before a block and after it, while no clock runs."""

    def begin(self) -> None:
        """The block begins."""

    def end(self) -> Spent:
        """The block has ended; what was spent since `begin`."""


_METER: ContextVar[Meter | None] = ContextVar("benchmarks_meter", default=None)


@contextmanager
def metered(meter: Meter | None) -> Iterator[None]:
    """Stopwatches of the block, and of the loops that run in it, read *meter*."""
    token = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(token)


def current_meter() -> Meter | None:
    """The meter of the block that runs now."""
    return _METER.get()
