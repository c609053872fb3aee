"""What became of an effect, as public events: how outcomes return to the domain.

A handler names the type of effect that it hears of::

    @shop.after_commit
    async def fall_back(event: EffectFailed[Sms], effects: Effects) -> None: ...

They come in the order in which they happened, per effect. They hold no personal data: find the rest by `reference`.
"""

from __future__ import annotations

from typing import Generic

from typing_extensions import TypeVar

from duly.messages.message import Effect, PublicEvent

E_co = TypeVar("E_co", bound=Effect, default=Effect, covariant=True)


class EffectOutcome(PublicEvent, Generic[E_co]):
    """Root of all outcomes; *E_co* is the type of effect. It is not heard itself: name one of the classes below."""

    effect_id: str
    effect_type: str
    """The stored name of the effect's type."""
    channel: str
    gateway: str
    reference: str | None
    """What `effects.request(reference=…)` was given."""
    reason: str
    provider_id: str | None
    attempts: int
    """How many attempts there were so far."""


class EffectAccepted(EffectOutcome[E_co], Generic[E_co], name="duly.effect_accepted"):
    """The provider took it. That is not yet delivered."""


class EffectFailed(EffectOutcome[E_co], Generic[E_co], name="duly.effect_failed"):
    """It was definitely not sent, and no attempt is left."""


class EffectOutcomeUnknown(EffectOutcome[E_co], Generic[E_co], name="duly.effect_outcome_unknown"):
    """It may have gone through; nobody knows yet. Never the same as failed."""


class EffectSuppressed(EffectOutcome[E_co], Generic[E_co], name="duly.effect_suppressed"):
    """It will not be sent, for the reason given."""


class EffectHeld(EffectOutcome[E_co], Generic[E_co], name="duly.effect_held"):
    """It waits: for a person, a tenant's resumption, or a provider that is away."""


class EffectExpired(EffectOutcome[E_co], Generic[E_co], name="duly.effect_expired"):
    """Its time ran out before anything went through."""


class EffectCancelled(EffectOutcome[E_co], Generic[E_co], name="duly.effect_cancelled"):
    """Somebody withdrew it before anything went through."""


class EffectDelivered(EffectOutcome[E_co], Generic[E_co], name="duly.effect_delivered"):
    """The provider reported that it arrived."""


class EffectUndelivered(EffectOutcome[E_co], Generic[E_co], name="duly.effect_undelivered"):
    """The provider reported that it did not arrive and will not; `reason` says how: undelivered, bounced, …"""


class EffectRead(EffectOutcome[E_co], Generic[E_co], name="duly.effect_read"):
    """The provider reported that it was read."""


class EffectUnconfirmed(EffectOutcome[E_co], Generic[E_co], name="duly.effect_unconfirmed"):
    """No report came within the provider's window. That is no failure."""


class EffectEngaged(EffectOutcome[E_co], Generic[E_co], name="duly.effect_engaged"):
    """The recipient opened, clicked, complained, unsubscribed or replied; `reason` says which."""
