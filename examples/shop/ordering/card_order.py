"""The process of an order that is paid by card: from being placed to being confirmed, or cancelled and told."""

from datetime import timedelta
from typing import Self

from duly import (
    CommandRejected,
    EffectDelivered,
    EffectFailed,
    EffectUndelivered,
    EmailAddress,
    Next,
    Personal,
    PhoneNumber,
    ProcessManager,
    Sms,
    TimedOut,
    hears,
    hears_rejected,
    starts,
    times_out,
)
from examples.shop.communications.messages import MailCancellation, TextCancellation
from examples.shop.ordering.messages import ConfirmOrder, OrderAwaitsPayment, OrderCancelled, RefuseOrder
from examples.shop.payments.messages import CardChargedPublic, ChargeCard

PATIENCE = timedelta(hours=1)


class CardOrder(ProcessManager):
    """Charges the card and confirms the order. If the bank refuses, or takes too long, the order is cancelled and the
    customer is told: by a text message, and by a mail if that does not arrive.
    """

    number: str = ""
    email: Personal[EmailAddress] = ""
    phone: Personal[PhoneNumber] = ""
    is_cancelled: bool = False

    @starts(key="order_id")
    def placed(self, event: OrderAwaitsPayment) -> Next[Self]:
        """The order waits to be paid."""
        return Next(
            self.changed(number=event.number, email=event.email, phone=event.phone),
            commands=[ChargeCard(order_id=self.id)],
            timeouts={"unpaid": PATIENCE},
        )

    @hears(key="order_id")
    def charged(self, event: CardChargedPublic) -> Next[Self]:
        """It is paid: the rest goes its usual way."""
        return Next(self, commands=[ConfirmOrder(order_id=self.id)], ends=True)

    @hears_rejected(ChargeCard)
    def refused(self, event: CommandRejected) -> Next[Self]:
        """The bank refuses, or nobody could be asked."""
        return self._give_up()

    @times_out("unpaid")
    def too_late(self, event: TimedOut) -> Next[Self]:
        """The bank has said nothing."""
        return self._give_up()

    @hears(key="order_id")
    def cancelled(self, event: OrderCancelled) -> Next[Self]:
        """The order is cancelled, whoever did it."""
        told = TextCancellation(order_id=self.id, number=self.number, phone=self.phone)
        return Next(self.changed(is_cancelled=True), commands=[told], cancels=["unpaid"])

    @hears(key="reference")
    def untold(self, event: EffectFailed[Sms] | EffectUndelivered[Sms]) -> Next[Self]:
        """The text message does not arrive. What is unknown may arrive: that is not here."""
        return Next(
            self, commands=[MailCancellation(order_id=self.id, number=self.number, email=self.email)], ends=True
        )

    @hears(key="reference")
    def told(self, event: EffectDelivered[Sms]) -> Next[Self]:
        """The text message has arrived, and with it the process at its end."""
        return Next(self, ends=True)

    def _give_up(self) -> Next[Self]:
        if self.is_cancelled:
            return Next(self)
        return Next(self, commands=[RefuseOrder(order_id=self.id)], cancels=["unpaid"])
