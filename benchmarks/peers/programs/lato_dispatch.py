"""A command and its cascade with lato: 2 events, 3 handlers, no database.

Documentation: its README (package index), *Example of a modular monolith*: ``execute()`` opens a transaction context
for each command; handlers publish through it.
"""

from __future__ import annotations

from lato import Application, Command, Event, TransactionContext

from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve

WARM_UP = 100
app = Application("shop")


class PlaceOrder(Command):
    order_id: str
    total: int


class OrderPlaced(Event):
    order_id: str
    total: int


class PaymentRequested(Event):
    order_id: str
    amount: int


class Ran:
    handlers = 0


@app.handler(PlaceOrder)
def place_order(command: PlaceOrder, ctx: TransactionContext) -> None:
    Ran.handlers += 1
    ctx.publish(OrderPlaced(order_id=command.order_id, total=command.total))


@app.handler(OrderPlaced)
def request_payment(event: OrderPlaced, ctx: TransactionContext) -> None:
    Ran.handlers += 1
    ctx.publish(PaymentRequested(order_id=event.order_id, amount=event.total))


@app.handler(PaymentRequested)
def note_payment(event: PaymentRequested) -> None:
    Ran.handlers += 1


def measure(asked: Asked) -> Measured:
    """So many commands, one after the other."""
    for number in range(WARM_UP):
        app.execute(PlaceOrder(order_id=f"warm-up-{number}", total=100))
    Ran.handlers = 0
    with Stopwatch() as watch:
        for number in range(asked.operations):
            app.execute(PlaceOrder(order_id=f"order-{number}", total=100))
    return watch.measured(asked.operations, {"handlers run": Ran.handlers})


if __name__ == "__main__":
    serve(measure)
