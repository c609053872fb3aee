"""A small shop for the scenarios: three modules, four aggregates, one cascade."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from duly import (
    Aggregate,
    Command,
    Context,
    DomainEvent,
    Effects,
    Email,
    EmailAddress,
    Entity,
    Index,
    Module,
    Personal,
    PhoneNumber,
    PublicEvent,
    Query,
    Reader,
    Repository,
    RuleBroken,
    Sms,
    Sql,
    Unique,
    Value,
)

Quantity = Annotated[int, "pieces"]


class Line(Entity):
    sku: str
    quantity: Quantity


class Address(Value):
    city: str
    postcode: str


class PlaceOrder(Command[str]):
    order_id: str
    customer_id: str = "c-1"
    phone: Personal[PhoneNumber] = "+4915123456789"
    email: Personal[EmailAddress] = "a@example.com"
    total: Decimal = Decimal("10.00")
    refuse_payment: bool = False


class ChangeTotal(Command):
    order_id: str
    total: Decimal


class CancelOrder(Command):
    order_id: str


class OrderPlaced(DomainEvent):
    order_id: str
    customer_id: str
    phone: Personal[PhoneNumber]
    email: Personal[EmailAddress]
    total: Decimal
    refuse_payment: bool = False


class TotalChanged(DomainEvent):
    order_id: str
    total: Decimal


class OrderPlacedPublic(PublicEvent):
    order_id: str
    phone: Personal[PhoneNumber]
    email: Personal[EmailAddress]


class Order(Aggregate):
    customer_id: Index[str]
    number: Unique[str]
    total: Decimal
    lines: list[Line]
    address: Address | None = None

    def change_total(self, total: Decimal) -> None:
        if total <= 0:
            raise RuleBroken("An order's total is more than zero.")
        self.total = total
        self.record(TotalChanged(order_id=self.id, total=total))


ordering = Module("ordering", messages=[OrderPlaced])


@ordering.command
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> str:
    if await orders.find(command.order_id) is not None:
        raise RuleBroken(f"Order {command.order_id} is placed already.")
    order = Order(
        id=command.order_id,
        customer_id=command.customer_id,
        number=f"N-{command.order_id}",
        total=command.total,
        lines=[Line(sku="tea", quantity=2)],
        address=Address(city="Kyiv", postcode="01001"),
    )
    order.record(
        OrderPlaced(
            order_id=order.id,
            customer_id=command.customer_id,
            phone=command.phone,
            email=command.email,
            total=command.total,
            refuse_payment=command.refuse_payment,
        )
    )
    orders.add(order)
    return order.number


@ordering.command
async def change_total(command: ChangeTotal, orders: Repository[Order]) -> None:
    (await orders.get(command.order_id)).change_total(command.total)


@ordering.command
async def cancel_order(command: CancelOrder, orders: Repository[Order]) -> None:
    orders.remove(await orders.get(command.order_id))


@ordering.publishes
def order_placed(event: OrderPlaced) -> OrderPlacedPublic:
    return OrderPlacedPublic(order_id=event.order_id, phone=event.phone, email=event.email)


class PaymentCreated(DomainEvent):
    payment_id: str
    customer_id: str
    amount: Decimal


class PointsEarned(DomainEvent):
    customer_id: str
    points: int


class Payment(Aggregate):
    amount: Decimal


class Card(Aggregate):
    points: int = 0


payments = Module("payments")


@payments.in_transaction
async def create_payment(event: OrderPlaced, payments: Repository[Payment], effects: Effects) -> None:
    payment = Payment(id=event.order_id, amount=event.total)
    payment.record(PaymentCreated(payment_id=payment.id, customer_id=event.customer_id, amount=event.total))
    payments.add(payment)
    effects.request(Email(to=event.email, subject="Your payment", text=f"Please pay {event.total}."))
    if event.refuse_payment:
        raise RuleBroken("This customer pays no bills.")


@payments.in_transaction
async def give_points(event: PaymentCreated, cards: Repository[Card]) -> None:
    card = await cards.find(event.customer_id)
    if card is None:
        card = Card(id=event.customer_id)
        cards.add(card)
    card.points += int(event.amount)
    card.record(PointsEarned(customer_id=card.id, points=int(event.amount)))


communications = Module(
    "communications",
    tables=("CREATE TABLE IF NOT EXISTS visit (tenant text NOT NULL, page text NOT NULL, at_least integer NOT NULL)",),
)


@communications.after_commit
async def text_customer(event: OrderPlacedPublic, effects: Effects) -> None:
    effects.request(Sms(to=event.phone, text=f"We have your order {event.order_id}."))


class RecordVisit(Command):
    page: str
    at_least: int = 1
    phone: PhoneNumber | None = None


class VisitsOf(Query[int]):
    page: str


@communications.command
async def record_visit(command: RecordVisit, sql: Sql, effects: Effects, context: Context) -> None:
    """The shallow part: no aggregate in sight."""
    await sql.execute(
        "INSERT INTO visit (tenant, page, at_least) VALUES (:tenant, :page, :at_least)",
        tenant=context.tenant,
        page=command.page,
        at_least=command.at_least,
    )
    if command.phone is not None:
        effects.request(Sms(to=command.phone, text=f"You looked at {command.page}."))


@communications.query
async def visits_of(query: VisitsOf, reader: Reader, context: Context) -> int:
    count = await reader.fetch_value(
        "SELECT count(*) FROM visit WHERE tenant = :tenant AND page = :page", tenant=context.tenant, page=query.page
    )
    assert isinstance(count, int)
    return count


MODULES = (ordering, payments, communications)
