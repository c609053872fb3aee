"""A run of the demo in which everything went as planned: the plan turned into what should be seen, without running."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import msgspec

from duly import (
    AttemptView,
    AuditRow,
    Delivery,
    Dispatch,
    DryRun,
    EffectCount,
    EffectView,
    Link,
    LookUpView,
    RecordedEvent,
)
from duly.effects.senders import WORKER_LOST
from duly.states.attempt import Origin
from duly.states.effect import Step
from examples.shop.demo.checks.commands import CASCADE
from examples.shop.demo.checks.receipts import DELIVERIES, FLAWED_MOODS, REFUSED, TAKEN
from examples.shop.demo.checks.waiting import GAVE_UP, MAIL, ORDERED, REFUSAL, REGISTERED, WELCOME
from examples.shop.demo.facts import (
    Calls,
    CardOrder,
    Cascade,
    Clicks,
    Facts,
    Heard,
    Kill,
    Newsletter,
    Outage,
    Rebuilding,
    Refusal,
    Waits,
)
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
from examples.shop.demo.waits import REFUSED_CARD, REFUSED_NOT_TEXTED, REFUSED_UNDELIVERED, WELCOMED
from examples.shop.ordering.messages import (
    ListedOrder,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderShipped,
    PurchaseSummary,
)
from examples.shop.sandbox.record import CHANNELS, Accepted, Channel, Receipt
from examples.shop.sandbox.sms_receipts import STATUSES

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
ENDED = BEGUN + timedelta(seconds=1)
TAKEN_AT = (BEGUN + timedelta(milliseconds=500)).isoformat(timespec="microseconds")

OUTCOMES = {NOT_TEXTED: "duly.effect_failed", UNDELIVERED: "duly.effect_undelivered"}
ANSWERS = {ALWAYS_500: ("found",), ALWAYS_503: ("not there", "not there")}
VERDICTS = {FOUND: "accepted", NOT_FOUND: "queued"}
CARD_OUTCOMES = {REFUSED_NOT_TEXTED: "duly.effect_failed", REFUSED_UNDELIVERED: "duly.effect_undelivered"}
CANCELLED = (REFUSED_CARD, *CARD_OUTCOMES)


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
    if effect.channel == "email" and trouble in CARD_OUTCOMES and number == 2:
        return _because_of(effect, (*REFUSAL, CARD_OUTCOMES[trouble], MAIL))
    if effect.channel == "sms" and trouble in WELCOMED and number == 1:
        return _because_of(effect, (WELCOME,))
    return effect


def _because_of(effect: EffectView, names: tuple[str, ...]) -> EffectView:
    return msgspec.structs.replace(effect, chain=tuple(Link("command", name, name) for name in names))


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
    purchases: dict[str, PurchaseSummary] = {}
    for order in plan.orders:
        before = purchases.get(order.person.customer_id)
        purchases[order.person.customer_id] = PurchaseSummary(
            orders=before.orders + 1 if before else 1, total=before.total + order.total if before else order.total
        )
    return Facts(
        refusals=dict(
            [refusal(plan.shipped, "shipped"), refusal(plan.closed, "confirmed"), refusal(plan.too_dear, "absent")]
        ),
        newsletters={tenant: Newsletter(error_for_the_second="RuleBroken", rows=1) for tenant in TENANTS},
        clicks=Clicks(times_at_once=20, answers=("No. 1",), orders=1, error_for_another_body="CommandIdReused"),
        kill=Kill(calls_in_flight=len(plan.in_flight), unsettled_effects=1),
        cascade=Cascade(order_state="confirmed", payment=total, owed=total),
        outage=Outage(breakers=("billing", "twilio"), held={"sms": 4, "billing": 4}),
        waits=_waits(plan),
        cards={
            order.person.customer_id: CardOrder(order_state=_state(plan, order), owed="0.00 EUR")
            for order in plan.by_card
        },
        rebuilding=_rebuilding(plan),
        events=_events(plan),
        listed={
            tenant: [_listed(plan, order) for order in plan.orders if order.person.tenant == tenant]
            for tenant in TENANTS
        },
        purchases=purchases,
        error_without_reason="InvalidInput",
        samples=1,
        foreign_answers=dict.fromkeys(TENANTS, "EffectNotFound"),
        effects=effects,
        records=records,
        receipts=receipts,
    )


def _waits(plan: Plan) -> Waits:
    heard: dict[str, tuple[str, ...]] = {}
    for one in plan.newcomers:
        heard[one.registers_first.person.customer_id] = (REGISTERED, ORDERED)
        heard[one.orders_first[0].person.customer_id] = (ORDERED, ORDERED, REGISTERED)
        for person in (one.late.person, one.silent):
            heard[person.customer_id] = (REGISTERED, GAVE_UP)
    return Waits(
        welcomed_early=0,
        told_again=1,
        gave_up=2 * len(plan.newcomers),
        heard={
            customer: Heard(names=names, message_ids=tuple(f"m-{number}" for number in range(3)), is_ended=True)
            for customer, names in heard.items()
        },
    )


def _rebuilding(plan: Plan) -> Rebuilding:
    calls = Calls(requests=dict.fromkeys(CHANNELS, 9), effects=9, attempts=9)
    texted = sum(order.trouble not in CANCELLED for order in plan.orders)
    return Rebuilding(
        rebuilt=("order_list", "purchases"),
        orders_meanwhile=1,
        shown_at_once=len(plan.meanwhile),
        looks=1,
        errors=0,
        steps_back=0,
        calls_before=calls,
        calls_after=calls,
        dry_runs=[
            DryRun(
                subscriber="communications.text_customer",
                tenant="acme",
                messages=texted,
                effects=(EffectCount(type="duly.sms", known=texted),),
            )
        ],
    )


def _state(plan: Plan, order: Order) -> str:
    if order is plan.shipped:
        return "shipped"
    return "cancelled" if order.trouble in CANCELLED else "confirmed"


def _listed(plan: Plan, order: Order) -> ListedOrder:
    return ListedOrder(
        order_id=order.order_id,
        number=f"No. {order.order_id}",
        customer_id=order.person.customer_id,
        total=order.total,
        state=_state(plan, order),
    )


def _events(plan: Plan) -> list[RecordedEvent]:
    """What the log would hold of the orders."""
    found: list[RecordedEvent] = []
    for order in plan.orders:
        order_id, person = order.order_id, order.person
        placed = OrderPlaced(
            order_id=order_id,
            number=f"No. {order_id}",
            customer_id=person.customer_id,
            email=person.email,
            total=order.total,
        )
        confirmed = OrderConfirmed(
            order_id=order_id,
            number=placed.number,
            customer_id=person.customer_id,
            email=person.email,
            phone=person.phone,
            total=order.total,
        )
        match _state(plan, order):
            case "cancelled":
                events = [placed, OrderCancelled(order_id=order_id)]
            case "shipped":
                events = [placed, confirmed, OrderShipped(order_id=order_id)]
            case _:
                events = [placed, confirmed]
        found += [
            RecordedEvent(
                position=len(found) + version,
                at=BEGUN,
                event=event,
                id=f"{person.tenant}-{order_id}-{version}",
                tenant=person.tenant,
                stream=f"Order/{order_id}",
                version=version,
                cause=None,
                correlation="c",
            )
            for version, event in enumerate(events, 1)
        ]
    return found
