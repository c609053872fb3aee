"""Wiring is a value: defining or importing things changes nothing inside duly."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from types import ModuleType

import pytest

from duly import Aggregate, Command, DomainEvent, Effect, Entity, Module, PublicEvent, Query, Repository, Value

Sizes = dict[str, int]


def containers() -> Sizes:
    """The size of every container that duly's modules, and the classes in them, keep."""
    found: Sizes = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != "duly":
            continue
        for place, holder in {
            name: module,
            **{f"{name}.{key}": cls for key, cls in classes_of(module).items()},
        }.items():
            for key, value in vars(holder).items():
                if isinstance(value, dict | list | set | deque) and not key.startswith("__"):
                    found[f"{place}.{key}"] = len(value)
    return found


def classes_of(module: ModuleType) -> dict[str, type]:
    """The classes that a module has defined."""
    return {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    }


def define_an_application() -> None:
    """Define one of everything."""

    class Reserve(Command[int]):
        seat_id: str

    class CountSeats(Query[int]):
        pass

    class Reserved(DomainEvent, name="hall.reserved"):
        seat_id: str

    class ReservedPublic(PublicEvent):
        seat_id: str

    class Print(Effect):
        seat_id: str

    class Row(Entity):
        number: int

    class Colour(Value):
        name: str

    class Seat(Aggregate):
        row: Row
        colour: Colour

    hall = Module("hall", messages=[Reserve, Reserved])

    @hall.command
    async def reserve(command: Reserve, seats: Repository[Seat]) -> int:
        return 1

    @hall.query
    def count(query: CountSeats) -> int:
        return 1

    @hall.publishes
    def reserved(event: Reserved) -> ReservedPublic:
        return ReservedPublic(seat_id=event.seat_id)

    @hall.after_commit
    async def tell(event: ReservedPublic) -> None:
        Print(seat_id=event.seat_id)

    assert len(hall.definitions) == 4


def change_by(act: Callable[[], object]) -> Sizes:
    """Containers of duly that *act* has changed."""
    before = containers()
    act()
    return {place: size for place, size in containers().items() if before.get(place) != size}


def test_defining_messages_aggregates_and_handlers_registers_nothing() -> None:
    assert change_by(define_an_application) == {}


def test_a_registry_that_is_filled_by_defining_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = ModuleType("duly.planted")
    planted.REGISTRY = {}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, planted.__name__, planted)
    assert change_by(lambda: planted.REGISTRY.update(reserve=1)) == {"duly.planted.REGISTRY": 1}
