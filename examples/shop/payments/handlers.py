"""The module payments. It hears ordering and customers inside their transactions: all is stored, or nothing."""

from duly import Module, Repository
from examples.shop.customers.messages import CustomerRegistered
from examples.shop.ordering.messages import Money, OrderCancelled, OrderPlaced
from examples.shop.payments.account import Account
from examples.shop.payments.messages import (
    AccountCharged,
    CardCharged,
    CardChargedPublic,
    ChargeCard,
    CloseAccount,
    PaymentCreated,
    PaymentCreatedPublic,
    PaymentRefunded,
    PaymentSummary,
    ReadAccount,
    ReadPayment,
)
from examples.shop.payments.payment import Payment

payments = Module("payments", messages=[AccountCharged])


@payments.in_transaction
async def open_account(event: CustomerRegistered, accounts: Repository[Account]) -> None:
    """Every customer has an account; who has ordered as a guest has one already."""
    if await accounts.find(event.customer_id) is None:
        accounts.add(Account(id=event.customer_id))


@payments.in_transaction
async def create_payment(event: OrderPlaced, payments: Repository[Payment]) -> None:
    """Every order has a payment."""
    payments.add(
        Payment.create(
            event.order_id,
            order_number=event.number,
            customer_id=event.customer_id,
            email=event.email,
            amount=event.total,
            by_card=event.by_card,
        )
    )


@payments.in_transaction
async def charge_account(event: PaymentCreated, accounts: Repository[Account]) -> None:
    """If the customer's credit does not suffice, there is no payment and no order either. A guest gets an account."""
    if event.by_card:
        return
    account = await accounts.find(event.customer_id)
    if account is None:
        account = Account(id=event.customer_id)
        accounts.add(account)
    account.charge(event.order_id, event.amount)


@payments.in_transaction
async def refund_payment(event: OrderCancelled, payments: Repository[Payment]) -> None:
    """A cancelled order is paid back."""
    payment = await payments.get(event.order_id)
    payment.refund()


@payments.in_transaction
async def credit_account(event: PaymentRefunded, accounts: Repository[Account]) -> None:
    """If the account is closed, the order cannot be cancelled."""
    account = await accounts.get(event.customer_id)
    account.credit(event.amount)


@payments.command
async def charge_card(command: ChargeCard, payments: Repository[Payment]) -> None:
    """What the bank refuses is refused: whoever sent the command hears of it."""
    payment = await payments.get(command.order_id)
    payment.charge_card()


@payments.publishes
def card_charged(event: CardCharged) -> CardChargedPublic:
    """What others may know of it after the commit."""
    return CardChargedPublic(order_id=event.order_id)


@payments.command
async def close_account(command: CloseAccount, accounts: Repository[Account]) -> None:
    """What is owed stays owed."""
    account = await accounts.get(command.customer_id)
    account.close()


@payments.publishes
def payment_created(event: PaymentCreated) -> PaymentCreatedPublic:
    """What others may know of it after the commit."""
    return PaymentCreatedPublic(
        order_id=event.order_id,
        order_number=event.order_number,
        customer_id=event.customer_id,
        email=event.email,
        amount=event.amount,
        by_card=event.by_card,
    )


@payments.query
async def read_payment(query: ReadPayment, payments: Repository[Payment]) -> PaymentSummary:
    """The payment of an order."""
    payment = await payments.get(query.order_id)
    return PaymentSummary(amount=payment.amount, is_refunded=payment.is_refunded)


@payments.query
async def read_account(query: ReadAccount, accounts: Repository[Account]) -> Money:
    """What a customer owes."""
    account = await accounts.get(query.customer_id)
    return account.owed
