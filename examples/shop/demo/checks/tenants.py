"""Point 5: each tenant sees everything that was sent on its behalf, and nothing else."""

from examples.shop.demo.checks.check import Check, Evidence, equal
from examples.shop.demo.plan import TENANTS
from examples.shop.sandbox.record import CHANNELS

EFFECTS_OF_A_WISH = 1


def tenants(evidence: Evidence) -> list[Check]:
    """One row for each tenant."""
    return [_tenant(evidence, tenant) for tenant in TENANTS]


def _tenant(evidence: Evidence, tenant: str) -> Check:
    plan, facts = evidence.plan, evidence.facts
    planned = EFFECTS_OF_A_WISH + sum(order.effects_planned for order in plan.orders if order.person.tenant == tenant)
    people = [person for person in plan.people if person.tenant == tenant]
    names = {plan.wisher(tenant)} | {person.recipient(channel) for person in people for channel in CHANNELS}
    ledger = facts.effects[tenant]
    foreign = sum(effect.tenant != tenant or effect.recipient not in names for effect in ledger)
    return equal(
        5,
        f"{tenant}: its effects, and one of the other’s",
        f"{planned} own, 0 foreign; EffectNotFound",
        f"{len(ledger) - foreign} own, {foreign} foreign; {facts.foreign_answers[tenant]}",
    )
