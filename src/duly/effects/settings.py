"""How the sender and the reconciler work."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from duly.ports.gateway import Gateway
from duly.states.breaker import BreakerTerms
from duly.states.effect import Terms

EVIDENCE_CHARACTERS_MAX: Final = 2_000


class SenderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The knobs of Act III; see `duly.Settings`."""

    poll_interval: timedelta
    attempt_margin: timedelta
    gateway_hold: timedelta
    breaker: BreakerTerms
    sweep_interval: timedelta
    retry_after_max: timedelta

    def lease(self, gateway: Gateway) -> timedelta:
        """How long an attempt or a look-up at *gateway* belongs to the worker that began it."""
        return gateway.call_timeout + self.attempt_margin

    def terms(self, gateway: Gateway) -> Terms:
        """What decisions about a gateway's effects rest on."""
        return Terms(
            keeps=gateway.keeps,
            retry=gateway.retry,
            hold=self.gateway_hold,
            wait_max=self.retry_after_max,
            probe_wait=self.breaker.half_open_after,
        )
