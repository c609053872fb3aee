"""One check, and the evidence that all of them draw on."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from duly import EffectView
from examples.shop.demo.comparison import taken_by
from examples.shop.demo.facts import Facts
from examples.shop.demo.plan import Order, Person, Plan
from examples.shop.demo.troubles import TROUBLES, Trouble
from examples.shop.demo.waits import WAITS
from examples.shop.sandbox.record import CHANNELS, Accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row: what must be, what was seen, and whether it holds."""

    point: int
    what: str
    expected: str
    seen: str
    holds: bool


def equal(point: int, what: str, expected: str, seen: str) -> Check:
    """A check that holds when both sides read the same."""
    return Check(point=point, what=what, expected=expected, seen=seen, holds=expected == seen)


def counted(states: Mapping[str, int], taken: int) -> str:
    """So many effects in each state, and so many that the providers have."""
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if count)
    return f"{told or 'no effect'}; {taken} taken"


class Evidence:
    """The plan, and what was seen in the ledgers and at the providers, person by person."""

    def __init__(self, plan: Plan, facts: Facts) -> None:
        self.plan = plan
        self.facts = facts
        self.effects = facts.all_effects
        self._taken = taken_by(self.effects, facts.records)

    def records_of(self, effect: EffectView) -> Sequence[Accepted]:
        """What the provider wrote down of an effect."""
        return self._taken[effect.id]

    def effects_of(self, person: Person) -> list[EffectView]:
        """Everything that was meant for one person."""
        names = {person.recipient(channel) for channel in CHANNELS}
        return [effect for effect in self.effects if effect.recipient in names]

    def effects_to(self, orders: Iterable[Order]) -> list[EffectView]:
        """Everything that was meant for the people of some orders, each person once."""
        people = dict.fromkeys(order.person for order in orders)
        return [effect for person in people for effect in self.effects_of(person)]

    def taken(self, effects: Iterable[EffectView]) -> int:
        """How many messages the providers have of some effects."""
        return sum(len(self.records_of(effect)) for effect in effects)

    def told(self, effects: Sequence[EffectView]) -> str:
        """Some effects in words: states, and how many the providers have."""
        return counted(Counter(effect.state.value for effect in effects), self.taken(effects))

    def sms_of(self, *troubles: Trouble) -> list[EffectView]:
        """The SMS of the orders that met some troubles."""
        orders = self.plan.in_trouble(*troubles)
        return [effect for effect in self.effects_to(orders) if effect.channel == "sms"]


def troubles_of(point: int, evidence: Evidence) -> list[Check]:
    """One row for each trouble that belongs to a point: what must become of its orders, here and there."""
    return [_trouble(evidence, trouble) for trouble in (*TROUBLES, *WAITS) if trouble.point == point]


def _trouble(evidence: Evidence, trouble: Trouble) -> Check:
    people = {order.person for order in evidence.plan.in_trouble(trouble)}
    orders = [order for order in evidence.plan.orders if order.person in people]
    planned = Counter(state for order in orders for states in order.trouble.states.values() for state in states)
    taken = sum(sum(order.trouble.taken.values()) for order in orders)
    return equal(trouble.point, trouble.name, counted(planned, taken), evidence.told(evidence.effects_to(orders)))
