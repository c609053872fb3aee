"""The payment of one order."""

from decimal import Decimal
from typing import Self

from duly import Aggregate, Rule, RuleBroken, check
from examples.shop.ordering.messages import Money
from examples.shop.payments.messages import CardCharged, PaymentCreated, PaymentRefunded

CARD_LIMIT = Money(amount=Decimal(1_000))


class WithinCardLimit(Rule):
    """The bank takes no more than so much from a card."""

    limit: Money
    amount: Money

    def is_broken(self) -> bool:
        """Whether it is too much."""
        return self.amount.amount > self.limit.amount

    def message(self) -> str:
        """What the bank says."""
        return f"The bank takes {self.limit} at most from a card, and this is {self.amount}."


class Payment(Aggregate):
    """A payment. It has the id of its order."""

    customer_id: str
    amount: Money
    by_card: bool = False
    is_charged: bool = False
    """Whether the card was charged."""
    is_refunded: bool = False

    @classmethod
    def create(
        cls, order_id: str, *, order_number: str, customer_id: str, email: str, amount: Money, by_card: bool = False
    ) -> Self:
        """A new payment."""
        payment = cls(id=order_id, customer_id=customer_id, amount=amount, by_card=by_card)
        payment.record(
            PaymentCreated(
                order_id=order_id,
                order_number=order_number,
                customer_id=customer_id,
                email=email,
                amount=amount,
                by_card=by_card,
            )
        )
        return payment

    def charge_card(self) -> None:
        """Take the money from the card, once. Raises `RuleBroken` when the bank refuses, or the order is cancelled."""
        if self.is_refunded:
            raise RuleBroken(f"The order {self.id} is cancelled: nothing is charged for it.")
        if self.is_charged:
            return
        check(WithinCardLimit(limit=CARD_LIMIT, amount=self.amount))
        self.is_charged = True
        self.record(CardCharged(order_id=self.id))

    def refund(self) -> None:
        """Take it back; what was not charged never will be. Raises `RuleBroken` the second time."""
        if self.is_refunded:
            raise RuleBroken(f"The payment of order {self.id} was refunded before.")
        self.is_refunded = True
        if not self.by_card:
            self.record(PaymentRefunded(order_id=self.id, customer_id=self.customer_id, amount=self.amount))
