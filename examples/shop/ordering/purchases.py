"""What a customer has ordered so far. Written in the transaction that places the order: the page after it shows it."""

from duly import Projection, ReadModel, ReadModels
from examples.shop.ordering.messages import Money, OrderPlaced


class Purchases(ReadModel):
    """Of one customer, under the customer's id. What was cancelled later counts, too."""

    orders: int
    total: Money


purchases = Projection("purchases", in_transaction=True)


@purchases.on
async def ordered(event: OrderPlaced, known: ReadModels[Purchases]) -> None:
    """One order more."""
    before = await known.find(event.customer_id)
    if before is None:
        known.put(Purchases(id=event.customer_id, orders=1, total=event.total))
    else:
        known.put(before.changed(orders=before.orders + 1, total=before.total + event.total))
