"""The module communications. It hears public events after the commit, and asks for mails and text messages.

A handler here may run again: after a failure, or when its worker was killed. The same event asks for the same effect.
What became of an effect is an event too, so that an SMS that cannot arrive is followed by a mail.
"""

from duly import EffectFailed, Effects, EffectUndelivered, Email, Module, Repository, Sms
from examples.shop.communications.contact import Contact
from examples.shop.ordering.messages import OrderConfirmedPublic, OrderPlacedPublic
from examples.shop.payments.messages import PaymentCreatedPublic

communications = Module("communications")


@communications.after_commit
def mail_about_order(event: OrderPlacedPublic, effects: Effects) -> None:
    """What was ordered."""
    effects.request(
        Email(to=event.email, subject=f"Your order {event.number}", text=f"You ordered for {event.total}. Thank you!"),
        reference=event.order_id,
    )


@communications.after_commit
def mail_about_payment(event: PaymentCreatedPublic, effects: Effects) -> None:
    """What it costs."""
    effects.request(
        Email(
            to=event.email,
            subject=f"The payment of your order {event.order_number}",
            text=f"{event.amount} will be charged to your account.",
        ),
        reference=event.order_id,
    )


@communications.after_commit
async def text_customer(event: OrderConfirmedPublic, effects: Effects, contacts: Repository[Contact]) -> None:
    """The SMS that says it will come. Where else the customer is reached is written down with the request for it."""
    contacts.add(Contact(id=event.order_id, number=event.number, total=event.total, email=event.email))
    effects.request(
        Sms(to=event.phone, text=f"Your order {event.number} over {event.total} is confirmed."),
        reference=event.order_id,
    )


@communications.after_commit
async def mail_what_failed(event: EffectFailed[Sms], effects: Effects, contacts: Repository[Contact]) -> None:
    """The provider has not taken the SMS, and nobody tries any more. What is unknown may arrive: that is not here."""
    await _mail_instead(event.reference, effects, contacts)


@communications.after_commit
async def mail_what_did_not_arrive(
    event: EffectUndelivered[Sms], effects: Effects, contacts: Repository[Contact]
) -> None:
    """The provider has taken the SMS, and reports that it did not arrive."""
    await _mail_instead(event.reference, effects, contacts)


async def _mail_instead(order_id: str | None, effects: Effects, contacts: Repository[Contact]) -> None:
    if order_id is None:
        return
    contact = await contacts.get(order_id)
    if contact.mail_instead():
        effects.request(
            Email(
                to=contact.email,
                subject=f"Your order {contact.number} is confirmed",
                text=f"Your order {contact.number} over {contact.total} is confirmed. We could not text you.",
            ),
            reference=order_id,
        )
