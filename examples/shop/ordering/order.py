"""The order: the aggregate that guards the rules of ordering."""

from collections.abc import Sequence
from enum import Enum
from typing import Self

from duly import Aggregate, EmailAddress, Entity, Index, Personal, PhoneNumber, RuleBroken
from examples.shop.ordering.messages import (
    Line,
    Money,
    OrderAwaitsPayment,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderShipped,
)


class OrderState(Enum):
    """How far an order has come."""

    PLACED = "placed"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


class OrderLine(Entity):
    """One article of an order. It lives in its order, and nowhere else."""

    article: str
    quantity: int
    price: Money
    is_packed: bool = False


class Order(Aggregate):
    """An order of a customer."""

    customer_id: Index[str]
    email: Personal[EmailAddress]
    phone: Personal[PhoneNumber]
    lines: list[OrderLine]
    state: OrderState = OrderState.PLACED

    @classmethod
    def place(
        cls, order_id: str, *, customer_id: str, email: str, phone: str, lines: Sequence[Line], by_card: bool = False
    ) -> Self:
        """A new order. Raises `RuleBroken`."""
        if not lines:
            raise RuleBroken("An order has at least one line.")
        if any(line.quantity < 1 for line in lines):
            raise RuleBroken("Of each article one orders at least one.")
        order = cls(
            id=order_id,
            customer_id=customer_id,
            email=email,
            phone=phone,
            lines=[OrderLine(article=line.article, quantity=line.quantity, price=line.price) for line in lines],
        )
        order.record(
            OrderPlaced(
                order_id=order_id,
                number=order.number,
                customer_id=customer_id,
                email=email,
                total=order.total,
                by_card=by_card,
            )
        )
        if by_card:
            order.record(
                OrderAwaitsPayment(
                    order_id=order_id,
                    number=order.number,
                    customer_id=customer_id,
                    email=email,
                    phone=phone,
                    total=order.total,
                )
            )
        return order

    @property
    def number(self) -> str:
        """What the customer calls the order."""
        return f"No. {self.id}"

    @property
    def total(self) -> Money:
        """What all lines cost together."""
        first, *others = (line.price * line.quantity for line in self.lines)
        return sum(others, first)

    def confirm(self) -> None:
        """It is paid for. Raises `RuleBroken` the second time."""
        if self.state is not OrderState.PLACED:
            raise RuleBroken(f"Order {self.number} is {self.state.value}: only a placed one is confirmed.")
        self.state = OrderState.CONFIRMED
        self.record(
            OrderConfirmed(
                order_id=self.id,
                number=self.number,
                customer_id=self.customer_id,
                email=self.email,
                phone=self.phone,
                total=self.total,
            )
        )

    def refuse(self) -> None:
        """It was not paid for. Raises `RuleBroken` unless it waits for that."""
        if self.state is not OrderState.PLACED:
            raise RuleBroken(f"Order {self.number} is {self.state.value}: only a placed one is refused.")
        self.state = OrderState.CANCELLED
        self.record(OrderCancelled(order_id=self.id))

    def ship(self) -> None:
        """Every line is packed, and the parcel has left. Raises `RuleBroken`."""
        if self.state is not OrderState.CONFIRMED:
            raise RuleBroken(f"Order {self.number} is {self.state.value}: only a confirmed one is shipped.")
        for line in self.lines:
            line.is_packed = True
        self.state = OrderState.SHIPPED
        self.record(OrderShipped(order_id=self.id))

    def cancel(self) -> None:
        """The customer does not want it any more. Raises `RuleBroken` once it has left."""
        if self.state is not OrderState.CONFIRMED:
            raise RuleBroken(f"Order {self.number} is {self.state.value}: it cannot be cancelled.")
        self.state = OrderState.CANCELLED
        self.record(OrderCancelled(order_id=self.id))
