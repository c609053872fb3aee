"""What one process has seen of a gateway: when its account, or one of its destinations, is taken to be away."""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta
from typing import Final

from duly.ports.ledger import BreakerMove, Claimed, destination_key
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.breaker import BreakerTerms, Tally, observed, trips

DESTINATIONS_WATCHED_MAX: Final = 10_000
"""How many destinations one process keeps a tally of; the one that was called longest ago is forgotten."""


class Breakers:
    """The breakers of one gateway. Open ones lie in the ledger, where every process sees them.

    With a destination only that one's breaker counts: one customer's dead server is no reason to hold the others.
    """

    def __init__(self, gateway: str, terms: BreakerTerms, *, hold: timedelta) -> None:
        """*hold* is how long an account is left alone after a fault of the gateway's own."""
        self._gateway = gateway
        self._terms = terms
        self._hold = hold
        self._tallies: OrderedDict[str, Tally] = OrderedDict()

    def observe(self, claimed: Claimed, outcome: Outcome, at: timedelta) -> tuple[BreakerMove, ...]:
        """What follows from one more outcome, at *at* by a monotonic clock."""
        if isinstance(outcome, NotSent) and outcome.fault is Fault.GATEWAY:
            self._tallies.pop("", None)
            return (self._opened("", self._hold, f"the gateway's own fault: {outcome.reason}"),)
        place = destination_key(claimed.tenant, claimed.prepared.destination)
        failed = _failed(outcome)
        if claimed.is_probe:
            self._tallies.pop(place, None)
            # It may have been the account that it asked about: that is back, whatever became of the destination.
            account = (self._closed(""),) if place else ()
            if failed:
                return (self._opened(place, self._terms.half_open_after, f"still away: {_said(outcome)}"), *account)
            return (self._closed(place), *account)
        tally = observed(self._tallies.get(place, Tally()), at, failed, self._terms)
        self._tallies[place] = tally
        self._tallies.move_to_end(place)
        if len(self._tallies) > DESTINATIONS_WATCHED_MAX:
            self._tallies.popitem(last=False)
        if failed and trips(tally, at, self._terms):
            del self._tallies[place]
            return (self._opened(place, self._terms.half_open_after, f"too many calls fail: {_said(outcome)}"),)
        return ()

    def _closed(self, place: str) -> BreakerMove:
        return BreakerMove(gateway=self._gateway, destination=place, open_for=None, reason="")

    def _opened(self, place: str, open_for: timedelta, reason: str) -> BreakerMove:
        return BreakerMove(gateway=self._gateway, destination=place, open_for=open_for, reason=reason)


def _failed(outcome: Outcome) -> bool:
    """Whether it speaks against the provider. A refusal of one message does not."""
    match outcome:
        case Accepted():
            return False
        case Unknown():
            return True
        case NotSent(fault=fault, permanent=permanent):
            return fault is Fault.PROVIDER and not permanent


def _said(outcome: Outcome) -> str:
    match outcome:
        case Accepted():
            return "accepted"
        case Unknown(evidence=evidence):
            return evidence
        case NotSent(reason=reason):
            return reason
