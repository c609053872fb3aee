"""Aggregates: keyword-only, typed, changeable; their repositories give them back with their type."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_type

from duly import Aggregate, Command, DomainEvent, Entity, Index, Personal, Repository, Unique


class Line(Entity):
    article: str
    count: int


class Order(Aggregate, name="ordering.order", version=2):
    total: Decimal
    customer_id: Index[str] = ""
    number: Unique[int] = 0
    reference: Unique[str] | None = None
    phone: Personal[str] = ""
    lines: tuple[Line, ...] = ()

    def place(self) -> None:
        self.record(OrderPlaced(order_id=self.id))


class OrderPlaced(DomainEvent):
    order_id: str


class Remind(Command):
    order_id: str


def aggregates_are_built_from_keywords_and_typed() -> None:
    order = Order(id="42", total=Decimal(1), lines=(Line(article="tea", count=2),))
    assert_type(order.id, str)
    assert_type(order.total, Decimal)
    assert_type(order.lines[0].count, int)


def markers_are_the_plain_types(order: Order) -> None:
    assert_type(order.customer_id, str)
    assert_type(order.number, int)
    assert_type(order.reference, str | None)
    assert_type(order.phone, str)


def mistakes_in_the_fields_are_seen() -> None:
    Order("42", Decimal(1))  # type: ignore[call-arg]
    Order(id="42")  # type: ignore[call-arg]
    Order(total=Decimal(1))  # type: ignore[call-arg]
    Order(id=42, total=Decimal(1))  # type: ignore[arg-type]
    Order(id="42", total="1")  # type: ignore[arg-type]
    Order(id="42", total=Decimal(1), paid=True)  # type: ignore[call-arg]
    Order(id="42", total=Decimal(1), number="7")  # type: ignore[arg-type]


def aggregates_change_within_their_types(order: Order) -> None:
    order.total = Decimal(2)
    order.total = "2"  # type: ignore[assignment]
    order.paid = True  # type: ignore[attr-defined]


def only_domain_events_are_recorded(order: Order) -> None:
    order.record(OrderPlaced(order_id="42"))
    order.record(Remind(order_id="42"))  # type: ignore[arg-type]


async def repositories_give_the_type_that_they_hold(orders: Repository[Order]) -> None:
    assert_type(await orders.get("42"), Order)
    assert_type(await orders.find("42"), Order | None)
    assert_type(await orders.peek("42"), Order | None)
    assert_type(await orders.by(customer_id="c-1"), list[Order])
    assert_type(await orders.one_by(number=7), Order | None)
    (await orders.find("42")).place()  # type: ignore[union-attr]


async def repositories_take_only_what_they_hold(orders: Repository[Order], line: Line) -> None:
    orders.add(line)  # type: ignore[arg-type]
    orders.remove("42")  # type: ignore[arg-type]
    await orders.get(42)  # type: ignore[arg-type]
    await orders.save(Order(id="42", total=Decimal(1)))  # type: ignore[attr-defined]


def a_repository_holds_aggregates(lines: Repository[Line]) -> None:  # type: ignore[type-var]
    ...
