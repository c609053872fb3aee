"""Which outcome of an effect is which event, and who hears it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from duly.messages.outcomes import (
    EffectAccepted,
    EffectCancelled,
    EffectDelivered,
    EffectEngaged,
    EffectExpired,
    EffectFailed,
    EffectHeld,
    EffectOutcome,
    EffectOutcomeUnknown,
    EffectRead,
    EffectSuppressed,
    EffectUnconfirmed,
    EffectUndelivered,
)
from duly.states.delivery import UNDELIVERABLE, Delivery
from duly.states.effect import Dispatch

DISPATCH_EVENTS: Final[Mapping[Dispatch, type[EffectOutcome]]] = {
    Dispatch.ACCEPTED: EffectAccepted,
    Dispatch.FAILED: EffectFailed,
    Dispatch.UNKNOWN: EffectOutcomeUnknown,
    Dispatch.SUPPRESSED: EffectSuppressed,
    Dispatch.HELD: EffectHeld,
    Dispatch.EXPIRED: EffectExpired,
    Dispatch.CANCELLED: EffectCancelled,
}
"""The states that a domain can care about. An event is raised when an effect comes into one of them."""

DELIVERY_EVENTS: Final[Mapping[Delivery, type[EffectOutcome]]] = {
    Delivery.DELIVERED: EffectDelivered,
    Delivery.READ: EffectRead,
    Delivery.UNCONFIRMED: EffectUnconfirmed,
    **dict.fromkeys(UNDELIVERABLE, EffectUndelivered),
}

ENGAGEMENT_EVENT: Final[type[EffectOutcome]] = EffectEngaged

Hearers: TypeAlias = Mapping[tuple[str, str], tuple[int, ...]]
"""Numbers of the subscribers by the stored names of event and effect. Without a hearer no event is written."""
