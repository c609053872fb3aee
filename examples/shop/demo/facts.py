"""What was seen while the story was played, before anybody judges it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from duly import EffectView
from examples.shop.ordering.messages import Money
from examples.shop.sandbox.record import Accepted, Channel, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a command that must break a rule came to, and what the order was afterwards."""

    error: str
    order_state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clicks:
    """One command, sent many times at once and then once more."""

    times_at_once: int
    answers: tuple[str, ...]
    orders: int
    error_for_another_body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """The moment in which a worker was killed."""

    calls_in_flight: int
    """Calls that the SMS provider had in hand, of both workers."""
    unsettled_effects: int
    """Effects in the ledgers that were waiting or under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newsletter:
    """A wish for the newsletter, made twice."""

    error_for_the_second: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """What one command has changed, in three aggregates of two modules."""

    order_state: str
    payment: Money
    owed: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What was seen while two providers were away."""

    breakers: tuple[str, ...]
    """The gateways that were left alone."""
    held: Mapping[Channel, int]
    """Effects that waited and had never been tried, of those who had ordered meanwhile."""


@dataclass(slots=True, kw_only=True)
class Facts:
    """Everything that was seen."""

    refusals: dict[str, Refusal] = field(default_factory=dict)
    newsletters: dict[str, Newsletter] = field(default_factory=dict)
    clicks: Clicks | None = None
    kill: Kill | None = None
    cascade: Cascade | None = None
    outage: Outage | None = None
    error_without_reason: str = ""
    """What a person got who would not say why."""
    samples: int = 0
    """How often, in the midst of it, the ledgers and then the providers' records were read."""
    accepted_too_early: int = 0
    """Effects that such a sample called accepted while no provider had them."""
    foreign_answers: dict[str, str] = field(default_factory=dict)
    """What each tenant got for an effect id of the other."""
    parked: int = 0
    effects: Mapping[str, Sequence[EffectView]] = field(default_factory=dict)
    """Each tenant's ledger in the end, the latest first."""
    records: Mapping[Channel, Sequence[Accepted]] = field(default_factory=dict)
    """What the providers wrote down, over the whole run."""
    receipts: Sequence[Receipt] = ()
    """What the providers reported, and how they were answered."""

    @property
    def all_effects(self) -> list[EffectView]:
        """The effects of all tenants."""
        return [effect for effects in self.effects.values() for effect in effects]
