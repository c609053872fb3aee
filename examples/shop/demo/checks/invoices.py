"""Point 10: whatever becomes of the answers, an order is invoiced once, and nobody is left not knowing."""

from collections import Counter

from duly import Dispatch
from examples.shop.demo.checks.check import Check, Evidence, equal, troubles_of
from examples.shop.demo.troubles import ALWAYS_500, ALWAYS_503, Trouble


def invoices(evidence: Evidence) -> list[Check]:
    """Point 10."""
    planned = sum(order.trouble.taken["billing"] for order in evidence.plan.orders)
    there = Counter(record.reference for record in evidence.facts.records["billing"])
    unknown = sum(effect.state is Dispatch.UNKNOWN for effect in evidence.effects if effect.channel == "billing")
    return [
        *troubles_of(10, evidence),
        _looked_up(evidence, ALWAYS_500, "found", "it was invoiced"),
        _looked_up(evidence, ALWAYS_503, "not there, not there", "it was not, and that is asked twice"),
        equal(
            10,
            "invoices there, those of the killed worker too",
            f"{planned} under {planned} keys; 0 unknown here",
            f"{there.total()} under {len(there)} keys; {unknown} unknown here",
        ),
    ]


def _looked_up(evidence: Evidence, trouble: Trouble, answers: str, what: str) -> Check:
    orders = evidence.plan.in_trouble(trouble)
    seen = Counter(
        ", ".join(look_up.answer for look_up in effect.look_ups) or "never asked"
        for effect in evidence.effects_to(orders)
        if effect.channel == "billing"
    )
    told = "; ".join(f"{count} × {said}" for said, count in sorted(seen.items()))
    return equal(10, f"looked up: {what}", f"{len(orders)} × {answers}", told)
