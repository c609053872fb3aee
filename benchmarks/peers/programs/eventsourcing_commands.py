"""The whole flow with eventsourcing: an order and its payment saved together.

Documentation: eventsourcing.readthedocs.io, "application", *Application objects*: ``save()`` stores the new events of
one or many aggregates, and the notification log makes of each event a message for whoever follows the log.
"""

from __future__ import annotations

from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve
from benchmarks.peers.programs.eventsourcing_place import in_threads, settings, topics
from benchmarks.peers.programs.values import CUSTOMER, TOTAL


class Order(Aggregate):
    @event("OrderPlaced")
    def __init__(self, order_id: str, customer: str, total: Decimal) -> None:
        self.order_id = order_id
        self.customer = customer
        self.total = total

    @staticmethod
    def create_id(order_id: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/orders/{order_id}")


class Payment(Aggregate):
    @event("PaymentRequested")
    def __init__(self, order_id: str, amount: Decimal) -> None:
        self.order_id = order_id
        self.amount = amount

    @staticmethod
    def create_id(order_id: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/payments/{order_id}")


class Shop(Application):
    def place_order(self, order_id: str, customer: str, total: Decimal) -> None:
        order = Order(order_id=order_id, customer=customer, total=total)
        payment = Payment(order_id=order_id, amount=order.total)
        self.save(order, payment)


def measure(asked: Asked) -> Measured:
    """So many orders, so many threads."""
    with Shop(settings(asked.url, asked.in_flight, is_tuned=asked.is_tuned)) as shop:

        def place(word: str, total: int) -> None:
            in_threads(
                asked.in_flight,
                total,
                lambda number: shop.place_order(f"{word}-{number}", CUSTOMER, Decimal(TOTAL)),
            )

        place("warm-up", asked.in_flight * 2)
        before = topics(asked.url, shop.recorder.events_table_name)
        with Stopwatch() as watch:
            place("order", asked.operations)
        after = topics(asked.url, shop.recorder.events_table_name)
    orders, payments = (after[topic] - before[topic] for topic in ("OrderPlaced", "PaymentRequested"))
    rows = {"orders": orders, "payments": payments, "outbox rows": orders + payments}
    return watch.measured(asked.operations, rows)


if __name__ == "__main__":
    serve(measure)
