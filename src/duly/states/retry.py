"""How long to wait after a failure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from duly.clock import from_milliseconds, to_milliseconds


class RetrySchedule(msgspec.Struct, frozen=True):
    """The longest waits after the first, second, … failed attempt. After the last wait there is one more attempt."""

    waits: tuple[timedelta, ...]

    def wait_after(self, attempt: int, fraction: float) -> timedelta | None:
        """The wait after failed attempt *attempt* (counted from 1); None when attempts are spent.

        Full jitter: *fraction* (0 to 1, drawn by the caller) of the schedule's entry, in whole milliseconds.
        """
        if attempt > len(self.waits):
            return None
        return from_milliseconds(int(to_milliseconds(self.waits[attempt - 1]) * fraction))

    @property
    def attempts_max(self) -> int:
        """How many attempts there are in all."""
        return len(self.waits) + 1

    @property
    def longest(self) -> timedelta:
        """The longest time from the first to the last attempt, waits only."""
        return sum(self.waits, timedelta())


def exponential(first: timedelta, *, attempts_max: int, cap: timedelta) -> RetrySchedule:
    """A schedule that doubles from *first* up to *cap*."""
    return RetrySchedule(tuple(min(first * 2**number, cap) for number in range(attempts_max - 1)))


def schedule_of(seconds: Sequence[float]) -> RetrySchedule:
    """A schedule from waits in seconds."""
    return RetrySchedule(tuple(timedelta(seconds=wait) for wait in seconds))


DELIVERY_RETRY: Final = exponential(timedelta(milliseconds=200), attempts_max=18, cap=timedelta(minutes=5))
"""How a failing subscriber is tried again, by default: for some forty minutes at most, longer than most outages."""

EFFECT_RETRY: Final = schedule_of([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400])
"""How an effect that was definitely not sent is tried again, by default. After Standard Webhooks."""

LOOK_UP_RETRY: Final = schedule_of([30, 120, 600, 3_600, 21_600])
"""How a look-up that could not be answered is made again."""
