"""Dispatch alone: one command, two events, three handlers, and a store that accepts every change at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from duly import Aggregate, Command, DomainEvent, Duly, Module, Repository
from duly.ports.change import Change, Done, Verdict
from duly.ports.store import Subscription
from duly.stores.memory import MemoryStore

TENANT = "acme"


class Order(Aggregate):
    total: int


class Payment(Aggregate):
    amount: int


class PlaceOrder(Command):
    order_id: str
    total: int


class OrderPlaced(DomainEvent):
    order_id: str
    total: int


class PaymentRequested(DomainEvent):
    order_id: str
    amount: int


class AcceptingStore(MemoryStore):
    """Accepts every change and keeps only counts. No database is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0
        self.documents = 0
        self.messages = 0

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def is_empty(self) -> bool:
        return False

    async def check_schema(self, tables: Sequence[str] = ()) -> None:
        """There is none."""

    async def subscribe(self, subscriptions: Sequence[Subscription]) -> dict[str, int]:
        return {subscription.name: number for number, subscription in enumerate(subscriptions, 1)}

    async def fact(self, name: str) -> str:
        return "00"

    async def undelivered(self, within: timedelta) -> int:
        return 0

    async def commit(self, change: Change) -> Verdict:
        self.changes += 1
        self.documents += len(change.documents)
        self.messages += len(change.messages)
        return Done()


class Heard:
    """How many handlers have run."""

    handlers = 0


def application(store: AcceptingStore, heard: Heard) -> Duly:
    """The application on the store that accepts."""
    shop = Module("cascade")

    @shop.command
    async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
        heard.handlers += 1
        order = Order(id=command.order_id, total=command.total)
        order.record(OrderPlaced(order_id=command.order_id, total=command.total))
        orders.add(order)

    @shop.in_transaction
    async def request_payment(event: OrderPlaced, payments: Repository[Payment]) -> None:
        heard.handlers += 1
        payment = Payment(id=event.order_id, amount=event.total)
        payment.record(PaymentRequested(order_id=event.order_id, amount=event.total))
        payments.add(payment)

    @shop.in_transaction
    async def note_payment(event: PaymentRequested) -> None:
        heard.handlers += 1

    return Duly(modules=[shop], store=store, worker=False)
