"""What payments can be asked, and what it tells."""

from duly import Command, DomainEvent, EmailAddress, Personal, PublicEvent, Query, Value
from examples.shop.ordering.messages import Money


class CloseAccount(Command):
    """Nothing shall be booked on this account any more."""

    customer_id: str


class ChargeCard(Command):
    """The customer pays an order by card. Refused when the bank refuses."""

    order_id: str


class PaymentCreated(DomainEvent, subject="customer_id"):
    """There is a payment for an order."""

    order_id: str
    order_number: str
    customer_id: str
    email: Personal[EmailAddress]
    amount: Money
    by_card: bool = False


class CardCharged(DomainEvent):
    """The bank has taken the price of an order from a card."""

    order_id: str


class AccountCharged(DomainEvent):
    """The customer owes the price of an order. Ordering confirms it in the same transaction."""

    order_id: str
    customer_id: str
    owed: Money


class PaymentRefunded(DomainEvent):
    """The payment is taken back."""

    order_id: str
    customer_id: str
    amount: Money


class PaymentCreatedPublic(PublicEvent, subject="customer_id"):
    """There is a payment: what others may know of it after the commit."""

    order_id: str
    order_number: str
    customer_id: str
    email: Personal[EmailAddress]
    amount: Money
    by_card: bool = False


class CardChargedPublic(PublicEvent):
    """An order was paid by card: what others may know of it after the commit."""

    order_id: str


class PaymentSummary(Value):
    """What one sees of a payment."""

    amount: Money
    is_refunded: bool


class ReadPayment(Query[PaymentSummary]):
    """The payment of an order."""

    order_id: str


class ReadAccount(Query[Money]):
    """What a customer owes."""

    customer_id: str
