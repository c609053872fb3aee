"""The module communications. It hears public events after the commit, and asks for mails and text messages.

A handler here may run again: after a failure, or when its worker was killed. The same event asks for the same effect.
"""

from duly import Effects, Email, Module, Sms
from examples.shop.ordering.messages import OrderConfirmedPublic, OrderPlacedPublic
from examples.shop.payments.messages import PaymentCreatedPublic

communications = Module("communications")


@communications.after_commit
def mail_about_order(event: OrderPlacedPublic, effects: Effects) -> None:
    """What was ordered."""
    effects.request(
        Email(to=event.email, subject=f"Your order {event.number}", text=f"You ordered for {event.total}. Thank you!")
    )


@communications.after_commit
def mail_about_payment(event: PaymentCreatedPublic, effects: Effects) -> None:
    """What it costs."""
    effects.request(
        Email(
            to=event.email,
            subject=f"The payment of your order {event.order_number}",
            text=f"{event.amount} will be charged to your account.",
        )
    )


@communications.after_commit
def text_customer(event: OrderConfirmedPublic, effects: Effects) -> None:
    """The SMS that says it will come."""
    effects.request(Sms(to=event.phone, text=f"Your order {event.number} over {event.total} is confirmed."))
