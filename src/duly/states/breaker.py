"""When a provider, or one of its destinations, is taken to be away: a tally of calls, and when it trips.

Rules
 1. A call counts for the length of the window, less up to one slice of it. The tally has so many slices and no more,
    however many calls there are.
 2. The breaker opens when the window has enough calls and the share of those that failed is reached.
 3. While it is open, nothing is attempted. Half-open: once its time has come, one attempt asks whether the provider is
    back. If so, the breaker closes and a new tally begins; otherwise it stays open, for the same time again.
 4. A time that is earlier than the latest one counts as the latest.
 5. What counts as failed is for the caller to say: a refusal of one message is none.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec


class BreakerTerms(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens and when it asks again."""

    window: timedelta = timedelta(minutes=5)
    """For how long a call counts."""
    slices: int = 10
    """Into how many parts the window is cut; a call is forgotten with its slice."""
    calls_min: int = 10
    """How many calls it takes to judge."""
    failures_percent: int = 70
    """The share of failed calls, in percent, at which the breaker opens."""
    half_open_after: timedelta = timedelta(seconds=30)
    """How long an open breaker waits before one attempt asks again."""

    def __post_init__(self) -> None:
        if self.slices < 1 or self.window < timedelta(microseconds=self.slices):
            raise ValueError(
                f"A breaker's window of {self.window} cannot have {self.slices} slices: give it a longer one."
            )
        if self.calls_min < 1:
            raise ValueError(f"A breaker needs a call to judge by: calls_min is {self.calls_min}, let it be 1 or more.")
        if not 1 <= self.failures_percent <= 100:
            raise ValueError(
                f"A breaker opens at a share of failures: failures_percent is {self.failures_percent}, "
                "let it be 1 to 100."
            )

    @property
    def slice(self) -> timedelta:
        """The length of one slice."""
        return self.window // self.slices


class Slice(msgspec.Struct, frozen=True):
    """The calls of one slice of time; `number` counts the slices since the caller's moment zero."""

    number: int
    calls: int
    failures: int


class Tally(msgspec.Struct, frozen=True):
    """The calls of a window, the oldest slice first. Slices without calls are not there."""

    slices: tuple[Slice, ...] = ()


def observed(tally: Tally, at: timedelta, failed: bool, terms: BreakerTerms) -> Tally:
    """The tally with one more call, which ended at *at*: the time since any fixed moment, of a monotonic clock."""
    number = _number(tally, at, terms)
    failures = int(failed)
    slices = tally.slices
    if slices and slices[-1].number == number:
        latest = slices[-1]
        return Tally((*slices[:-1], Slice(number, latest.calls + 1, latest.failures + failures)))
    oldest = number - terms.slices
    return Tally((*(each for each in slices if each.number > oldest), Slice(number, 1, failures)))


def trips(tally: Tally, at: timedelta, terms: BreakerTerms) -> bool:
    """Whether the breaker opens at *at*."""
    oldest = _number(tally, at, terms) - terms.slices
    calls = failures = 0
    for each in tally.slices:
        if each.number > oldest:
            calls += each.calls
            failures += each.failures
    return calls >= terms.calls_min and failures * 100 >= calls * terms.failures_percent


def _number(tally: Tally, at: timedelta, terms: BreakerTerms) -> int:
    """The slice that *at* is in, or the latest one if that is later."""
    number = at // terms.slice
    return max(number, tally.slices[-1].number) if tally.slices else number
