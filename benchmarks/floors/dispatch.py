"""Dispatch by hand: a dict of functions and a queue of events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measured import Stopwatch


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    order_id: str
    total: int


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    order_id: str
    total: int


@dataclass(frozen=True, slots=True)
class PaymentRequested:
    order_id: str
    amount: int


Message = PlaceOrder | OrderPlaced | PaymentRequested


class Handlers:
    """Three functions, by the type that they hear."""

    def __init__(self) -> None:
        self.ran = 0
        self.by_type: dict[type, Callable[[Message, deque[Message]], None]] = {
            PlaceOrder: self.place_order,
            OrderPlaced: self.request_payment,
            PaymentRequested: self.note_payment,
        }

    def place_order(self, message: Message, queue: deque[Message]) -> None:
        assert isinstance(message, PlaceOrder)
        self.ran += 1
        queue.append(OrderPlaced(message.order_id, message.total))

    def request_payment(self, message: Message, queue: deque[Message]) -> None:
        assert isinstance(message, OrderPlaced)
        self.ran += 1
        queue.append(PaymentRequested(message.order_id, message.total))

    def note_payment(self, message: Message, queue: deque[Message]) -> None:
        self.ran += 1

    def execute(self, command: Message) -> None:
        """Run a command and what follows from it."""
        queue = deque([command])
        while queue:
            message = queue.popleft()
            self.by_type[type(message)](message, queue)


def dispatch(operations: int) -> tuple[Stopwatch, int]:
    """Execute so many commands; the time, and how many handlers ran."""
    handlers = Handlers()
    with Stopwatch() as watch:
        for number in range(operations):
            handlers.execute(PlaceOrder(f"order-{number}", 100))
    return watch, handlers.ran
