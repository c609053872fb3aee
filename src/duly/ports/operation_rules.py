"""Which operation fits an effect, and what becomes of it, as pure rules. What does not fit says what to do instead.

Rules
 1. Nothing is done while an attempt or a look-up is under way: what comes of it is not known yet.
 2. `settle`: an unknown effect is accepted, or not sent. Not sent, it fails, or is queued for one more attempt.
 3. `retry`: one attempt now, of what is unknown or waits. It counts against the schedule as any other: when the
    schedule is spent, there is none after it; when it is not, the rest of it follows, if the policy permits that.
 4. After an unknown attempt a retry is marked a possible duplicate, unless the key is still good. Under *keyed* nobody
    expects that; so with a key that has gone it must be said in so many words.
 5. `resend`: a new effect that names the old one, never while the old one may still go out by itself. What is unknown
    may arrive twice then, which must be said in so many words.
 6. `cancel`: what waits, and nothing else. `release`: what is held, unless its whole tenant is paused.
 7. Where a provider is known to be away, an attempt that a person orders asks at once whether it is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, TypeAlias

import msgspec

from duly.ports.operations import Operation, Verb, Verdict
from duly.states.attempt import Origin
from duly.states.effect import WAITING, Dispatch, Settled
from duly.states.policy import KEY_MARGIN, Keeps, Policy, is_key_good

_D = Dispatch

FITS: Final[Mapping[Verb, frozenset[Dispatch]]] = {
    Verb.SETTLE: frozenset({_D.UNKNOWN, _D.HELD}),
    Verb.RETRY: frozenset({_D.UNKNOWN, _D.HELD, _D.QUEUED, _D.SCHEDULED}),
    Verb.RESEND: frozenset({_D.ACCEPTED, _D.FAILED, _D.SUPPRESSED, _D.EXPIRED, _D.CANCELLED, _D.UNKNOWN}),
    Verb.CANCEL: WAITING,
    Verb.RELEASE: frozenset({_D.HELD}),
}
"""The states in which a verb may fit."""

INSTEAD: Final[Mapping[Dispatch, str]] = {
    _D.REQUESTED: "It is about to go out by itself; cancel withdraws it.",
    _D.SCHEDULED: "It waits for its time: retry sends it now, cancel withdraws it.",
    _D.QUEUED: "It waits for its next attempt: retry sends it now, cancel withdraws it.",
    _D.HELD: "It is held back: release lets go of it, cancel withdraws it.",
    _D.ATTEMPTING: "An attempt is under way. Look again when it has ended.",
    _D.UNKNOWN: "It may have gone through: settle it when you know, or order one more attempt with retry.",
    _D.ACCEPTED: "The provider has it; resend sends the same once more.",
    _D.FAILED: "It was definitely not sent, and that is final; resend sends it as a new effect.",
    _D.SUPPRESSED: "It was not sent, and that is final; resend sends it as a new effect.",
    _D.EXPIRED: "It was not sent, and that is final; resend sends it as a new effect.",
    _D.CANCELLED: "It was not sent, and that is final; resend sends it as a new effect.",
}
"""What to do about an effect in a state."""


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """An effect as an operation meets it, locked."""

    state: Dispatch
    policy: Policy
    unsettled: int
    """Attempts that may have gone through."""
    key_age: timedelta
    is_under_way: bool
    """An attempt or a look-up is under way."""
    has_next_step: bool
    """An attempt or a look-up comes by itself."""
    resends: int
    is_late: bool
    """It is no longer wanted: its time ran out."""
    is_erased: bool
    """What it held is gone."""
    paused: str
    """Why its tenant is paused; empty when it is not."""
    was_reported: bool = False
    """It is held because a receipt says that the provider has taken it."""


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the effect; for *resend*, which leaves it as it is, what the new one is."""

    settled: Settled | None = None
    origin: Origin = Origin.SCHEDULED
    unsettled: int = 0
    confirm_within: timedelta | None = None
    """For how long reports may come, of what is accepted."""
    generation: int = 0
    is_repeat: bool = False
    """This generation has been made before."""
    possible_duplicate: bool = False

    @property
    def is_due_now(self) -> bool:
        """Whether an attempt of the effect itself was ordered."""
        return self.settled is not None and self.settled.wait is not None


class Declined(msgspec.Struct, frozen=True):
    """Why it does not fit, and what does: the rest of a sentence that begins with the effect."""

    reason: str


Ruling: TypeAlias = Ordered | Declined


def rule(operation: Operation, present: Present, keeps: Keeps) -> Ruling:
    """What *operation* comes to, for an effect at a gateway that *keeps* so much."""
    if present.is_under_way:
        what = "an attempt" if present.state is _D.ATTEMPTING else "a look-up at its provider"
        return Declined(f"has {what} under way. Look again when that has ended.")
    is_held_only = present.state is _D.HELD and not present.was_reported
    if present.state not in FITS[operation.verb] or (operation.verb is Verb.SETTLE and is_held_only):
        return Declined(f"is {present.state.value}; {operation.verb.value} does not fit that. {INSTEAD[present.state]}")
    match operation.verb:
        case Verb.SETTLE:
            return _settle(operation, present, keeps)
        case Verb.RETRY:
            return _retry(operation, present, keeps)
        case Verb.RESEND:
            return _resend(operation, present)
        case Verb.CANCEL:
            return Ordered(settled=Settled(state=_D.CANCELLED, reason=f"a person cancelled it: {operation.reason}"))
        case Verb.RELEASE:
            return (
                _reported(present)
                or _paused(present)
                or Ordered(settled=_now(_D.QUEUED, f"a person released it: {operation.reason}"))
            )


def _settle(operation: Operation, present: Present, keeps: Keeps) -> Ruling:
    if operation.verdict is Verdict.ACCEPTED:
        return Ordered(
            settled=Settled(state=_D.ACCEPTED, reason=f"a person settled it as accepted: {operation.reason}"),
            confirm_within=None if keeps.receipts is None else keeps.receipts.within,
        )
    reason = f"a person settled it as not sent: {operation.reason}"
    if operation.again:
        return Ordered(settled=_now(_D.QUEUED, reason), origin=Origin.MANUAL)
    if present.state is _D.HELD:
        return Declined("is held: cancel closes it as not sent.")
    return Ordered(settled=Settled(state=_D.FAILED, reason=reason))


def _retry(operation: Operation, present: Present, keeps: Keeps) -> Ruling:
    may_duplicate = bool(present.unsettled) and not _key_stops_it(present, keeps)
    if may_duplicate and present.policy is Policy.KEYED and not operation.even_if_twice:
        lifetime = "its gateway is not part of this application" if keeps.key is None else str(keeps.key.lifetime)
        return Declined(
            f"may have gone through, and its key no longer stops a second one: it was first used {present.key_age} "
            f"ago; how long the provider remembers it, less {KEY_MARGIN}: {lifetime}. Settle it when you know; or "
            "order the attempt even if it arrives twice (even_if_twice=True, --even-if-twice)."
        )
    stopped = _stopped(present) or _paused(present) or (None if operation.even_if_twice else _reported(present))
    if stopped is not None:
        return stopped
    state = _D.UNKNOWN if present.state is _D.UNKNOWN else _D.QUEUED
    return Ordered(
        settled=_now(state, f"a person ordered an attempt: {operation.reason}"),
        origin=Origin.INSISTED if operation.even_if_twice else Origin.MANUAL,
        unsettled=present.unsettled,
        possible_duplicate=may_duplicate,
    )


def _resend(operation: Operation, present: Present) -> Ruling:
    generation = present.resends + 1 if operation.generation is None else operation.generation
    if generation <= present.resends:
        return Ordered(generation=generation, is_repeat=True)
    if generation > present.resends + 1:
        return Declined(f"was sent again {present.resends} times; the next generation is {present.resends + 1}.")
    if present.is_erased:
        return Declined("cannot be sent again: what it held was erased.")
    is_unknown = present.state is _D.UNKNOWN
    if is_unknown and present.has_next_step:
        return Declined(
            "is unknown, and something is still done about it by itself: it may be looked up, or tried again. Wait for "
            "that, or settle it first."
        )
    if is_unknown and not operation.even_if_twice:
        return Declined(
            "is unknown: it may have gone through, and a new one would be the second. Settle it when you know; or send "
            "it again even if it arrives twice (even_if_twice=True, --even-if-twice)."
        )
    return Ordered(generation=generation, possible_duplicate=is_unknown)


def _stopped(present: Present) -> Declined | None:
    """What would keep the next attempt from being made, and is not going to end by itself."""
    if present.is_erased:
        return Declined("cannot be tried again: what it held was erased.")
    if present.is_late:
        return Declined("cannot be tried again: its time ran out. Once it is closed, or settled, resend sends it anew.")
    return None


def _reported(present: Present) -> Declined | None:
    if not present.was_reported:
        return None
    return Declined(
        "was taken by its provider, a receipt says. Settle it as accepted; or order an attempt even if it arrives "
        "twice (retry with even_if_twice=True, --even-if-twice)."
    )


def _paused(present: Present) -> Declined | None:
    if not present.paused:
        return None
    return Declined(f"belongs to a tenant that is paused ({present.paused}). Resume the tenant; then it goes out.")


def _key_stops_it(present: Present, keeps: Keeps) -> bool:
    return present.policy is Policy.KEYED and is_key_good(present.key_age, keeps)


def _now(state: Dispatch, reason: str) -> Settled:
    return Settled(state=state, reason=reason, wait=timedelta())
