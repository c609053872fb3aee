"""What a gateway can keep, and which policy may be promised on it.

Rules
 1. `keyed`: after an unknown outcome the same key and the same bytes are sent again, until the key's lifetime less a
    margin has passed since the first attempt; then the effect is looked up, if the gateway can, or stays unknown.
 2. `reconcile`: an unknown outcome is looked up by our reference: found there, it is accepted; not there, it is looked
    up again after the lag of that source, and only then tried again; unclear, it stays unknown and a person is told.
 3. `at_most_once`: unknown stays unknown; a receipt or a person settles it.
 4. `at_least_once`: an unknown outcome is tried again; every such attempt is marked a possible duplicate.
 5. Nobody promises `keyed` without a key, `reconcile` without a look-up, or a schedule that outlives the key.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Final

import msgspec

from duly.states.allowance import Rate
from duly.states.retry import RetrySchedule

KEY_MARGIN: Final = timedelta(minutes=5)
"""How long before the end of a key's lifetime we stop to count on it."""


class Policy(Enum):
    """What happens after an outcome that is not known."""

    KEYED = "keyed"
    RECONCILE = "reconcile"
    AT_MOST_ONCE = "at_most_once"
    AT_LEAST_ONCE = "at_least_once"


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """The provider takes a key, and answers a repeat under the same key as it did the first time."""

    lifetime: timedelta
    """How long the provider remembers a key."""


class LookUp(msgspec.Struct, frozen=True, kw_only=True):
    """The provider can be asked whether it has what we sent, by our reference."""

    settle: timedelta = timedelta(seconds=30)
    """How long to wait after an unknown outcome before asking: it may still be on its way in."""
    lag: timedelta = timedelta(minutes=1)
    """How long what is there may be missing from an answer. *Not there* is asked a second time, this much later."""


class ReceiptWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The provider reports later what became of it."""

    within: timedelta = timedelta(days=3)
    """For how long reports may come; after that the delivery is `unconfirmed`, which is no failure."""


class Keeps(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway can keep. Nothing, by default: then an unknown outcome stays unknown."""

    key: IdempotencyKey | None = None
    look_up: LookUp | None = None
    receipts: ReceiptWindow | None = None
    receiver_deduplicates: bool = False
    """Whoever receives it knows a second one by its id, as receivers of webhooks do."""
    rate: Rate | None = None
    """How many calls the account may make, all processes together."""
    tenant_rate: Rate | None = None
    """How many calls may be made for one tenant to one destination, all processes together."""

    @property
    def default_policy(self) -> Policy:
        """The strongest policy that it can keep."""
        if self.key is not None:
            return Policy.KEYED
        if self.look_up is not None:
            return Policy.RECONCILE
        return Policy.AT_LEAST_ONCE if self.receiver_deduplicates else Policy.AT_MOST_ONCE


def is_key_good(age: timedelta, keeps: Keeps) -> bool:
    """Whether a key that was first used *age* ago still stops a second effect."""
    return keeps.key is not None and age + KEY_MARGIN < keeps.key.lifetime


def policy_mistakes(
    policy: Policy, keeps: Keeps, retry: RetrySchedule, *, where: str, call_timeout: timedelta, replay: timedelta
) -> list[str]:
    """Why *policy* cannot be kept, a sentence each; *replay* is how long an operator may order another attempt."""
    match policy:
        case Policy.KEYED if keeps.key is None:
            return [f"{where}: the policy is keyed, but the gateway knows no idempotency key. Choose another policy."]
        case Policy.KEYED if keeps.key is not None:
            needed = retry.longest + retry.attempts_max * call_timeout + replay + KEY_MARGIN
            if needed > keeps.key.lifetime:
                return [
                    f"{where}: its retry schedule ({retry.longest}), its calls, the time in which an operator may "
                    f"order another attempt ({replay}) and a margin ({KEY_MARGIN}) make {needed}, longer than the "
                    f"provider remembers a key ({keeps.key.lifetime}). Shorten retry= or Settings.replay_time_max."
                ]
        case Policy.RECONCILE if keeps.look_up is None:
            return [f"{where}: the policy is reconcile, but the gateway has no look-up. Choose another policy."]
        case Policy.KEYED | Policy.RECONCILE | Policy.AT_MOST_ONCE | Policy.AT_LEAST_ONCE:
            pass
    return []
