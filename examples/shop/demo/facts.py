"""What was seen while the story was played, before anybody judges it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from duly import DryRun, EffectView, RecordedEvent
from examples.shop.ordering.messages import ListedOrder, Money, PurchaseSummary
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What providers and ledgers know of the past, at one moment."""

    requests: Mapping[Channel, int]
    """How often each provider was asked."""
    effects: int
    attempts: int
    """Of those effects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilding:
    """What was seen while read models were rebuilt and a subscriber's past was tried."""

    rebuilt: Sequence[str]
    """The read models that people see another generation of."""
    orders_meanwhile: int
    shown_at_once: int
    """Orders that were among their customer's purchases right after their commit."""
    looks: int
    """How often somebody read an order list."""
    errors: int
    steps_back: int
    """Orders that such a look did not find any more, or in an earlier state."""
    calls_before: Calls
    calls_after: Calls
    dry_runs: Sequence[DryRun]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the process of one newcomer has heard, in its order."""

    names: tuple[str, ...]
    message_ids: tuple[str, ...]
    is_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What was seen of welcomes that wait."""

    welcomed_early: int
    """Welcomes that were requested when each newcomer had only registered, or only ordered."""
    told_again: int
    """Messages that the process was told a second time."""
    gave_up: int
    """Timeouts that came, when the time had passed."""
    heard: Mapping[str, Heard]
    """By customer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardOrder:
    """What became of an order that was to be paid by card."""

    order_state: str
    owed: str


@dataclass(slots=True, kw_only=True)
class Facts:
    """Everything that was seen."""

    refusals: dict[str, Refusal] = field(default_factory=dict)
    newsletters: dict[str, Newsletter] = field(default_factory=dict)
    clicks: Clicks | None = None
    kill: Kill | None = None
    cascade: Cascade | None = None
    outage: Outage | None = None
    waits: Waits | None = None
    cards: dict[str, CardOrder] = field(default_factory=dict)
    """By customer."""
    rebuilding: Rebuilding | None = None
    events: Sequence[RecordedEvent] = ()
    """The events of all orders, from the first one on, as they stand in the log."""
    listed: dict[str, Sequence[ListedOrder]] = field(default_factory=dict)
    """Each tenant's order list in the end."""
    purchases: dict[str, PurchaseSummary] = field(default_factory=dict)
    """What each customer is shown of what they have ordered."""
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
