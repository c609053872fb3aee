"""The module ordering.

Placing an order sets off a cascade within one transaction: the order is placed (here), a payment is created and the
customer's account charged (in payments), and the order is confirmed (here again). Then everything is committed.

An order that is paid by card takes several transactions, and a process that goes from one to the next: `card_order`.
"""

from decimal import Decimal

from duly import Context, Effects, Email, Module, Reader, ReadModels, Repository
from examples.shop.ordering.card_order import CardOrder
from examples.shop.ordering.messages import (
    CancelOrder,
    ConfirmOrder,
    CountOrders,
    ListedOrder,
    ListOrders,
    Money,
    OrderCancelled,
    OrderConfirmed,
    OrderConfirmedPublic,
    OrderPlaced,
    OrderPlacedPublic,
    OrderSummary,
    PlaceOrder,
    PurchaseSummary,
    ReadOrder,
    ReadPurchases,
    RefuseOrder,
    ShipOrder,
)
from examples.shop.ordering.order import Order
from examples.shop.ordering.order_list import order_list
from examples.shop.ordering.purchases import Purchases, purchases
from examples.shop.payments.messages import AccountCharged

ordering = Module(
    "ordering",
    messages=[OrderPlaced, OrderCancelled],
    processes=[CardOrder],
    projections=[order_list, purchases],
)


@ordering.command
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> str:
    """The transaction begins and ends here."""
    order = Order.place(
        command.order_id,
        customer_id=command.customer_id,
        email=command.email,
        phone=command.phone,
        lines=command.lines,
        by_card=command.by_card,
    )
    orders.add(order)
    return order.number


@ordering.in_transaction
async def confirm_order(event: AccountCharged, orders: Repository[Order]) -> None:
    """The account was charged in this very transaction, for the order that was placed in it."""
    order = await orders.get(event.order_id)
    order.confirm()


@ordering.command
async def confirm_card_order(command: ConfirmOrder, orders: Repository[Order]) -> None:
    """The same as above, in a transaction of its own: the card was charged in another one."""
    order = await orders.get(command.order_id)
    order.confirm()


@ordering.command
async def refuse_order(command: RefuseOrder, orders: Repository[Order]) -> None:
    """Nobody is told here: the process that sends this sees to it."""
    order = await orders.get(command.order_id)
    order.refuse()


@ordering.command
async def ship_order(command: ShipOrder, orders: Repository[Order]) -> None:
    """A rule, a change, and an event that only the order list hears; nobody is told."""
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


@ordering.query
async def list_orders(query: ListOrders, reader: Reader, context: Context) -> list[ListedOrder]:
    """From the table of the read model."""
    rows = await reader.fetch_all(
        "SELECT id, number, customer_id, cents, currency, state FROM order_line WHERE tenant = :tenant ORDER BY id",
        tenant=context.tenant,
    )
    return [
        ListedOrder(
            order_id=str(row["id"]),
            number=str(row["number"]),
            customer_id=str(row["customer_id"]),
            total=Money(amount=Decimal(str(row["cents"])) / 100, currency=str(row["currency"])),
            state=str(row["state"]),
        )
        for row in rows
    ]


@ordering.query
async def read_purchases(query: ReadPurchases, known: ReadModels[Purchases]) -> PurchaseSummary:
    """From the document of the read model. Raises `ReadModelNotFound`."""
    found = await known.get(query.customer_id)
    return PurchaseSummary(orders=found.orders, total=found.total)
