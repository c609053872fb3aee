"""A welcome that waits for two events, in either order, and gives up after a while: processes for the scenarios."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from duly import (
    Aggregate,
    Command,
    CommandRejected,
    DomainEvent,
    EffectFailed,
    Effects,
    Email,
    Index,
    Module,
    Next,
    Personal,
    ProcessManager,
    PublicEvent,
    Query,
    Repository,
    RuleBroken,
    Sms,
    TimedOut,
    hears,
    hears_rejected,
    starts,
    times_out,
)

PATIENCE = timedelta(days=3)


class Register(Command, subject="customer_id"):
    customer_id: str
    phone: Personal[str] = "+491"


class Registered(DomainEvent, subject="customer_id"):
    customer_id: str
    phone: Personal[str]


class Order(Command):
    order_id: str
    customer_id: str


class Ordered(DomainEvent):
    order_id: str
    customer_id: str


class OrderedPublic(PublicEvent):
    order_id: str
    customer_id: str


class Hasten(Command):
    """Have the welcome give up very soon."""

    customer_id: str


class Hastened(DomainEvent):
    customer_id: str


class Greet(Command, subject="customer_id"):
    customer_id: str
    order_id: str
    phone: Personal[str]


class NoteSilence(Command):
    customer_id: str
    reason: str = "it took too long"


class ReadNotes(Query[list[str]]):
    customer_id: str


class Customer(Aggregate):
    phone: Personal[str]
    notes: list[str] = []


class Purchase(Aggregate):
    customer_id: Index[str]


class Welcome(ProcessManager):
    phone: Personal[str] = ""
    order_id: str = ""

    @starts(key="customer_id")
    def registered(self, event: Registered) -> Next[Self]:
        return self.changed(phone=event.phone).greet_or_wait()

    @starts(key="customer_id")
    def ordered(self, event: OrderedPublic) -> Next[Self]:
        return self.changed(order_id=event.order_id).greet_or_wait()

    @hears(key="customer_id")
    def hastened(self, event: Hastened) -> Next[Self]:
        return Next(self, timeouts={"give_up": timedelta(milliseconds=1)})

    @times_out("give_up")
    def gave_up(self, event: TimedOut) -> Next[Self]:
        return Next(self, commands=[NoteSilence(customer_id=self.id)], ends=True)

    @hears(key="reference")
    def not_texted(self, event: EffectFailed[Sms]) -> Next[Self]:
        return Next(self, commands=[NoteSilence(customer_id=self.id, reason=event.reason)], ends=True)

    @hears_rejected(Greet)
    def not_greeted(self, event: CommandRejected) -> Next[Self]:
        words = "refused" if event.permanent else "parked"
        return Next(self, commands=[NoteSilence(customer_id=self.id, reason=f"{words}: {event.reason}")])

    def greet_or_wait(self) -> Next[Self]:
        if self.phone and self.order_id:
            greet = Greet(customer_id=self.id, order_id=self.order_id, phone=self.phone)
            return Next(self, commands=[greet], cancels=["give_up"])
        return Next(self, timeouts={"give_up": PATIENCE})


welcoming = Module("welcoming", processes=[Welcome])


@welcoming.command
async def register(command: Register, customers: Repository[Customer]) -> None:
    customer = Customer(id=command.customer_id, phone=command.phone)
    customer.record(Registered(customer_id=customer.id, phone=customer.phone))
    customers.add(customer)


@welcoming.command
async def order(command: Order, purchases: Repository[Purchase]) -> None:
    purchase = Purchase(id=command.order_id, customer_id=command.customer_id)
    purchase.record(Ordered(order_id=purchase.id, customer_id=purchase.customer_id))
    purchases.add(purchase)


@welcoming.publishes
def ordered(event: Ordered) -> OrderedPublic:
    return OrderedPublic(order_id=event.order_id, customer_id=event.customer_id)


@welcoming.command
async def hasten(command: Hasten, customers: Repository[Customer]) -> None:
    customer = await customers.get(command.customer_id)
    customer.record(Hastened(customer_id=customer.id))


@welcoming.command
async def greet(command: Greet, effects: Effects) -> None:
    if command.phone == "+49refused":
        raise RuleBroken("This number is on a list.")
    if command.phone == "+49broken":
        raise OSError("the list cannot be read")
    effects.request(Sms(to=command.phone, text="Welcome!"), reference=command.customer_id)


@welcoming.command
async def note_silence(command: NoteSilence, customers: Repository[Customer], effects: Effects) -> None:
    if command.reason == "say no":
        raise RuleBroken("No note is taken of that.")
    customer = await customers.get(command.customer_id)
    customer.notes = [*customer.notes, command.reason]
    effects.request(Email(to="us@example.com", subject="Nobody was greeted", text=command.reason))


@welcoming.query
async def read_notes(query: ReadNotes, customers: Repository[Customer]) -> list[str]:
    return (await customers.get(query.customer_id)).notes
