"""The module ordering.

Placing an order sets off a cascade within one transaction: the order is placed (here), a payment is created and the
customer's account charged (in payments), and the order is confirmed (here again). Then everything is committed.
"""

from duly import Effects, Email, Module, Repository
from examples.shop.ordering.messages import (
    CancelOrder,
    CountOrders,
    OrderCancelled,
    OrderConfirmed,
    OrderConfirmedPublic,
    OrderPlaced,
    OrderPlacedPublic,
    OrderSummary,
    PlaceOrder,
    ReadOrder,
    ShipOrder,
)
from examples.shop.ordering.order import Order
from examples.shop.payments.messages import AccountCharged

ordering = Module("ordering", messages=[OrderPlaced, OrderCancelled])


@ordering.command
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> str:
    """The transaction begins and ends here."""
    order = Order.place(
        command.order_id,
        customer_id=command.customer_id,
        email=command.email,
        phone=command.phone,
        lines=command.lines,
    )
    orders.add(order)
    return order.number


@ordering.in_transaction
async def confirm_order(event: AccountCharged, orders: Repository[Order]) -> None:
    """The account was charged in this very transaction, for the order that was placed in it."""
    order = await orders.get(event.order_id)
    order.confirm()


@ordering.command
async def ship_order(command: ShipOrder, orders: Repository[Order]) -> None:
    """A rule and a change; nobody is told."""
    order = await orders.get(command.order_id)
    order.ship()


@ordering.command
async def cancel_order(command: CancelOrder, orders: Repository[Order], effects: Effects) -> None:
    """The mail may be requested first: if a rule is broken, here or deep in the cascade, it never was."""
    order = await orders.get(command.order_id)
    effects.request(
        Email(
            to=order.email,
            subject=f"Your order {order.number} is cancelled",
            text=f"You get {order.total} back.",
        ),
        reference=order.id,
    )
    order.cancel()


@ordering.publishes
def order_placed(event: OrderPlaced) -> OrderPlacedPublic:
    """What others may know of it after the commit."""
    return OrderPlacedPublic(
        order_id=event.order_id,
        number=event.number,
        customer_id=event.customer_id,
        email=event.email,
        total=event.total,
    )


@ordering.publishes
def order_confirmed(event: OrderConfirmed) -> OrderConfirmedPublic:
    """What others may know of it after the commit."""
    return OrderConfirmedPublic(
        order_id=event.order_id,
        number=event.number,
        customer_id=event.customer_id,
        email=event.email,
        phone=event.phone,
        total=event.total,
    )


@ordering.query
async def read_order(query: ReadOrder, orders: Repository[Order]) -> OrderSummary:
    """From the aggregate's own document."""
    order = await orders.get(query.order_id)
    return OrderSummary(number=order.number, state=order.state.value, total=order.total)


@ordering.query
async def count_orders(query: CountOrders, orders: Repository[Order]) -> int:
    """Found by an `Index`."""
    return len(await orders.by(customer_id=query.customer_id))
