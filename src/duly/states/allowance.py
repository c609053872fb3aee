"""How many calls may be made now: a token bucket, exact in whole numbers.

Rules
 1. A bucket begins full. It never holds more than the burst.
 2. Tokens come at the rate, part by part with every millisecond. A call takes a whole one.
 3. So in any stretch of time there are at most burst + rate × time calls.
 4. A time that is earlier than the latest one gives nothing, and gives nothing again when it has passed a second time.
 5. A reservation takes a token that is still to come: the bucket then holds less than nothing, and whoever has
    reserved waits until it would hold nothing.
 6. A bucket survives a change of its rate: what is in it is counted in parts of a token, not of the rate.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from duly.clock import to_milliseconds

PARTS_PER_TOKEN: Final = 86_400_000_000
"""A day in microseconds: with a period that divides a day, every millisecond brings a whole number of parts. With any
other period less than one part may be lost at each look; none is ever gained."""

BURST_MAX: Final = 1_000_000
"""So that a full bucket fits into 64 bits."""


class Rate(msgspec.Struct, frozen=True):
    """So many calls per period; `burst`, or else `calls`, is how many may be made at once after a rest."""

    calls: int
    per: timedelta
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.calls < 1 or not 1 <= self.capacity <= BURST_MAX or to_milliseconds(self.per) < 1:
            raise ValueError(
                f"A rate of {self.calls} per {self.per}, at most {self.capacity} at once, cannot be kept. "
                f"Let calls be 1 or more, burst (without one: calls) 1 to {BURST_MAX:,}, per a millisecond or more."
            )

    @property
    def capacity(self) -> int:
        """How many tokens a full bucket holds."""
        return self.calls if self.burst is None else self.burst


class Allowance(msgspec.Struct, frozen=True):
    """What a bucket held at `at_ms`; `tokens` is in parts of a token, `PARTS_PER_TOKEN` to one."""

    tokens: int
    at_ms: int


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What was granted, what is left, and in how many milliseconds there is a whole token again (0: there is one)."""

    granted: int
    allowance: Allowance
    wait_ms: int


def take(allowance: Allowance | None, rate: Rate, now_ms: int, wanted: int) -> Taken:
    """Take up to *wanted* tokens at *now_ms*; *allowance* None is a bucket that nobody has looked at yet."""
    full = rate.capacity * PARTS_PER_TOKEN
    if allowance is None:
        at_ms, parts = now_ms, full
    else:
        at_ms = max(now_ms, allowance.at_ms)
        parts = min(full, allowance.tokens + _earned(at_ms - allowance.at_ms, rate))
    granted = max(0, min(wanted, parts // PARTS_PER_TOKEN))
    parts -= granted * PARTS_PER_TOKEN
    missing = PARTS_PER_TOKEN - parts
    wait_ms = 0 if missing <= 0 else at_ms - now_ms + _time_to_earn(missing, rate)
    return Taken(granted=granted, allowance=Allowance(parts, at_ms), wait_ms=wait_ms)


class Reserved(msgspec.Struct, frozen=True, kw_only=True):
    """What is left, and in how many milliseconds the reserved token is there (0: now)."""

    allowance: Allowance
    wait_ms: int


def reserve(allowance: Allowance | None, rate: Rate, now_ms: int) -> Reserved:
    """Take one token at *now_ms*, or the next one to come that nobody has reserved."""
    looked_at = take(allowance, rate, now_ms, 0).allowance
    parts = looked_at.tokens - PARTS_PER_TOKEN
    wait_ms = 0 if parts >= 0 else looked_at.at_ms - now_ms + _time_to_earn(-parts, rate)
    return Reserved(allowance=Allowance(parts, looked_at.at_ms), wait_ms=wait_ms)


def _earned(milliseconds: int, rate: Rate) -> int:
    """The parts that come in so many milliseconds, rounded down."""
    return milliseconds * rate.calls * PARTS_PER_TOKEN // to_milliseconds(rate.per)


def _time_to_earn(parts: int, rate: Rate) -> int:
    """The milliseconds in which so many parts come, rounded up."""
    return -(-parts * to_milliseconds(rate.per) // (rate.calls * PARTS_PER_TOKEN))
