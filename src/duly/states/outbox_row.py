"""What becomes of an outbox row whose handler failed.

Rules
1. A row exists until its subscriber has handled it, or until it is parked.
2. A failure puts the lane on hold until a time, and counts one attempt on the head of the lane.
3. After the last attempt the head is parked, where people see it, and steps out of the order.
4. A failure that repeating cannot cure parks the head at once.
5. A conflict with another writer, or a lost connection, is no failed attempt.
6. Where the worker before was lost, an attempt is counted before it begins: so one that ends the process counts, too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

import msgspec

from duly.states.retry import RetrySchedule


class Wait(msgspec.Struct, frozen=True):
    """The lane is on hold for so long; `attempts` have failed."""

    attempts: int
    wait: timedelta


class Park(msgspec.Struct, frozen=True):
    """The message steps out of the lane; `attempts` have failed."""

    attempts: int


AfterFailure: TypeAlias = Wait | Park


def after_failure(attempts_before: int, *, permanent: bool, retry: RetrySchedule, fraction: float) -> AfterFailure:
    """Decide about a row that had *attempts_before* failures and has just failed once more."""
    attempts = attempts_before + 1
    wait = None if permanent else retry.wait_after(attempts, fraction)
    return Park(attempts) if wait is None else Wait(attempts, wait)


def before_attempt(attempts_before: int, *, retry: RetrySchedule, fraction: float) -> AfterFailure:
    """Decide about a row of a lost worker, before it is handled: what it counts and waits if nothing is heard again.

    `Park` when its attempts are spent: the last one of them has not come back.
    """
    if attempts_before >= retry.attempts_max:
        return Park(attempts_before)
    decision = after_failure(attempts_before, permanent=False, retry=retry, fraction=fraction)
    return Wait(decision.attempts, timedelta()) if isinstance(decision, Park) else decision
