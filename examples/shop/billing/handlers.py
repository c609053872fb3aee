"""The module billing. The effect's id goes along as the idempotency key: one order, one invoice."""

from duly import Effects, Module
from examples.shop.billing.messages import IssueInvoice
from examples.shop.ordering.messages import OrderConfirmedPublic

billing = Module("billing")


@billing.after_commit
def invoice_order(event: OrderConfirmedPublic, effects: Effects) -> None:
    """Every confirmed order is invoiced."""
    effects.request(
        IssueInvoice(
            customer=event.customer_id,
            reference=event.number,
            amount=event.total.amount,
            currency=event.total.currency,
        ),
        reference=event.order_id,
    )
