"""One sample of each message that the shop or duly itself may have stored, in its present version."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from duly.messages.message import Message
from duly.messages.outcomes import (
    EffectAccepted,
    EffectCancelled,
    EffectDelivered,
    EffectEngaged,
    EffectExpired,
    EffectFailed,
    EffectHeld,
    EffectOutcome,
    EffectOutcomeUnknown,
    EffectRead,
    EffectSuppressed,
    EffectUnconfirmed,
    EffectUndelivered,
)
from duly.messages.process_messages import CommandRejected
from examples.shop.communications.messages import MailCancellation, SayWelcome, TextCancellation
from examples.shop.customers.messages import (
    CustomerRegistered,
    CustomerRegisteredPublic,
    RegisterCustomer,
    WishForNewsletter,
)
from examples.shop.ordering.messages import (
    CancelOrder,
    ConfirmOrder,
    Line,
    Money,
    OrderAwaitsPayment,
    OrderCancelled,
    OrderConfirmed,
    OrderConfirmedPublic,
    OrderPlaced,
    OrderPlacedPublic,
    OrderShipped,
    PlaceOrder,
    RefuseOrder,
    ShipOrder,
)
from examples.shop.payments.messages import (
    AccountCharged,
    CardCharged,
    CardChargedPublic,
    ChargeCard,
    CloseAccount,
    PaymentCreated,
    PaymentCreatedPublic,
    PaymentRefunded,
)

OUTCOMES: Final[tuple[type[EffectOutcome], ...]] = (
    EffectAccepted,
    EffectCancelled,
    EffectDelivered,
    EffectEngaged,
    EffectExpired,
    EffectFailed,
    EffectHeld,
    EffectOutcomeUnknown,
    EffectRead,
    EffectSuppressed,
    EffectUnconfirmed,
    EffectUndelivered,
)
OF_DULY: Final[tuple[type[Message], ...]] = (*OUTCOMES, CommandRejected)
"""Every message type of duly's own."""

_MAIL: Final = "ann@customers.example"
_PHONE: Final = "+12025550100"
_TOTAL: Final = Money(amount=Decimal("78.00"))

SAMPLES: Final[tuple[Message, ...]] = (
    RegisterCustomer(customer_id="ann", name="Ann", email=_MAIL, phone=_PHONE),
    CustomerRegistered(customer_id="ann", name="Ann", email=_MAIL, phone=_PHONE),
    CustomerRegisteredPublic(customer_id="ann", name="Ann", phone=_PHONE),
    WishForNewsletter(email=_MAIL),
    PlaceOrder(
        order_id="1001",
        customer_id="ann",
        email=_MAIL,
        phone=_PHONE,
        lines=(Line(article="atlas", quantity=2, price=Money(amount=Decimal("39.00"))),),
    ),
    ShipOrder(order_id="1001"),
    ConfirmOrder(order_id="1001"),
    RefuseOrder(order_id="1001"),
    CancelOrder(order_id="1001"),
    OrderPlaced(order_id="1001", number="No. 1001", customer_id="ann", email=_MAIL, total=_TOTAL),
    OrderPlacedPublic(order_id="1001", number="No. 1001", customer_id="ann", email=_MAIL, total=_TOTAL),
    OrderConfirmed(order_id="1001", number="No. 1001", customer_id="ann", email=_MAIL, phone=_PHONE, total=_TOTAL),
    OrderConfirmedPublic(
        order_id="1001", number="No. 1001", customer_id="ann", email=_MAIL, phone=_PHONE, total=_TOTAL
    ),
    OrderAwaitsPayment(order_id="1001", number="No. 1001", customer_id="ann", email=_MAIL, phone=_PHONE, total=_TOTAL),
    OrderShipped(order_id="1001"),
    OrderCancelled(order_id="1001"),
    CloseAccount(customer_id="ann"),
    ChargeCard(order_id="1001"),
    CardCharged(order_id="1001"),
    CardChargedPublic(order_id="1001"),
    SayWelcome(customer_id="ann", number="No. 1001", name="Ann", phone=_PHONE),
    TextCancellation(order_id="1001", number="No. 1001", phone=_PHONE),
    MailCancellation(order_id="1001", number="No. 1001", email=_MAIL),
    PaymentCreated(order_id="1001", order_number="No. 1001", customer_id="ann", email=_MAIL, amount=_TOTAL),
    PaymentCreatedPublic(order_id="1001", order_number="No. 1001", customer_id="ann", email=_MAIL, amount=_TOTAL),
    AccountCharged(order_id="1001", customer_id="ann", owed=_TOTAL),
    PaymentRefunded(order_id="1001", customer_id="ann", amount=_TOTAL),
    CommandRejected(
        process="CardOrder",
        process_id="1001",
        command="ChargeCard",
        command_id="5f3c1f8e-6f54-5d0e-8a44-0f7a4f6f0b21",
        rule="WithinCardLimit",
        permanent=True,
        reason="The bank takes 1000.00 EUR at most from a card.",
    ),
    *(
        outcome(
            effect_id="0b8f8a0e-3d0c-4c57-9d5b-6a3f6e2b7c11",
            effect_type="duly.sms",
            channel="sms",
            gateway="twilio",
            reference="1001",
            reason="the number is not in use",
            provider_id="SM1",
            attempts=1,
        )
        for outcome in OUTCOMES
    ),
)
