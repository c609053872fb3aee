"""The dispatch of an effect: what *we* know about handing it over. Delivery is told apart, and only by receipts.

Rules
 1. An effect begins `requested`, in the transaction of the handler that asked for it.
 2. Nothing is tried for an effect that is `scheduled`; it must become `queued` first.
 3. `requested`, `queued` and `held` effects are attempted once their time has come; the attempt is on disk before the
    call.
 4. An attempt ends `accepted`, not sent, or `unknown`.
 5. Not sent, and attempts are left: `queued` again. Permanent, or none is left: `failed`.
 6. Not sent through the gateway's own fault: `held`. That burns no attempt.
 7. `unknown` is never turned into `failed` or `accepted` in silence: only a receipt, a look-up or a person settles it,
    or a policy that permits another attempt.
 8. `expired` and `cancelled` are possible only while nothing may have gone through.
 9. `accepted`, `failed`, `suppressed`, `expired` and `cancelled` are final.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Final

import msgspec

from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.retry import RetrySchedule


class Dispatch(Enum):
    """The states of dispatch."""

    REQUESTED = "requested"
    SUPPRESSED = "suppressed"
    SCHEDULED = "scheduled"
    HELD = "held"
    QUEUED = "queued"
    ATTEMPTING = "attempting"
    ACCEPTED = "accepted"
    FAILED = "failed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


_D = Dispatch

MOVES: Final[dict[Dispatch, frozenset[Dispatch]]] = {
    _D.REQUESTED: frozenset({_D.QUEUED, _D.SCHEDULED, _D.HELD, _D.SUPPRESSED, _D.ATTEMPTING, _D.EXPIRED, _D.CANCELLED}),
    _D.SCHEDULED: frozenset({_D.QUEUED, _D.HELD, _D.SUPPRESSED, _D.EXPIRED, _D.CANCELLED}),
    _D.HELD: frozenset({_D.QUEUED, _D.SUPPRESSED, _D.ATTEMPTING, _D.EXPIRED, _D.CANCELLED}),
    _D.QUEUED: frozenset({_D.ATTEMPTING, _D.HELD, _D.SUPPRESSED, _D.EXPIRED, _D.CANCELLED}),
    _D.ATTEMPTING: frozenset({_D.ACCEPTED, _D.QUEUED, _D.HELD, _D.FAILED, _D.UNKNOWN}),
    _D.UNKNOWN: frozenset({_D.ACCEPTED, _D.FAILED, _D.ATTEMPTING}),
    _D.ACCEPTED: frozenset(),
    _D.FAILED: frozenset(),
    _D.SUPPRESSED: frozenset(),
    _D.EXPIRED: frozenset(),
    _D.CANCELLED: frozenset(),
}
"""Every legal move. What is not here is refused."""

FINAL: Final = frozenset(state for state, moves in MOVES.items() if not moves)

WAITING: Final = frozenset({_D.REQUESTED, _D.SCHEDULED, _D.HELD, _D.QUEUED})
"""States in which nothing is under way and nothing may have gone through."""


def is_legal(present: Dispatch, following: Dispatch) -> bool:
    """Whether an effect may move from *present* to *following*."""
    return following in MOVES[present]


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of an effect after an attempt; `wait` is the time to the next one, if there is one."""

    state: Dispatch
    reason: str
    wait: timedelta | None = None
    counts: bool = True
    """Whether the attempt counts against the schedule."""


def after_attempt(
    outcome: Outcome, *, attempts: int, retry: RetrySchedule, hold: timedelta, wait_max: timedelta, fraction: float
) -> Settled:
    """Decide about an effect whose counted attempt number *attempts* (from 1) ended with *outcome*.

    *hold* is the wait after a fault of the gateway's own; *wait_max* bounds what a provider may wish for.
    """
    match outcome:
        case Accepted():
            return Settled(state=Dispatch.ACCEPTED, reason="")
        case Unknown(evidence=evidence):
            return Settled(state=Dispatch.UNKNOWN, reason=evidence)
        case NotSent(fault=Fault.GATEWAY, reason=reason):
            return Settled(state=Dispatch.HELD, reason=reason, wait=hold, counts=False)
        case NotSent(permanent=True, reason=reason):
            return Settled(state=Dispatch.FAILED, reason=reason)
        case NotSent(reason=reason, retry_after=retry_after):
            wait = retry.wait_after(attempts, fraction)
            if wait is None:
                return Settled(state=Dispatch.FAILED, reason=f"no attempt is left: {reason}")
            if retry_after is not None:
                wait = max(wait, min(retry_after, wait_max))
            return Settled(state=Dispatch.QUEUED, reason=reason, wait=wait)
