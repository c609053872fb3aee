"""A run of the demo in which everything went as planned: the plan turned into what should be seen, without running."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import msgspec

from duly import AttemptView, AuditRow, Delivery, Dispatch, EffectView, Link, LookUpView
from duly.effects.senders import WORKER_LOST
from duly.states.attempt import Origin
from duly.states.effect import Step
from examples.shop.demo.checks.commands import CASCADE
from examples.shop.demo.checks.receipts import DELIVERIES, FLAWED_MOODS, REFUSED, TAKEN
from examples.shop.demo.facts import Cascade, Clicks, Facts, Kill, Newsletter, Outage, Refusal
from examples.shop.demo.outcome import Outcome, judge
from examples.shop.demo.plan import ORDERS_MIN, PERSON, TENANTS, Order, Plan, make_plan
from examples.shop.demo.troubles import (
    ALWAYS_500,
    ALWAYS_503,
    FOUND,
    NOT_FOUND,
    NOT_TEXTED,
    REPORTED,
    UNDELIVERED,
    Report,
    Trouble,
)
from examples.shop.sandbox.record import CHANNELS, Accepted, Channel, Receipt
from examples.shop.sandbox.sms_receipts import STATUSES

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
ENDED = BEGUN + timedelta(seconds=1)
TAKEN_AT = (BEGUN + timedelta(milliseconds=500)).isoformat(timespec="microseconds")

OUTCOMES = {NOT_TEXTED: "duly.effect_failed", UNDELIVERED: "duly.effect_undelivered"}
ANSWERS = {ALWAYS_500: ("found",), ALWAYS_503: ("not there", "not there")}
VERDICTS = {FOUND: "accepted", NOT_FOUND: "queued"}


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
    plan = make_plan(ORDERS_MIN)
    effects: dict[str, list[EffectView]] = {tenant: [] for tenant in TENANTS}
    records: dict[Channel, list[Accepted]] = {channel: [] for channel in CHANNELS}
    receipts: list[Receipt] = []
    numbers = count(1)

    for order in plan.orders:
        tenant = order.person.tenant
        for channel in CHANNELS:
            # The accepted are taken in any case; of the others, as many as the plan says.
            left = order.trouble.taken[channel]
            for number, state in enumerate(sorted(order.trouble.states[channel])):
                reason = "" if state == "accepted" else WORKER_LOST if order is plan.in_flight[0] else "no answer"
                text, recipient = f"{number} about {order.order_id}", order.person.recipient(channel)
                effect = _effect(f"effect-{next(numbers)}", tenant, channel, recipient, text, Dispatch(state), reason)
                effect = _in_trouble(order, number, effect)
                if left > 0:
                    reported = _receipts(channel, effect, order.trouble.reports.get(channel, Report()))
                    effect = _delivered(effect, reported)
                    receipts += reported
                    records[channel].append(_record(effect))
                effects[tenant].append(effect)
                left -= 1
    for tenant in TENANTS:
        wish = _effect(
            f"wish-{tenant}", tenant, "email", plan.wisher(tenant), "The newsletter", Dispatch.ACCEPTED, reason=""
        )
        effects[tenant].append(wish)
        records["email"].append(_record(wish))
    return PerfectRun(plan, _facts(plan, effects, records, receipts), effects, records)


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


def _in_trouble(order: Order, number: int, effect: EffectView) -> EffectView:
    """The effect with what its trouble has left there: look-ups, what a person did, a cause more."""
    trouble = order.trouble
    effect = msgspec.structs.replace(effect, reference=order.order_id)
    if effect.channel == "billing" and trouble in ANSWERS:
        return msgspec.structs.replace(effect, look_ups=_look_ups(trouble))
    if effect.channel == "sms" and trouble is REPORTED:
        return _replace_outcome(effect, "unknown")
    if effect.channel == "sms" and trouble in VERDICTS:
        return msgspec.structs.replace(_replace_outcome(effect, "unknown"), audit=(_audit(effect.id, trouble),))
    if effect.channel == "email" and trouble in OUTCOMES and number == 2:
        names = ("duly.sms", OUTCOMES[trouble])
        return msgspec.structs.replace(effect, chain=effect.chain + tuple(Link("public", name, name) for name in names))
    return effect


def _replace_outcome(effect: EffectView, outcome: str) -> EffectView:
    attempt = msgspec.structs.replace(effect.attempts[0], outcome=outcome, evidence="no answer")
    return msgspec.structs.replace(effect, attempts=(attempt,))


def _look_ups(trouble: Trouble) -> tuple[LookUpView, ...]:
    return tuple(
        LookUpView(number=number, step=Step.LOOK_UP, asked_at=ENDED, answer=answer, evidence="", provider_id=None)
        for number, answer in enumerate(ANSWERS[trouble], 1)
    )


def _audit(effect_id: str, trouble: Trouble) -> AuditRow:
    return AuditRow(
        effect_id=effect_id,
        verb="settle",
        by=PERSON,
        reason="looked",
        before="unknown",
        after=VERDICTS[trouble],
        detail="",
        at=ENDED,
    )


def _receipts(channel: Channel, effect: EffectView, report: Report) -> list[Receipt]:
    """What the provider reports of an effect that it has taken."""
    if channel == "email" or report.mood == "none":
        return []
    is_flawed = report.mood in FLAWED_MOODS
    statuses = ("paid",) if channel == "billing" else STATUSES[report.result or "delivered"]
    return [
        Receipt(
            channel=channel,
            provider_id=f"there-{effect.id}",
            recipient=effect.recipient,
            status=status,
            mood=report.mood,
            flaw="wrong_secret" if is_flawed else None,
            url="http://127.0.0.1:1/",
            answer=REFUSED if is_flawed else TAKEN,
            error=None,
        )
        for status in (statuses[-1:] if is_flawed else statuses)
    ]


def _delivered(effect: EffectView, reported: list[Receipt]) -> EffectView:
    told = [DELIVERIES[one.status] for one in reported if one.flaw is None and one.status in DELIVERIES]
    return msgspec.structs.replace(effect, delivery=Delivery(told[-1])) if told else effect


def _record(effect: EffectView) -> Accepted:
    reference = {"sms": None, "email": f"<{effect.id}@shop.example>", "billing": effect.id}[effect.channel]
    return Accepted(
        at=TAKEN_AT,
        provider_id=f"there-{effect.id}",
        recipient=effect.recipient,
        reference=reference,
        body=effect.summary,
    )


def _facts(
    plan: Plan,
    effects: dict[str, list[EffectView]],
    records: dict[Channel, list[Accepted]],
    receipts: list[Receipt],
) -> Facts:
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
        outage=Outage(breakers=("billing", "twilio"), held={"sms": 4, "billing": 4}),
        error_without_reason="InvalidInput",
        samples=1,
        foreign_answers=dict.fromkeys(TENANTS, "EffectNotFound"),
        effects=effects,
        records=records,
        receipts=receipts,
    )
