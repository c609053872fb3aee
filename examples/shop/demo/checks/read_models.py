"""Point 4: read models are rebuilt from the first event on, and nothing goes out again."""

from collections.abc import Mapping, Sequence

from duly import DryRun, RecordedEvent
from examples.shop.demo.checks.check import Check, Evidence, equal
from examples.shop.demo.facts import Calls, Rebuilding
from examples.shop.demo.plan import TENANTS
from examples.shop.demo.rebuilding import READ_MODELS
from examples.shop.ordering.messages import (
    ListedOrder,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderShipped,
    PurchaseSummary,
)
from examples.shop.sandbox.record import CHANNELS

Listed = dict[tuple[str, str], ListedOrder]
"""By tenant and order."""


def read_models(evidence: Evidence) -> list[Check]:
    """Point 4."""
    seen = evidence.facts.rebuilding
    assert seen is not None
    folded = folded_orders(evidence.facts.events)
    return [
        _rebuilt(evidence, seen),
        _order_list(evidence, folded),
        _purchases(evidence, folded),
        equal(
            4,
            "an order is among the purchases right after its commit",
            f"{len(evidence.plan.meanwhile)} of {len(evidence.plan.meanwhile)}",
            f"{seen.shown_at_once} of {len(evidence.plan.meanwhile)}",
        ),
        Check(
            point=4,
            what="readers of the order list meanwhile",
            expected="0 errors, 0 steps back",
            seen=f"{seen.errors} errors, {seen.steps_back} steps back in {seen.looks} looks",
            holds=seen.errors == seen.steps_back == 0 < seen.looks,
        ),
        equal(
            4,
            "calls at the providers about the past, before and after",
            *map(_requests, (seen.calls_before, seen.calls_after)),
        ),
        equal(4, "the ledgers of the past, before and after", *map(_effects, (seen.calls_before, seen.calls_after))),
        _dry_run(evidence, seen.dry_runs),
    ]


def folded_orders(events: Sequence[RecordedEvent]) -> Listed:
    """What the order lists must show, made from the log alone and by other code than the shop's."""
    found: Listed = {}
    for recorded in events:
        match recorded.event:
            case OrderPlaced() as placed:
                found[recorded.tenant, placed.order_id] = ListedOrder(
                    order_id=placed.order_id,
                    number=placed.number,
                    customer_id=placed.customer_id,
                    total=placed.total,
                    state="placed",
                )
            case OrderConfirmed(order_id=order_id):
                _move(found, recorded.tenant, order_id, "confirmed")
            case OrderShipped(order_id=order_id):
                _move(found, recorded.tenant, order_id, "shipped")
            case OrderCancelled(order_id=order_id):
                _move(found, recorded.tenant, order_id, "cancelled")
            case _:
                pass
    return found


def _move(found: Listed, tenant: str, order_id: str, state: str) -> None:
    was = found.get((tenant, order_id))
    if was is None:
        return  # of an order that was never placed: the numbers tell
    found[tenant, order_id] = ListedOrder(
        order_id=order_id, number=was.number, customer_id=was.customer_id, total=was.total, state=state
    )


def _rebuilt(evidence: Evidence, seen: Rebuilding) -> Check:
    return Check(
        point=4,
        what="rebuilt from the first event on, while orders come in",
        expected=", ".join(READ_MODELS),
        seen=f"{', '.join(seen.rebuilt) or 'none'}; {seen.orders_meanwhile} orders meanwhile",
        holds=tuple(seen.rebuilt) == READ_MODELS and 0 < seen.orders_meanwhile <= len(evidence.plan.meanwhile),
    )


def _order_list(evidence: Evidence, folded: Listed) -> Check:
    orders = len(evidence.plan.orders)
    listed = {(tenant, order.order_id): order for tenant in TENANTS for order in evidence.facts.listed.get(tenant, ())}
    rows = sum(len(evidence.facts.listed.get(tenant, ())) for tenant in TENANTS)
    alike = sum(listed.get(key) == order for key, order in folded.items())
    return equal(
        4,
        "order_list, and the log added up by other code",
        f"{orders} orders, {orders} listed, {orders} alike",
        f"{len(folded)} orders, {rows} listed, {alike} alike",
    )


def _purchases(evidence: Evidence, folded: Listed) -> Check:
    customers = {order.person.customer_id for order in evidence.plan.orders}
    expected: dict[str, PurchaseSummary] = {}
    for order in folded.values():
        before = expected.get(order.customer_id)
        expected[order.customer_id] = (
            PurchaseSummary(orders=1, total=order.total)
            if before is None
            else PurchaseSummary(orders=before.orders + 1, total=before.total + order.total)
        )
    alike = sum(evidence.facts.purchases.get(customer) == summary for customer, summary in expected.items())
    return equal(
        4,
        "purchases, and the log added up likewise",
        f"{len(customers)} customers, {len(customers)} alike",
        f"{len(evidence.facts.purchases)} customers, {alike} alike",
    )


def _requests(calls: Calls) -> str:
    return _numbers({channel: calls.requests.get(channel, 0) for channel in CHANNELS})


def _effects(calls: Calls) -> str:
    return _numbers({"effects": calls.effects, "attempts": calls.attempts})


def _numbers(found: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in found.items())


def _dry_run(evidence: Evidence, runs: Sequence[DryRun]) -> Check:
    """What would go out if the texting subscriber heard the past again: of every SMS, the one that is there already."""
    texted = sum(isinstance(recorded.event, OrderConfirmed) for recorded in evidence.facts.events)
    known = sum(effect.known for run in runs for effect in run.effects)
    others = sum(effect.new + effect.differing for run in runs for effect in run.effects)
    errors = sum(error.count for run in runs for error in run.errors)
    return equal(
        4,
        "dry run: who texts is told the past again",
        f"{texted} events, {texted} SMS of the ledger, 0 new, 0 errors",
        f"{sum(run.messages for run in runs)} events, {known} SMS of the ledger, {others} new, {errors} errors",
    )
