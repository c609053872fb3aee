"""The dispatch of an effect: what *we* know about handing it over. Delivery is told apart, and only by receipts.

Rules
 1. An effect begins `requested`, in the transaction of the handler that asked for it, or `scheduled`, when it was
    asked for a later time.
 2. An effect that is `requested`, `scheduled`, `queued` or `held` is attempted once its time has come; the attempt is
    on disk before the call.
 3. An attempt ends `accepted`, not sent, or `unknown`.
 4. Not sent, and attempts are left: `queued` again. Permanent, or none is left: `failed`. But after an attempt that
    is unknown and not settled, the effect stays `unknown`: that this one was not sent says nothing of the other.
 5. Not sent through the gateway's own fault, or while the provider is known to be away: `held`. That burns no attempt.
 6. `unknown` is never turned into `failed` or `accepted` in silence: only a receipt, a look-up, a person, or an attempt
    that its policy permits settles it. While it waits for any of these, it stays `unknown`.
 7. A look-up that has confirmed that nothing is there settles the unknown attempts as not sent: `queued` again.
 8. An effect that waits, and of which a receipt says that it was taken, is `held` until a person settles it.
 9. `suppressed`, `expired` and `cancelled` are possible only while nothing may have gone through.
10. `accepted`, `failed`, `suppressed`, `expired` and `cancelled` are final.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Final

import msgspec

from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.look_up import Found, LookUpAnswer, NotThere, Unclear
from duly.states.policy import Keeps, Policy, is_key_good
from duly.states.retry import LOOK_UP_RETRY, RetrySchedule


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
    _D.REQUESTED: frozenset({_D.QUEUED, _D.HELD, _D.SUPPRESSED, _D.ATTEMPTING, _D.EXPIRED, _D.CANCELLED}),
    _D.SCHEDULED: frozenset({_D.QUEUED, _D.HELD, _D.SUPPRESSED, _D.ATTEMPTING, _D.EXPIRED, _D.CANCELLED}),
    _D.HELD: frozenset({_D.QUEUED, _D.SUPPRESSED, _D.ATTEMPTING, _D.ACCEPTED, _D.EXPIRED, _D.CANCELLED}),
    _D.QUEUED: frozenset({_D.ATTEMPTING, _D.HELD, _D.SUPPRESSED, _D.EXPIRED, _D.CANCELLED}),
    _D.ATTEMPTING: frozenset({_D.ACCEPTED, _D.QUEUED, _D.HELD, _D.FAILED, _D.UNKNOWN}),
    _D.UNKNOWN: frozenset({_D.ACCEPTED, _D.FAILED, _D.QUEUED, _D.ATTEMPTING}),
    _D.ACCEPTED: frozenset(),
    _D.FAILED: frozenset(),
    _D.SUPPRESSED: frozenset(),
    _D.EXPIRED: frozenset(),
    _D.CANCELLED: frozenset(),
}
"""Every legal move. What is not here is refused."""

BEGINNINGS: Final = frozenset({_D.REQUESTED, _D.SCHEDULED})
"""How an effect may begin."""

FINAL: Final = frozenset(state for state, moves in MOVES.items() if not moves)

WAITING: Final = frozenset({_D.REQUESTED, _D.SCHEDULED, _D.HELD, _D.QUEUED})
"""States in which nothing is under way and nothing may have gone through."""


def is_legal(present: Dispatch, following: Dispatch) -> bool:
    """Whether an effect may move from *present* to *following*."""
    return following in MOVES[present]


class Step(Enum):
    """What comes next for an effect, once its time has come."""

    ATTEMPT = "attempt"
    LOOK_UP = "look up"
    CONFIRM = "confirm"
    """Look up again: the first answer was *not there*."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of an effect; `wait` is the time to its next step, if there is one."""

    state: Dispatch
    reason: str
    wait: timedelta | None = None
    step: Step = Step.ATTEMPT
    counts: bool = True
    """Whether the attempt counts against the schedule."""
    alarm: str = ""
    """Why a person must look at it; empty when nobody needs to."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where an effect stands when an attempt or a look-up has ended."""

    policy: Policy
    attempts: int
    """Counted attempts, the one that has ended included."""
    unsettled: int = 0
    """Earlier attempts that may have gone through."""
    key_age: timedelta = timedelta()
    """How long ago the first attempt began, and with it the life of its key."""
    look_ups: int = 0
    """Look-ups made since the last attempt, the one that has ended included."""
    is_probe: bool = False
    """The provider was known to be away, and this attempt asked whether it still is."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway and the application's settings say about effects."""

    keeps: Keeps
    retry: RetrySchedule
    hold: timedelta
    """The wait after a fault of the gateway's own."""
    wait_max: timedelta
    """The longest wait that a provider may ask for."""
    probe_wait: timedelta
    """The wait after a probe that found the provider still away."""
    look_up_retry: RetrySchedule = LOOK_UP_RETRY


def after_attempt(outcome: Outcome, standing: Standing, terms: Terms, *, fraction: float) -> Settled:
    """Decide about an effect whose attempt ended with *outcome*; *fraction* (0 to 1) spreads the waits."""
    match outcome:
        case Accepted():
            return Settled(state=Dispatch.ACCEPTED, reason="")
        case Unknown(evidence=evidence, retry_after=retry_after):
            return _while_unknown(evidence, retry_after, standing, terms, fraction)
        case NotSent(fault=Fault.GATEWAY, reason=reason):
            return _held(reason, terms.hold, standing, terms)
        case NotSent(permanent=False, fault=Fault.PROVIDER, reason=reason) if standing.is_probe:
            return _held(reason, terms.probe_wait, standing, terms)
        case NotSent(reason=reason, permanent=permanent, retry_after=retry_after):
            if standing.unsettled:
                if permanent:
                    return _stays_unknown(f"refused when it was tried again: {reason}")
                return _while_unknown(reason, retry_after, standing, terms, fraction)
            wait = None if permanent else _next_wait(standing.attempts, retry_after, terms, fraction)
            if wait is None:
                return Settled(state=Dispatch.FAILED, reason=reason if permanent else f"no attempt is left: {reason}")
            return Settled(state=Dispatch.QUEUED, reason=reason, wait=wait)


def after_look_up(answer: LookUpAnswer, step: Step, standing: Standing, terms: Terms, *, fraction: float) -> Settled:
    """Decide about an unknown effect that was looked up at its provider."""
    match answer:
        case Found():
            return Settled(state=Dispatch.ACCEPTED, reason="")
        case NotThere() if step is not Step.CONFIRM:
            if terms.keeps.look_up is None:
                return _stays_unknown("not there when it was looked up, and it can be looked up no more")
            return Settled(
                state=Dispatch.UNKNOWN,
                reason="not there when it was looked up; to be confirmed",
                wait=terms.keeps.look_up.lag,
                step=Step.CONFIRM,
            )
        case NotThere():
            wait = _next_wait(standing.attempts, None, terms, fraction)
            if wait is None:
                return Settled(state=Dispatch.FAILED, reason="no attempt is left: it was looked up and is not there")
            return Settled(state=Dispatch.QUEUED, reason="it was looked up and is not there", wait=wait)
        case Unclear(evidence=evidence):
            wait = terms.look_up_retry.wait_after(standing.look_ups, fraction)
            if wait is None:
                return _stays_unknown(f"could not be looked up: {evidence}")
            reason = f"could not be looked up: {evidence}"
            return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=wait, step=step)


def when_key_has_gone(standing: Standing, terms: Terms) -> Settled | None:
    """What to do instead of the next attempt under *keyed*, when the key may stop a second effect no longer.

    None when the attempt may be made: the key is good, or nothing can have gone through.
    """
    if standing.policy is not Policy.KEYED or not standing.unsettled or is_key_good(standing.key_age, terms.keeps):
        return None
    if terms.keeps.look_up is not None:
        reason = "the key's lifetime has passed; it is looked up instead"
        return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=timedelta(), step=Step.LOOK_UP)
    return _stays_unknown("the key's lifetime has passed")


def _while_unknown(
    reason: str, retry_after: timedelta | None, standing: Standing, terms: Terms, fraction: float
) -> Settled:
    """An attempt may have gone through: what the policy permits."""
    match standing.policy:
        case Policy.AT_MOST_ONCE:
            return Settled(state=Dispatch.UNKNOWN, reason=reason)
        case Policy.RECONCILE:
            if terms.keeps.look_up is None:
                return _stays_unknown(f"cannot be looked up: {reason}")
            return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=terms.keeps.look_up.settle, step=Step.LOOK_UP)
        case Policy.AT_LEAST_ONCE:
            wait = _next_wait(standing.attempts, retry_after, terms, fraction)
            if wait is None:
                return _stays_unknown(f"no attempt is left: {reason}")
            return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=wait)
        case Policy.KEYED:
            wait = _next_wait(standing.attempts, retry_after, terms, fraction)
            if wait is not None and is_key_good(standing.key_age + wait, terms.keeps):
                return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=wait)
            if terms.keeps.look_up is None:
                return _stays_unknown(f"no attempt is left under the same key: {reason}")
            return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=terms.keeps.look_up.settle, step=Step.LOOK_UP)


def _held(reason: str, wait: timedelta, standing: Standing, terms: Terms) -> Settled:
    """Nobody's message would fare better now. That burns no attempt."""
    if not standing.unsettled:
        return Settled(state=Dispatch.HELD, reason=reason, wait=wait, counts=False)
    if standing.policy is Policy.AT_MOST_ONCE:
        return Settled(state=Dispatch.UNKNOWN, reason=reason, counts=False)
    if standing.policy is Policy.RECONCILE:
        if terms.keeps.look_up is None:
            return _stays_unknown(f"cannot be looked up: {reason}", counts=False)
        settle = terms.keeps.look_up.settle
        return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=settle, step=Step.LOOK_UP, counts=False)
    return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=wait, counts=False)


def _stays_unknown(reason: str, *, counts: bool = True) -> Settled:
    """Nothing more is done by itself."""
    return Settled(state=Dispatch.UNKNOWN, reason=reason, counts=counts, alarm=reason)


def _next_wait(attempts: int, retry_after: timedelta | None, terms: Terms, fraction: float) -> timedelta | None:
    wait = terms.retry.wait_after(attempts, fraction)
    if wait is None or retry_after is None:
        return wait
    return max(wait, min(retry_after, terms.wait_max))
