"""The payment of one order."""

from typing import Self

from duly import Aggregate, RuleBroken
from examples.shop.ordering.messages import Money
from examples.shop.payments.messages import PaymentCreated, PaymentRefunded


class Payment(Aggregate):
    """A payment. It has the id of its order."""

    customer_id: str
    amount: Money
    is_refunded: bool = False

    @classmethod
    def create(cls, order_id: str, *, order_number: str, customer_id: str, email: str, amount: Money) -> Self:
        """A new payment."""
        payment = cls(id=order_id, customer_id=customer_id, amount=amount)
        payment.record(
            PaymentCreated(
                order_id=order_id, order_number=order_number, customer_id=customer_id, email=email, amount=amount
            )
        )
        return payment

    def refund(self) -> None:
        """Take it back. Raises `RuleBroken` the second time."""
        if self.is_refunded:
            raise RuleBroken(f"The payment of order {self.id} was refunded before.")
        self.is_refunded = True
        self.record(PaymentRefunded(order_id=self.id, customer_id=self.customer_id, amount=self.amount))
