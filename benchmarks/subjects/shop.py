"""The whole flow: a command, two aggregates, a handler inside the transaction, two subscribers after the commit."""

from __future__ import annotations

from decimal import Decimal

from duly import Aggregate, Command, DomainEvent, Duly, Module, Repository

TENANT = "acme"


class PlaceOrder(Command):
    order_id: str
    customer: str
    total: Decimal


class OrderPlaced(DomainEvent):
    order_id: str
    customer: str
    total: Decimal


class PaymentRequested(DomainEvent):
    order_id: str
    amount: Decimal


class Order(Aggregate):
    customer: str
    total: Decimal


class Payment(Aggregate):
    amount: Decimal


shop = Module("shop")


@shop.command
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
    order = Order(id=command.order_id, customer=command.customer, total=command.total)
    order.record(OrderPlaced(order_id=order.id, customer=command.customer, total=order.total))
    orders.add(order)


@shop.in_transaction
async def request_payment(event: OrderPlaced, payments: Repository[Payment]) -> None:
    payment = Payment(id=event.order_id, amount=event.total)
    payment.record(PaymentRequested(order_id=event.order_id, amount=event.total))
    payments.add(payment)


@shop.after_commit
async def text_customer(event: OrderPlaced) -> None:
    """Nobody runs this here: what is measured is the promise."""


@shop.after_commit
async def send_invoice(event: PaymentRequested) -> None:
    """Nor this."""


def application(url: str) -> Duly:
    """The shop on a database, without a worker."""
    return Duly(modules=[shop], store=url, worker=False)


def order(number: int) -> PlaceOrder:
    """The order with this number."""
    return PlaceOrder(order_id=f"order-{number}", customer="+4915123456789", total=Decimal("99.90"))
