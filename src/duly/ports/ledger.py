"""What the ledger of effects needs from a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from duly.ports.gateway import Prepared
from duly.ports.keeping import KeepingStore, PauseStore
from duly.ports.ledger_view import ViewStore
from duly.ports.operations import OperationStore
from duly.ports.outcomes import Hearers
from duly.ports.receipts import ReceiptStore
from duly.states.effect import Settled, Standing, Step, Terms
from duly.states.policy import Policy


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for the next attempts of a gateway's effects: at most as many as calls can start at once."""

    gateway: str
    slots: int
    owner: str
    token: str
    """Drawn by the caller for this claim: what it has claimed can be found by it when the answer is lost."""
    lease: timedelta
    terms: Terms
    after_tenant: str = ""
    """Whose turn it was last: the next tenant's effects come first."""
    barred: str = ""
    """Why nothing may be attempted at all (the gateway is not live): all that is due is suppressed."""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """An effect whose attempt number `number` is committed and whose call starts next."""

    effect_id: str
    tenant: str
    type: str
    gateway: str
    key: str
    number: int
    counted: int
    """Counted attempts, this one included."""
    unsettled: int
    """Earlier attempts that may have gone through."""
    key_age: timedelta
    """How long ago the first attempt began; zero for the first."""
    policy: Policy
    is_probe: bool
    was_held: bool = False
    """Whether it was being held, by whatever, when this attempt was claimed."""
    token: str
    prepared: Prepared
    requested_at: datetime
    started_at: datetime
    trace: str | None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt came to, and what becomes of its effect."""

    effect_id: str
    tenant: str
    number: int
    token: str
    outcome: str
    evidence: str
    provider_id: str | None
    settled: Settled
    is_news: bool = True
    """Whether the state that it comes into is new to subscribers: not held once more, not unknown once more."""
    confirm_within: timedelta | None = None
    """For how long reports may come, when it was accepted by a provider that sends some."""
    suppresses: str = ""
    """Why its recipient is taken off the channel."""


def destination_key(tenant: str, destination: str) -> str:
    """How a destination's breaker is named: the ids of destinations are a tenant's own. Empty without one."""
    return f"{tenant}/{destination}" if destination else ""


class OpenBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's account (no *destination*), or a tenant's destination, that is left alone for a while, and why."""

    gateway: str
    destination: str
    reason: str
    opened_at: datetime
    until: datetime


class BreakerMove(msgspec.Struct, frozen=True, kw_only=True):
    """Opens a breaker for a while, or closes it (no `open_for`); *destination* is a `destination_key`, or empty for
    the gateway's account.
    """

    gateway: str
    destination: str
    open_for: timedelta | None
    reason: str
    is_probing: bool = False
    """An attempt is under way that asks whether the provider is back: until it has ended, nobody else asks."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender has for the ledger at one moment: all of it shares one commit."""

    ended: tuple[Ended, ...] = ()
    breakers: tuple[BreakerMove, ...] = ()
    abandoned: tuple[str, ...] = ()
    """Tokens of claims whose answer was lost: what they claimed was never started."""
    claim: Claim | None = None


class Turned(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    written: tuple[bool, ...] = ()
    """For each of `ended`; False where the attempt has another token by now."""
    claimed: tuple[Claimed, ...] = ()
    has_more: bool = False
    """Whether another turn may find something at once."""
    tenant: str = ""
    """Whose turn it was last."""
    has_promised: bool = False
    """Whether outcomes were promised to subscribers."""


class LostSettler(Protocol):
    """Decides about an effect whose worker was lost during the call."""

    def __call__(self, gateway: str, standing: Standing) -> Settled:
        """What becomes of it, by its policy."""


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Effects whose attempts were written down as unknown, because their worker was lost."""

    effect_ids: tuple[str, ...]
    has_promised: bool


class LookUpDue(msgspec.Struct, frozen=True, kw_only=True):
    """An unknown effect that is to be looked up at its provider now."""

    claimed: Claimed
    """The effect, as its last attempt saw it."""
    step: Step
    look_ups: int
    """Look-ups since the last attempt, this one included."""


class LookUpEnded(msgspec.Struct, frozen=True, kw_only=True):
    """What a look-up came to, and what becomes of its effect."""

    effect_id: str
    token: str
    step: Step
    answer: str
    evidence: str
    provider_id: str | None
    settled: Settled
    confirm_within: timedelta | None = None


class SendingStore(PauseStore, ReceiptStore, Protocol):
    """What the sender and the reconciler need."""

    def outcomes_heard_by(self, hearers: Hearers) -> None:
        """From now on promise outcomes to these subscribers. Set once, at start."""

    async def turn(self, turn: Turn) -> Turned:
        """Write outcomes down and commit the next attempts, in one commit."""

    async def due_gateways(self) -> list[str]:
        """Names of the gateways with an effect that is due for an attempt or a look-up."""

    async def has_lost_attempts(self) -> bool:
        """Whether the lease of an attempt or a look-up has run out."""

    async def lose_attempts(self, reason: str, settle: LostSettler) -> Lost:
        """Write *unknown* for attempts whose lease ran out, then what *settle* decides; free look-ups likewise."""

    async def claim_look_ups(self, gateway: str, slots: int, *, token: str, lease: timedelta) -> list[LookUpDue]:
        """Take unknown effects that are due to be looked up, the oldest first."""

    async def end_look_ups(self, ended: Sequence[LookUpEnded]) -> Turned:
        """Write down what look-ups came to."""

    async def expire(self) -> bool:
        """Close waiting effects whose time ran out; and deliveries that nobody reports on any more.

        Whether outcomes were promised.
        """

    async def breakers(self) -> list[OpenBreaker]:
        """Every open breaker."""

    async def fact(self, name: str) -> str:
        """A fact that this database alone knows, such as ``recipient_hash_key``."""


class LedgerStore(SendingStore, ViewStore, KeepingStore, OperationStore, Protocol):
    """What the tenant's view needs."""

    async def unsettled(self, within: timedelta) -> int:
        """How many effects have an attempt under way, or are due for one *within* that time."""
