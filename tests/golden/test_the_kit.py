"""The kit finds what a corpus is for: types without an envelope, and readers that have changed without a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import force_setattr

from duly import (
    Command,
    DomainEvent,
    Effect,
    EventSourced,
    Module,
    Next,
    Personal,
    ProcessManager,
    Projection,
    PublicEvent,
    Query,
    Repository,
    Upcasted,
    applies,
    starts,
)
from duly.messages.message import Message
from duly.messages.outcomes import EffectFailed
from duly.testing.corpus_rows import stored_types
from duly.testing.golden import CorpusBroken, check_corpus, write_corpus


class Placed(DomainEvent, name="shop.placed", subject="customer"):
    order: str
    cents: int
    customer: str
    phone: Personal[str]


SAMPLE = Placed(order="7", cents=250, customer="ann", phone="+49")


def module(*types: type[Message]) -> Module:
    return Module("shop", messages=types)


def mistakes_of(call: Any) -> str:
    with pytest.raises(CorpusBroken) as broken:
        call()
    return str(broken.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A corpus with one event, as the first version of the code wrote it."""
    assert [path.name for path in write_corpus(tmp_path, [module(Placed)], [SAMPLE])] == ["shop.placed.v1.json"] * 2
    assert check_corpus(tmp_path, [module(Placed)]) == 1
    return tmp_path


def test_a_type_without_an_envelope_is_named_with_the_command_that_adds_it(folder: Path) -> None:
    class Shipped(DomainEvent):
        order: str

    said = mistakes_of(lambda: check_corpus(folder, [module(Placed, Shipped)], command="make corpus"))
    assert said == "Shipped has no envelope of version 1. Add a sample of it, then run: make corpus"
    assert "no sample of Shipped, version 1" in mistakes_of(lambda: write_corpus(folder, [module(Placed, Shipped)], []))


def test_what_a_module_publishes_commands_and_upcasts_is_stored_and_queries_and_effects_are_not() -> None:
    shop = module(Placed)
    shop.publishes(told)
    shop.command(tell)
    shop.query(ask)
    shop.after_commit(fail)
    shop.upcasts(Retired, from_version=1, into=(Made,))(lambda fields: None)
    assert stored_types([shop]) == (Made, Retired, Tell, Told, Placed)
    assert stored_types([shop], [EffectFailed])[-2:] == (EffectFailed, Placed)


def test_what_only_read_models_processes_and_aggregates_made_of_events_hear_is_stored_too() -> None:
    seen = Projection("seen")
    seen.on(see)
    shop = Module("shop", projections=[seen], processes=[Waiting])
    shop.command(open_till)
    assert stored_types([shop]) == (Made, OpenTill, TillOpened, Placed)


class Waiting(ProcessManager):
    @starts(key="customer")
    def placed(self, event: Placed) -> Next[Waiting]:
        return Next(self)


class TillOpened(DomainEvent): ...


class OpenTill(Command):
    till: str


class Till(EventSourced):
    is_open: bool = False

    @applies
    def opened(self, event: TillOpened) -> None:
        self.is_open = True


def see(event: Made) -> None: ...


async def open_till(command: OpenTill, tills: Repository[Till]) -> None: ...


class Told(PublicEvent):
    order: str


class Tell(Command):
    order: str


class Ask(Query[int]):
    order: str


class Letter(Effect):
    to: str


class Retired(DomainEvent, version=2): ...


class Made(DomainEvent): ...


def told(event: Placed) -> Told | None:
    return None


async def tell(command: Tell) -> None: ...


async def ask(query: Ask) -> int:
    return 1


async def fail(event: EffectFailed[Letter]) -> None: ...


def test_a_version_that_was_never_recorded_can_only_be_added_by_its_own_code(tmp_path: Path) -> None:
    class Third(DomainEvent, name="third", version=3): ...

    said = mistakes_of(lambda: check_corpus(tmp_path, [module(Third)]))
    assert "third has no envelope of version 1, and this code writes version 3" in said
    assert "third has no envelope of version 3. Add a sample" in said
    assert "Only the code that wrote version 2" in mistakes_of(
        lambda: write_corpus(tmp_path, [module(Third)], [Third()])
    )


def test_an_envelope_that_is_there_is_never_changed(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    other = Placed(order="8", cents=1, customer="bob", phone="+1")
    assert write_corpus(folder, [module(Placed)], [other]) == ()
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before


def test_a_field_that_is_read_otherwise_under_the_same_version_is_a_mistake(folder: Path) -> None:
    class Retyped(DomainEvent, name="shop.placed", subject="customer"):
        order: str
        cents: float
        customer: str
        phone: Personal[str]

        def __post_init__(self) -> None:
            force_setattr(self, "order", f"No. {self.order.removeprefix('No. ')}")  # type: ignore[arg-type]

    for call in (check_corpus, write_corpus):
        arguments: list[Any] = [folder, [module(Retyped)], *([[]] if call is write_corpus else [])]
        said = mistakes_of(lambda call=call, arguments=arguments: call(*arguments))
        assert "order of shop.placed is read as 'No. 7', and was recorded as '7' under the same version" in said


def test_a_field_that_was_renamed_without_a_version_is_a_mistake(folder: Path) -> None:
    class Renamed(DomainEvent, name="shop.placed", subject="customer"):
        number: str
        cents: int
        customer: str
        phone: Personal[str]

    assert "shop.placed.v1.json cannot be read" in mistakes_of(lambda: check_corpus(folder, [module(Renamed)]))


def test_a_field_that_was_added_with_a_default_is_none(folder: Path) -> None:
    class Grown(DomainEvent, name="shop.placed", subject="customer"):
        order: str
        cents: int
        customer: str
        phone: Personal[str]
        currency: str = "EUR"

    assert check_corpus(folder, [module(Grown)]) == 1
    assert write_corpus(folder, [module(Grown)], []) == ()


def test_a_type_whose_code_is_gone_is_a_mistake_as_long_as_its_envelope_is_there(folder: Path) -> None:
    assert "which this application does not know" in mistakes_of(lambda: check_corpus(folder, []))


def test_a_type_under_a_new_name_has_its_envelopes_under_the_former_one(folder: Path) -> None:
    class Ordered(DomainEvent, name="shop.ordered", formerly=("shop.placed",), subject="customer"):
        order: str
        cents: int
        customer: str
        phone: Personal[str]

    said = mistakes_of(lambda: check_corpus(folder, [module(Ordered)]))
    assert "is shop.ordered version 1 today, and was recorded as shop.placed version 1" in said
    assert [path.parent.name for path in write_corpus(folder, [module(Ordered)], [])] == ["values"]
    assert check_corpus(folder, [module(Ordered)]) == 1


def test_a_new_version_is_recorded_beside_the_old_one_and_what_the_old_one_is_today_anew(folder: Path) -> None:
    class Second(DomainEvent, name="shop.placed", version=2, subject="customer"):
        order: str
        customer: str

    class Priced(DomainEvent):
        order: str
        amount: str

    class Reached(DomainEvent):
        phone: Personal[str]

    shop = module(Second)

    @shop.upcasts(Second, from_version=1, into=(Second, Priced, Reached))
    def split(fields: dict[str, object]) -> list[Upcasted]:
        order = {"order": fields["order"]}
        return [
            Upcasted(Second, {**order, "customer": fields["customer"]}, version=2),
            Upcasted(Priced, {**order, "amount": f"{fields['cents']} ct"}, version=1),
            Upcasted(Reached, {"phone": fields["phone"]}, version=1),
        ]

    said = mistakes_of(lambda: check_corpus(folder, [shop]))
    assert "shop.placed has no envelope of version 2" in said
    assert "is shop.placed version 2, Priced version 1, Reached version 1 today" in said

    envelope = (folder / "envelopes/shop.placed.v1.json").read_bytes()
    samples = [Second(order="7", customer="ann"), Priced(order="7", amount="1"), Reached(phone="+1")]
    written = {str(path.relative_to(folder)) for path in write_corpus(folder, [shop], samples)}
    assert {path for path in written if path.startswith("envelopes")} == {
        "envelopes/Priced.v1.json",
        "envelopes/Reached.v1.json",
        "envelopes/shop.placed.v2.json",
    }
    assert "values/shop.placed.v1.json" in written
    assert (folder / "envelopes/shop.placed.v1.json").read_bytes() == envelope
    assert '"amount": "250 ct"' in (folder / "values/shop.placed.v1.json").read_text()
    assert check_corpus(folder, [shop]) == 4


def test_an_upcaster_that_fails_is_a_mistake(folder: Path) -> None:
    class Second(DomainEvent, name="shop.placed", version=2, subject="customer"):
        order: str
        customer: str

    shop = module(Second)
    shop.upcasts(Second, from_version=1)(lambda fields: {"order": fields["number"]})
    assert "KeyError: 'number'" in mistakes_of(lambda: check_corpus(folder, [shop]))


def test_what_is_dropped_is_recorded_as_nothing(folder: Path) -> None:
    class Dropped(DomainEvent, name="shop.placed", version=2): ...

    shop = module(Dropped)
    shop.upcasts(Dropped, from_version=1, into=())(lambda fields: None)
    write_corpus(folder, [shop], [Dropped()])
    assert (folder / "values/shop.placed.v1.json").read_text() == "[]\n"
    assert check_corpus(folder, [shop]) == 2
