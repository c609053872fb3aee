"""What a customer owes."""

from decimal import Decimal

from duly import Aggregate, Rule, RuleBroken, check
from examples.shop.ordering.messages import Money
from examples.shop.payments.messages import AccountCharged

CREDIT_LIMIT = Money(amount=Decimal(5_000))


class WithinCredit(Rule):
    """Nobody owes more than the credit limit."""

    account_id: str
    limit: Money
    owed: Money

    def is_broken(self) -> bool:
        """Whether more would be owed."""
        return self.owed.amount > self.limit.amount

    def message(self) -> str:
        """What the customer's clerk is told."""
        return f"The account {self.account_id} would owe more than {self.limit}."


class Account(Aggregate):
    """The account of one customer, and with the customer's id."""

    owed: Money = Money(amount=Decimal(0))
    is_closed: bool = False

    def charge(self, order_id: str, amount: Money) -> None:
        """The customer owes more. Raises `RuleBroken` beyond the credit limit."""
        self._check_open()
        owed = self.owed + amount
        check(WithinCredit(account_id=self.id, limit=CREDIT_LIMIT, owed=owed))
        self.owed = owed
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
