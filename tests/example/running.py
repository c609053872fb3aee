"""The running shop and its gateways that record, and what Ann orders there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TypeVar

from duly import Command, Delivery, Duly, EffectView, Outcome, Receipt
from duly.effects.receipts import Answer
from duly.gateways.recording import RecordingGateway
from examples.shop.customers.messages import RegisterCustomer
from examples.shop.ordering.messages import Line, Money, PlaceOrder

R = TypeVar("R")


def customer(customer_id: str = "ann", *, phone: str = "+12025550100") -> RegisterCustomer:
    """A customer; all of them have Ann's address."""
    return RegisterCustomer(customer_id=customer_id, name="Ann", email="ann@customers.example", phone=phone)


def line(*, price: str = "39.00", quantity: int = 2) -> Line:
    """One line of an order."""
    return Line(article="atlas", quantity=quantity, price=Money(amount=Decimal(price)))


def order(*lines: Line, order_id: str = "1001", by_card: bool = False) -> PlaceOrder:
    """Ann's order."""
    ann = customer()
    return PlaceOrder(
        order_id=order_id,
        customer_id=ann.customer_id,
        email=ann.email,
        phone=ann.phone,
        lines=lines,
        by_card=by_card,
    )


ORDER = order(line())


@dataclass(frozen=True, slots=True)
class Shop:
    """The running shop, with Ann as a customer of acme."""

    app: Duly
    mails: RecordingGateway
    texts: RecordingGateway
    invoices: RecordingGateway
    outcomes: list[Outcome]
    """What becomes of the next SMS, one after the other; then all are accepted."""
    reports: list[Receipt]

    async def do(self, command: Command[R], tenant: str = "acme", command_id: str | None = None) -> R:
        """Execute a command, of acme unless said otherwise."""
        return await self.app.execute(command, tenant=tenant, command_id=command_id)

    async def effects(self, tenant: str = "acme") -> list[EffectView]:
        """Everything in a tenant's ledger once nothing is left to do, the latest first."""
        await self.app.until_quiet(time_max=timedelta(seconds=20))
        return await self.app.ledger(tenant).all_effects()

    async def effect(self, channel: str, about: str = "") -> EffectView:
        """The one effect of acme's ledger in a channel whose summary holds a text."""
        (found,) = [one for one in await self.effects() if one.channel == channel and about in one.summary]
        return found

    async def report(self, effect: EffectView, delivery: Delivery) -> Answer:
        """Let the SMS provider report what became of an effect."""
        self.reports.append(Receipt(dedupe=f"{effect.id}-{delivery.value}", effect_id=effect.id, delivery=delivery))
        return await self.app.receipts.take("twilio", b"", ())

    @property
    def calls(self) -> int:
        """How often any provider was called."""
        return len(self.mails.calls) + len(self.texts.calls) + len(self.invoices.calls)
