"""What a run came to: for the report, for a program (JSON), and for the exit status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from duly import EffectView
from examples.shop.demo.checks import Check, check_all
from examples.shop.demo.comparison import Comparison, compare
from examples.shop.demo.facts import Facts
from examples.shop.demo.plan import Plan
from examples.shop.demo.troubles import BUSY, UNDELIVERED
from examples.shop.demo.waits import REFUSED_NOT_TEXTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything that a run has to tell."""

    is_as_promised: bool
    store: str
    orders: int
    seconds: float
    checks: Sequence[Check]
    comparison: Comparison
    explained: Sequence[EffectView]
    """Effects whose chain of causes is shown: an SMS that took more than one attempt, and two mails instead of one."""
    ledgers: Mapping[str, Sequence[EffectView]]

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")


def judge(plan: Plan, facts: Facts, *, store: str, seconds: float) -> Outcome:
    """The outcome of a run. Any check that does not hold, and any difference, breaks the promise."""
    comparison = compare(facts.all_effects, facts.records)
    checks = check_all(plan, facts, comparison)
    return Outcome(
        is_as_promised=not comparison.differences and all(check.holds for check in checks),
        store=store,
        orders=len(plan.orders),
        seconds=round(seconds, 1),
        checks=checks,
        comparison=comparison,
        explained=_explained(plan, facts),
        ledgers=facts.effects,
    )


def _explained(plan: Plan, facts: Facts) -> list[EffectView]:
    phones = {order.person.phone for order in plan.in_trouble(BUSY)}
    sms = [effect for effect in facts.all_effects if effect.recipient in phones]
    explained = sorted(sms, key=lambda effect: len(effect.attempts))[-1:]
    for trouble in (UNDELIVERED, REFUSED_NOT_TEXTED):
        addresses = {order.person.email for order in plan.in_trouble(trouble)}
        mails = [effect for effect in facts.all_effects if effect.recipient in addresses]
        explained += sorted(mails, key=lambda effect: len(effect.chain))[-1:]
    return explained
