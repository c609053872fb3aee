"""What ordering can be asked, and what it tells."""

from decimal import Decimal

from duly import Command, DomainEvent, EmailAddress, Personal, PhoneNumber, PublicEvent, Query, RuleBroken, Value


class Money(Value):
    """An amount in one currency. Those of two currencies are never added up."""

    amount: Decimal
    currency: str = "EUR"

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise RuleBroken(f"{self} and {other} cannot be added up.")
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __neg__(self) -> "Money":
        return Money(amount=-self.amount, currency=self.currency)

    def __mul__(self, times: int) -> "Money":
        return Money(amount=self.amount * times, currency=self.currency)

    def __str__(self) -> str:
        return f"{self.amount:.2f} {self.currency}"


class Line(Value):
    """So many of an article, at a price for one."""

    article: str
    quantity: int
    price: Money


class PlaceOrder(Command[str], subject="customer_id"):
    """A customer orders. The result is the number of the order, as the customer will see it."""

    order_id: str
    customer_id: str
    email: Personal[EmailAddress]
    phone: Personal[PhoneNumber]
    lines: tuple[Line, ...]
    by_card: bool = False
    """Paid by card afterwards, and not at once from the customer's account."""


class ShipOrder(Command):
    """The order has left the house."""

    order_id: str


class CancelOrder(Command):
    """The customer does not want it any more."""

    order_id: str


class ConfirmOrder(Command):
    """The card was charged."""

    order_id: str


class RefuseOrder(Command):
    """The order is not paid for, and will not be."""

    order_id: str


class OrderPlaced(DomainEvent, subject="customer_id"):
    """An order was placed. Payments creates a payment for it in the same transaction."""

    order_id: str
    number: str
    customer_id: str
    email: Personal[EmailAddress]
    total: Money
    by_card: bool = False


class OrderAwaitsPayment(DomainEvent, subject="customer_id"):
    """The order is placed, and confirmed when the card is charged."""

    order_id: str
    number: str
    customer_id: str
    email: Personal[EmailAddress]
    phone: Personal[PhoneNumber]
    total: Money


class OrderConfirmed(DomainEvent, subject="customer_id"):
    """The order is charged to the customer's account, and will be shipped."""

    order_id: str
    number: str
    customer_id: str
    email: Personal[EmailAddress]
    phone: Personal[PhoneNumber]
    total: Money


class OrderShipped(DomainEvent):
    """The order has left the house."""

    order_id: str


class OrderCancelled(DomainEvent):
    """The order will not be shipped. Payments pays it back in the same transaction."""

    order_id: str


class OrderPlacedPublic(PublicEvent, subject="customer_id"):
    """An order was placed: what others may know of it after the commit."""

    order_id: str
    number: str
    customer_id: str
    email: Personal[EmailAddress]
    total: Money


class OrderConfirmedPublic(PublicEvent, subject="customer_id"):
    """An order is confirmed: what others may know of it after the commit."""

    order_id: str
    number: str
    customer_id: str
    email: Personal[EmailAddress]
    phone: Personal[PhoneNumber]
    total: Money


class OrderSummary(Value):
    """What one sees of an order."""

    number: str
    state: str
    total: Money


class ReadOrder(Query[OrderSummary]):
    """One order."""

    order_id: str


class CountOrders(Query[int]):
    """How many orders a customer has."""

    customer_id: str


class ListedOrder(Value):
    """One line of the order list."""

    order_id: str
    number: str
    customer_id: str
    total: Money
    state: str


class ListOrders(Query[list[ListedOrder]]):
    """All orders of the tenant, as the order list shows them."""


class PurchaseSummary(Value):
    """What a customer has ordered so far."""

    orders: int
    total: Money


class ReadPurchases(Query[PurchaseSummary]):
    """Right after an order, it is among them."""

    customer_id: str
