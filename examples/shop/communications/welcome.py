"""The process that welcomes a customer: it waits for two events, in either order, and gives up after a while."""

from datetime import timedelta
from typing import Self

from duly import Next, Personal, PhoneNumber, ProcessManager, TimedOut, starts, times_out
from examples.shop.communications.messages import SayWelcome
from examples.shop.customers.messages import CustomerRegisteredPublic
from examples.shop.ordering.messages import OrderPlacedPublic

PATIENCE = timedelta(days=3)


class Welcome(ProcessManager):
    """Who has registered, and has ordered, is welcomed once. A guest orders first, and may register later."""

    name: Personal[str] = ""
    phone: Personal[PhoneNumber] = ""
    number: str = ""
    """Of the first order."""

    @starts(key="customer_id")
    def registered(self, event: CustomerRegisteredPublic) -> Next[Self]:
        """Someone may be greeted, or would rather not."""
        if not event.may_greet:
            return Next(self, ends=True)
        return self.changed(name=event.name, phone=event.phone)._greet_or_wait()

    @starts(key="customer_id")
    def ordered(self, event: OrderPlacedPublic) -> Next[Self]:
        """Someone has ordered; whether they may be greeted is known when they have registered."""
        return self.changed(number=self.number or event.number)._greet_or_wait()

    @times_out("give_up")
    def gave_up(self, event: TimedOut) -> Next[Self]:
        """A welcome that comes this late is none."""
        return Next(self, ends=True)

    def _greet_or_wait(self) -> Next[Self]:
        if not self.phone or not self.number:
            return Next(self, timeouts={"give_up": PATIENCE})
        welcome = SayWelcome(customer_id=self.id, number=self.number, name=self.name, phone=self.phone)
        return Next(self, commands=[welcome], ends=True)
