"""What the plan expects beside what was seen, point by point. Pure: it judges the facts, and cannot look for itself."""

from examples.shop.demo.checks.check import Check, Evidence, not_yet
from examples.shop.demo.checks.commands import cascade, repeats, rollbacks
from examples.shop.demo.checks.invoices import invoices
from examples.shop.demo.checks.receipts import receipts
from examples.shop.demo.checks.recovery import mails_instead, outage, people
from examples.shop.demo.checks.sending import crash, honesty
from examples.shop.demo.checks.tenants import tenants
from examples.shop.demo.comparison import Comparison
from examples.shop.demo.facts import Facts
from examples.shop.demo.plan import Plan

__all__ = ["Check", "check_all"]


def check_all(plan: Plan, facts: Facts, comparison: Comparison) -> list[Check]:
    """Every check, in the order of the points of the story."""
    evidence = Evidence(plan, facts)
    return [
        *rollbacks(evidence),
        *repeats(evidence),
        *crash(evidence),
        not_yet(4, "a read model is rebuilt from the first event on", "no SMS goes out again"),
        *tenants(evidence),
        *honesty(evidence, comparison),
        not_yet(7, "a welcome SMS waits for two events", "it goes out after both, in either order"),
        *cascade(evidence),
        *receipts(evidence),
        *invoices(evidence),
        *mails_instead(evidence),
        *people(evidence),
        *outage(evidence),
    ]
