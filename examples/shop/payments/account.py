"""What a customer owes."""

from decimal import Decimal

from duly import Aggregate, RuleBroken
from examples.shop.ordering.messages import Money
from examples.shop.payments.messages import AccountCharged

CREDIT_LIMIT = Money(amount=Decimal(5_000))


class Account(Aggregate):
    """The account of one customer, and with the customer's id."""

    owed: Money = Money(amount=Decimal(0))
    is_closed: bool = False

    def charge(self, order_id: str, amount: Money) -> None:
        """The customer owes more. Raises `RuleBroken` beyond the credit limit."""
        self._check_open()
        if (self.owed + amount).amount > CREDIT_LIMIT.amount:
            raise RuleBroken(f"The account {self.id} would owe more than {CREDIT_LIMIT}.")
        self.owed += amount
        self.record(AccountCharged(order_id=order_id, customer_id=self.id, owed=self.owed))

    def credit(self, amount: Money) -> None:
        """The customer owes less. Raises `RuleBroken`."""
        self._check_open()
        self.owed += -amount

    def close(self) -> None:
        """Nothing is booked any more. Raises `RuleBroken` the second time."""
        self._check_open()
        self.is_closed = True

    def _check_open(self) -> None:
        if self.is_closed:
            raise RuleBroken(f"The account {self.id} is closed.")
