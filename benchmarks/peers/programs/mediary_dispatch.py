"""A command and its cascade with mediary: 2 events, 3 handlers, no database.

Documentation: its README (package index), *Function handlers*, *Notifications*, *CQRS*: handlers registered by hand,
events published one handler after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from mediary import Mediator
from mediary.cqrs import Command, command, event

from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve

WARM_UP = 100
mediator = Mediator()


@command
@dataclass
class PlaceOrder(Command[None]):
    order_id: str
    total: int


@event
@dataclass
class OrderPlaced:
    order_id: str
    total: int


@event
@dataclass
class PaymentRequested:
    order_id: str
    amount: int


class Ran:
    handlers = 0


async def place_order(message: PlaceOrder) -> None:
    Ran.handlers += 1
    await mediator.publish(OrderPlaced(message.order_id, message.total))


async def request_payment(message: OrderPlaced) -> None:
    Ran.handlers += 1
    await mediator.publish(PaymentRequested(message.order_id, message.total))


async def note_payment(message: PaymentRequested) -> None:
    Ran.handlers += 1


async def send_all(count: int) -> None:
    """So many commands, one after the other."""
    for number in range(count):
        await mediator.send(PlaceOrder(f"order-{number}", 100))


async def dispatch(operations: int) -> Stopwatch:
    """The time of so many commands."""
    mediator.register(PlaceOrder, place_order)
    mediator.register(OrderPlaced, request_payment)
    mediator.register(PaymentRequested, note_payment)
    await send_all(WARM_UP)
    Ran.handlers = 0
    with Stopwatch() as watch:
        await send_all(operations)
    return watch


def measure(asked: Asked) -> Measured:
    """So many commands."""
    watch = run(dispatch(asked.operations))
    return watch.measured(asked.operations, {"handlers run": Ran.handlers})


if __name__ == "__main__":
    serve(measure)
