"""What the plan expects beside what was seen, point by point. Pure: it judges the facts, and cannot look for itself."""

from examples.shop.demo.checks.check import Check, Evidence
from examples.shop.demo.checks.commands import cascade, repeats, rollbacks
from examples.shop.demo.checks.invoices import invoices
from examples.shop.demo.checks.read_models import read_models
from examples.shop.demo.checks.receipts import receipts
from examples.shop.demo.checks.recovery import mails_instead, outage, people
from examples.shop.demo.checks.sending import crash, honesty
from examples.shop.demo.checks.tenants import tenants
from examples.shop.demo.checks.waiting import processes
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
        *read_models(evidence),
        *tenants(evidence),
        *honesty(evidence, comparison),
        *processes(evidence),
        *cascade(evidence),
        *receipts(evidence),
        *invoices(evidence),
        *mails_instead(evidence),
        *people(evidence),
        *outage(evidence),
    ]
