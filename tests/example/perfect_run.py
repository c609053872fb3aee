"""A run of the demo in which everything went as planned: the plan turned into what should be seen, without running."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from duly import AttemptView, Dispatch, EffectView, Link
from duly.effects.senders import WORKER_LOST
from duly.states.attempt import Origin
from examples.shop.demo.checks.commands import CASCADE
from examples.shop.demo.facts import Cascade, Clicks, Facts, Kill, Newsletter, Refusal
from examples.shop.demo.outcome import Outcome, judge
from examples.shop.demo.plan import TENANTS, Order, Plan, make_plan
from examples.shop.sandbox.record import CHANNELS, Accepted, Channel

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
ENDED = BEGUN + timedelta(seconds=1)
TAKEN = (BEGUN + timedelta(milliseconds=500)).isoformat(timespec="microseconds")


@dataclass(slots=True)
class PerfectRun:
    """The facts of a perfect run. Tests change them and judge again."""

    plan: Plan
    facts: Facts
    effects: dict[str, list[EffectView]]
    records: dict[Channel, list[Accepted]]

    def judge(self) -> Outcome:
        """The outcome with these facts."""
        return judge(self.plan, self.facts, store="nowhere", seconds=0.0)


def perfect_run() -> PerfectRun:
    """Every order of the plan with its effects and records, and all else that the demo would have seen."""
    plan = make_plan(20)
    effects: dict[str, list[EffectView]] = {tenant: [] for tenant in TENANTS}
    records: dict[Channel, list[Accepted]] = {channel: [] for channel in CHANNELS}
    numbers = count(1)

    def add(tenant: str, channel: Channel, recipient: str, text: str, state: str, reason: str, *, taken: bool) -> None:
        effect = _effect(f"effect-{next(numbers)}", tenant, channel, recipient, text, Dispatch(state), reason)
        effects[tenant].append(effect)
        if taken:
            records[channel].append(_record(effect))

    for order in plan.orders:
        for channel in CHANNELS:
            # The accepted are taken in any case; of the others, as many as the plan says.
            left = order.trouble.taken[channel]
            for number, state in enumerate(sorted(order.trouble.states[channel])):
                reason = "" if state == "accepted" else WORKER_LOST if order is plan.in_flight[0] else "no answer"
                text = f"{number} about {order.order_id}"
                add(order.person.tenant, channel, order.person.recipient(channel), text, state, reason, taken=left > 0)
                left -= 1
    for tenant in TENANTS:
        add(tenant, "email", plan.wisher(tenant), "The newsletter", "accepted", "", taken=True)
    return PerfectRun(plan, _facts(plan, effects, records), effects, records)


def _effect(
    effect_id: str, tenant: str, channel: Channel, recipient: str, text: str, state: Dispatch, reason: str
) -> EffectView:
    provider_id = None
    if state is Dispatch.ACCEPTED:
        provider_id = f"<{effect_id}@shop.example>" if channel == "email" else f"there-{effect_id}"
    attempt = AttemptView(
        number=1,
        origin=Origin.SCHEDULED,
        started_at=BEGUN,
        ended_at=ENDED,
        outcome=state.value,
        evidence=reason,
        provider_id=provider_id,
    )
    return EffectView(
        id=effect_id,
        tenant=tenant,
        type=channel,
        channel=channel,
        gateway=channel,
        recipient=recipient,
        summary=text,
        state=state,
        reason=reason,
        provider_id=provider_id,
        handler="communications.tell",
        chain=tuple(Link("event", name, name) for name in CASCADE),
        requested_at=BEGUN,
        changed_at=ENDED,
        next_attempt_at=None,
        attempts=(attempt,),
    )


def _record(effect: EffectView) -> Accepted:
    reference = {"sms": None, "email": f"<{effect.id}@shop.example>", "billing": effect.id}[effect.channel]
    return Accepted(
        at=TAKEN,
        provider_id=f"there-{effect.id}",
        recipient=effect.recipient,
        reference=reference,
        body=effect.summary,
    )


def _facts(plan: Plan, effects: dict[str, list[EffectView]], records: dict[Channel, list[Accepted]]) -> Facts:
    def refusal(order: Order, state: str) -> tuple[str, Refusal]:
        return order.person.customer_id, Refusal(error="RuleBroken", order_state=state)

    total = plan.cascade.total
    return Facts(
        refusals=dict(
            [refusal(plan.shipped, "shipped"), refusal(plan.closed, "confirmed"), refusal(plan.too_dear, "absent")]
        ),
        newsletters={tenant: Newsletter(error_for_the_second="RuleBroken", rows=1) for tenant in TENANTS},
        clicks=Clicks(times_at_once=20, answers=("No. 1",), orders=1, error_for_another_body="CommandIdReused"),
        kill=Kill(calls_in_flight=len(plan.in_flight), unsettled_effects=1),
        cascade=Cascade(order_state="confirmed", payment=total, owed=total),
        samples=1,
        foreign_answers=dict.fromkeys(TENANTS, "EffectNotFound"),
        effects=effects,
        records=records,
    )
