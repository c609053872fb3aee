"""The module communications. It hears public events after the commit, and asks for mails and text messages.

A handler here may run again: after a failure, or when its worker was killed. The same event asks for the same effect.
What became of an effect is an event too, so that an SMS that cannot arrive is followed by a mail.
"""

from duly import EffectFailed, Effects, EffectUndelivered, Email, Module, Repository, Sms
from examples.shop.communications.contact import Contact
from examples.shop.communications.messages import MailCancellation, SayWelcome, TextCancellation
from examples.shop.communications.welcome import Welcome
from examples.shop.ordering.messages import OrderConfirmedPublic, OrderPlacedPublic
from examples.shop.payments.messages import PaymentCreatedPublic

communications = Module("communications", processes=[Welcome])


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
            text=f"{event.amount} will be charged to your {'card' if event.by_card else 'account'}.",
        ),
        reference=event.order_id,
    )


@communications.after_commit
async def text_customer(event: OrderConfirmedPublic, effects: Effects, contacts: Repository[Contact]) -> None:
    """The SMS that says it will come. Where else the customer is reached is written down with the request for it.

    What it knows it does not write again, so that it may be told the past once more: see `duly replay`.
    """
    if await contacts.find(event.order_id) is None:
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


@communications.command
def say_welcome(command: SayWelcome, effects: Effects) -> None:
    """A process waited for the moment; here is what is said."""
    effects.request(Sms(to=command.phone, text=f"Welcome, {command.name}! Your order {command.number} is your first."))


@communications.command
def text_cancellation(command: TextCancellation, effects: Effects) -> None:
    """The process of the order hears what becomes of it, by its reference."""
    effects.request(
        Sms(to=command.phone, text=f"Your order {command.number} is cancelled: it could not be paid."),
        reference=command.order_id,
    )


@communications.command
def mail_cancellation(command: MailCancellation, effects: Effects) -> None:
    """The same by mail."""
    effects.request(
        Email(
            to=command.email,
            subject=f"Your order {command.number} is cancelled",
            text="It could not be paid. We could not text you.",
        ),
        reference=command.order_id,
    )


async def _mail_instead(order_id: str | None, effects: Effects, contacts: Repository[Contact]) -> None:
    if order_id is None:
        return
    contact = await contacts.find(order_id)
    if contact is not None and contact.mail_instead():
        effects.request(
            Email(
                to=contact.email,
                subject=f"Your order {contact.number} is confirmed",
                text=f"Your order {contact.number} over {contact.total} is confirmed. We could not text you.",
            ),
            reference=order_id,
        )
