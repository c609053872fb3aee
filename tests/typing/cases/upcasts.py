"""Upcasters: fields to fields, or, with ``into=``, to messages or nothing; the function is given back unchanged."""

from __future__ import annotations

from typing import assert_type

from duly import Aggregate, DomainEvent, Module, Upcasted


class Placed(DomainEvent, version=2):
    order: str


class Priced(DomainEvent):
    order: str


class Order(Aggregate, version=2):
    lines: int = 0


shop = Module("shop")


@shop.upcasts(Placed, from_version=1)
@shop.upcasts(Order, from_version=1)
def renamed(fields: dict[str, object]) -> dict[str, object]:
    return {"order": fields["number"]}


@shop.upcasts(Placed, from_version=1, into=(Placed, Priced))
def split(fields: dict[str, object]) -> list[Upcasted]:
    return [Upcasted(Placed, fields, version=2), Upcasted(Priced, {"order": fields["order"]}, version=1)]


@shop.upcasts(Placed, from_version=1, into=())
def drop(fields: dict[str, object]) -> None:
    return None


@shop.upcasts(Placed, from_version=1, into=(Priced,))
def sometimes(fields: dict[str, object]) -> dict[str, object] | tuple[Upcasted, ...] | None:
    return None


def functions_are_called_as_they_were_written() -> None:
    assert_type(renamed({}), dict[str, object])
    assert_type(split({}), list[Upcasted])
    assert_type(sometimes({}), dict[str, object] | tuple[Upcasted, ...] | None)
    assert_type(split({})[0].type.__name__, str)
    assert_type(split({})[0].version, int)


def mistakes_are_seen(made: Upcasted) -> None:
    shop.upcasts(Placed, from_version=1)(split)  # type: ignore[arg-type]
    shop.upcasts(Placed, from_version=1)(drop)  # type: ignore[arg-type]
    shop.upcasts(Order, from_version=1, into=(Priced,))  # type: ignore[arg-type]
    shop.upcasts(Placed, from_version=1, into=(Order,))  # type: ignore[arg-type]
    shop.upcasts(Placed, from_version=1, into=Priced)  # type: ignore[call-overload]
    Upcasted(Priced, {})  # type: ignore[call-arg]
    Upcasted(Priced, {}, 1)  # type: ignore[call-arg]
    Upcasted(Order, {}, version=1)  # type: ignore[arg-type]
    made.version = 2  # type: ignore[misc]
