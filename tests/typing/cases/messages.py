"""Messages: frozen, typed, keyword-only; markers are the plain types; class keywords are checked."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_type

from duly import (
    Command,
    DomainEvent,
    Effect,
    Email,
    EmailAddress,
    Entity,
    Personal,
    PhoneNumber,
    PublicEvent,
    Query,
    Sms,
    Value,
    parse_message,
)


class Address(Value):
    street: str
    zip_code: str = ""


class Line(Entity):
    article: str
    count: int = 1


class PlaceOrder(Command, name="ordering.place_order", version=2, formerly=("ordering.order",), subject="customer_id"):
    order_id: str
    customer_id: str
    total: Decimal
    phone: Personal[PhoneNumber]
    mail: Personal[EmailAddress] | None = None
    name: Personal[str] = ""
    address: Address | None = None


class OrderPlaced(DomainEvent):
    order_id: str


class OrderPlacedPublic(PublicEvent, name="ordering.placed"):
    order_id: str


class Invoice(Effect, name="billing.invoice"):
    order_id: str
    total: Decimal


class CountOrders(Query[int]):
    since: str | None = None


def messages_are_built_from_keywords_and_typed() -> None:
    order = PlaceOrder(order_id="42", customer_id="c-1", total=Decimal(1), phone="+49 151 23456789")
    assert_type(order.order_id, str)
    assert_type(order.total, Decimal)
    assert_type(order.address, Address | None)
    assert_type(CountOrders().since, str | None)


def markers_are_the_plain_types(order: PlaceOrder, sms: Sms, mail: Email) -> None:
    assert_type(order.phone, str)
    assert_type(order.mail, str | None)
    assert_type(order.name, str)
    assert_type(sms.to, str)
    assert_type(mail.html, str | None)


def mistakes_in_the_fields_are_seen() -> None:
    OrderPlaced("42")  # type: ignore[call-arg]
    OrderPlaced()  # type: ignore[call-arg]
    OrderPlaced(order_id=42)  # type: ignore[arg-type]
    OrderPlaced(order_id="42", total=1)  # type: ignore[call-arg]
    Invoice(order_id="42", total="1.00")  # type: ignore[arg-type]
    OrderPlacedPublic("42")  # type: ignore[call-arg]
    CountOrders(since=1)  # type: ignore[arg-type]
    Sms(to="+49 151 23456789")  # type: ignore[call-arg]
    Address("street")  # type: ignore[call-arg]
    Line("article")  # type: ignore[call-arg]


def messages_and_values_never_change(order: PlaceOrder, event: OrderPlaced, sms: Sms, address: Address) -> None:
    order.total = Decimal(2)  # type: ignore[misc]
    event.order_id = "43"  # type: ignore[misc]
    sms.text = "another"  # type: ignore[misc]
    address.street = "another"  # type: ignore[misc]


def entities_change_within_their_types(line: Line) -> None:
    line.count = 2
    line.count = "2"  # type: ignore[assignment]


class Misspelt(Command, nam="ordering.place_order"):  # type: ignore[call-arg]
    order_id: str


class Mistyped(DomainEvent, version="2"):  # type: ignore[arg-type]
    order_id: str


def data_from_outside_becomes_the_message_that_was_asked_for() -> None:
    assert_type(parse_message(PlaceOrder, b"{}"), PlaceOrder)
    assert_type(parse_message(OrderPlaced, {"order_id": "42"}), OrderPlaced)
    parse_message(Address, b"{}")  # type: ignore[type-var]
