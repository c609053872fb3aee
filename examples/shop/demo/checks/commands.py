"""Points 1, 2 and 8: what a command does as a whole, or not at all."""

from examples.shop.demo.checks.check import Check, Evidence, equal
from examples.shop.demo.plan import TENANTS, Order

CASCADE = ("PlaceOrder", "OrderPlaced", "PaymentCreated", "AccountCharged", "OrderConfirmed", "OrderConfirmedPublic")


def rollbacks(evidence: Evidence) -> list[Check]:
    """Point 1: a command that breaks a rule leaves nothing behind, whatever it had asked for."""
    plan = evidence.plan
    return [
        _refusal(evidence, plan.shipped, "shipped", "a mail is requested, then the handler breaks a rule"),
        _refusal(evidence, plan.closed, "confirmed", "the same, but in the third aggregate of the cascade"),
        _refusal(evidence, plan.too_dear, "absent", "an order too dear for the third aggregate"),
        *(_newsletter(evidence, tenant) for tenant in TENANTS),
    ]


def _refusal(evidence: Evidence, order: Order, state: str, what: str) -> Check:
    seen = evidence.facts.refusals[order.person.customer_id]
    here = evidence.effects_of(order.person)
    planned = order.effects_planned if order in evidence.plan.orders else 0
    return equal(
        1,
        what,
        f"RuleBroken; order {state}; {planned} effects, {planned} taken",
        f"{seen.error}; order {seen.order_state}; {len(here)} effects, {evidence.taken(here)} taken",
    )


def _newsletter(evidence: Evidence, tenant: str) -> Check:
    seen = evidence.facts.newsletters[tenant]
    here = [effect for effect in evidence.effects if effect.recipient == evidence.plan.wisher(tenant)]
    return equal(
        1,
        f"{tenant}: a newsletter wish, twice (plain SQL)",
        "RuleBroken; 1 row; 1 effect, 1 taken",
        f"{seen.error_for_the_second}; {seen.rows} row; {len(here)} effect, {evidence.taken(here)} taken",
    )


def repeats(evidence: Evidence) -> list[Check]:
    """Point 2: a command with a known id runs once."""
    seen = evidence.facts.clicks
    assert seen is not None
    sms = [effect for effect in evidence.effects_of(evidence.plan.clicked.person) if effect.channel == "sms"]
    return [
        equal(
            2,
            f"one command {seen.times_at_once} times at once, and once more",
            "1 answer, 1 order, 1 SMS, 1 taken",
            f"{len(seen.answers)} answer, {seen.orders} order, {len(sms)} SMS, {evidence.taken(sms)} taken",
        ),
        equal(2, "its id, with another order", "CommandIdReused", seen.error_for_another_body),
    ]


def cascade(evidence: Evidence) -> list[Check]:
    """Point 8: events raise events and change other aggregates, in one transaction and in a known order."""
    order = evidence.plan.cascade
    owed = sum((other.total.amount for other in evidence.plan.usual if other.person == order.person), 0)
    seen = evidence.facts.cascade
    assert seen is not None
    chains = {
        " → ".join(link.name for link in effect.chain)
        for effect in evidence.effects_of(order.person)
        if effect.channel == "sms"
    }
    return [
        equal(8, "the chain of causes of an SMS", " → ".join(CASCADE), " | ".join(sorted(chains))),
        equal(
            8,
            "three aggregates, two modules, one transaction",
            f"order confirmed, payment {order.total}, account owes {owed:.2f} {order.total.currency}",
            f"order {seen.order_state}, payment {seen.payment}, account owes {seen.owed}",
        ),
    ]
