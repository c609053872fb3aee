"""A stored message may be another one today, several, or none; and a document stays one document."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from duly import DomainEvent, Personal, Upcasted
from duly.errors import InvalidMessage, UnknownMessageType, UpcastFailed
from duly.messages.catalog import Catalog, upcast
from duly.messages.envelope import Envelope, Kind
from duly.messages.upcasting import UPCASTS_PER_MESSAGE_MAX, JsonFields, Splitter, Upcasters


class Placed(DomainEvent, formerly=("Ordered",), version=3):
    order: str


class Priced(DomainEvent, name="pricing.priced", formerly=("Costed",), version=2):
    order: str
    amount: str


class Addressed(DomainEvent):
    order: str
    phone: Personal[str]


def split(fields: JsonFields) -> list[Upcasted]:
    """Version 2 of `Placed` said the price in cents, too, and where to call."""
    order = fields["order"]
    phone = {"phone": fields["phone"]} if "phone" in fields else {}
    return [
        Upcasted(Placed, {"order": order}, version=3),
        Upcasted(Priced, {"order": order, "cents": fields["cents"]}, version=1),
        Upcasted(Addressed, {"order": order, **phone}, version=1),
    ]


def returns(made: list[Upcasted] | None, fields: JsonFields) -> list[Upcasted] | None:
    return made


def amount(fields: JsonFields) -> JsonFields:
    return {"order": fields["order"], "amount": f"{fields['cents'] / 100:.2f}"}


SPLIT = Splitter(split, (Placed, Priced, Addressed))


def number_as_text(fields: JsonFields) -> JsonFields:
    return {**fields, "order": str(fields["order"])}


FIRST: Upcasters = {1: number_as_text, 2: SPLIT}


def stored(name: str, version: int, body: str, personal: str | None = None) -> Envelope:
    return Envelope(id="m", tenant="acme", kind=Kind.EVENT, name=name, version=version, body=body, personal=personal)


@pytest.fixture
def catalog() -> Catalog:
    return Catalog({Placed: FIRST, Priced: {1: amount}})


def test_a_stored_message_becomes_several_and_each_goes_on_from_its_own_version(catalog: Catalog) -> None:
    assert catalog.decode_all(stored("Ordered", 1, '{"order": 7, "cents": 250}', '{"phone": "+49"}')) == (
        Placed(order="7"),
        Priced(order="7", amount="2.50"),
        Addressed(order="7", phone="+49"),
    )


def test_a_message_that_was_made_reads_as_erased_where_its_person_was(catalog: Catalog) -> None:
    *_, addressed = catalog.decode_all(stored("Placed", 2, '{"order": "7", "cents": 250}'))
    assert addressed == Addressed(order="7", phone="[erased]")


def test_a_message_of_today_is_itself(catalog: Catalog) -> None:
    today = stored("Placed", 3, '{"order": "7"}')
    assert catalog.decode_all(today) == (catalog.decode(today),) == (Placed(order="7"),)


@pytest.mark.parametrize("nothing", [None, [], ()], ids=["None", "list", "tuple"])
def test_a_stored_message_becomes_nothing(nothing: list[Upcasted] | None) -> None:
    catalog = Catalog({Placed: {1: Splitter(lambda fields: nothing, ())}})
    assert catalog.decode_all(stored("Placed", 1, "{}")) == ()


def test_an_upcaster_that_may_split_may_also_return_the_fields_of_the_next_version() -> None:
    catalog = Catalog({Placed: {2: Splitter(lambda fields: {"order": fields["number"]}, (Priced,))}})
    assert catalog.decode_all(stored("Placed", 2, '{"number": "7"}')) == (Placed(order="7"),)


def test_who_needs_exactly_one_is_told_what_it_is_today(catalog: Catalog) -> None:
    with pytest.raises(InvalidMessage, match=r"is 3 messages today \(Placed, Priced, Addressed\)"):
        catalog.decode(stored("Placed", 2, '{"order": "7", "cents": 250}'))
    with pytest.raises(InvalidMessage, match=r"is 0 messages today \(nothing\)"):
        Catalog({Placed: {1: Splitter(lambda fields: None, ())}}).decode(stored("Placed", 1, "{}"))


def test_a_reader_of_a_type_reads_every_name_that_may_hold_it(catalog: Catalog) -> None:
    assert catalog.stored_names([Addressed]) == {"Addressed", "Placed", "Ordered"}
    assert catalog.stored_names([Priced]) == {"pricing.priced", "Costed", "Placed", "Ordered"}
    assert catalog.stored_names([Placed]) == {"Placed", "Ordered"}
    assert catalog.stored_names([]) == frozenset()


def test_a_reader_reads_the_names_from_which_its_type_is_reached_in_several_steps() -> None:
    class Older(DomainEvent, version=2): ...

    def older(fields: JsonFields) -> list[Upcasted]:
        return [Upcasted(Placed, fields, version=2)]

    catalog = Catalog({Older: {1: Splitter(older, (Placed,))}, Placed: {2: SPLIT}, Priced: {1: amount}})
    assert catalog.stored_names([Addressed]) == {"Addressed", "Placed", "Ordered", "Older"}
    messages = catalog.decode_all(stored("Older", 1, '{"order": "7", "cents": 5}'))
    assert [type(message) for message in messages] == [Placed, Priced, Addressed]


def test_what_was_made_is_known_though_nobody_hears_it(catalog: Catalog) -> None:
    assert catalog.decode(stored("Addressed", 1, '{"order": "7"}', '{"phone": "1"}')) == Addressed(order="7", phone="1")
    with pytest.raises(UnknownMessageType, match="version 2 of 'Addressed'"):
        catalog.decode_all(stored("Addressed", 2, "{}"))


def test_an_upcaster_makes_nothing_that_it_has_not_declared() -> None:
    catalog = Catalog({Placed: {2: Splitter(split, (Placed, Priced))}, Priced: {1: amount}})
    with pytest.raises(InvalidMessage, match=r"split from version 2 made a Addressed .* declares Placed, Priced"):
        catalog.decode_all(stored("Placed", 2, '{"order": "7", "cents": 1}'))
    undeclared = Catalog({Placed: {2: split}})
    with pytest.raises(InvalidMessage, match=r"returned a list .* says which types it makes"):
        undeclared.decode_all(stored("Placed", 2, '{"order": "7", "cents": 1}'))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([{"order": "7"}], "made a dict of the stored message m. Make an Upcasted"),
        ("nothing", "returned a str for the stored message m"),
        ([Upcasted(Priced, {}, version=3)], "a Priced of version 3 .* one of 1 to 2"),
        ([Upcasted(Priced, {}, version=0)], "a Priced of version 0 .* one of 1 to 2"),
        ([Upcasted(Placed, {}, version=2)], "a Placed of version 2 .* one of 3 to 3"),
    ],
)
def test_what_an_upcaster_cannot_mean_is_told(made: list[Upcasted], said: str) -> None:
    catalog = Catalog({Placed: {2: Splitter(lambda fields: made, (Placed, Priced))}})
    with pytest.raises(InvalidMessage, match=said):
        catalog.decode_all(stored("Placed", 2, "{}"))


def test_upcasters_that_make_each_others_types_are_stopped() -> None:
    class Ping(DomainEvent, version=2): ...

    class Pong(DomainEvent, version=2): ...

    catalog = Catalog(
        {
            Ping: {1: Splitter(lambda fields: [Upcasted(Pong, {}, version=1)], (Pong,))},
            Pong: {1: Splitter(lambda fields: [Upcasted(Ping, {}, version=1)], (Ping,))},
        }
    )
    with pytest.raises(InvalidMessage, match=f"passed {UPCASTS_PER_MESSAGE_MAX:,} upcasters"):
        catalog.decode_all(stored("Ping", 1, "{}"))
    assert catalog.stored_names([Ping]) == {"Ping", "Pong"}


def test_an_upcaster_that_raises_is_named_with_what_it_met() -> None:
    with pytest.raises(UpcastFailed, match="upcaster amount from version 1 failed on the stored message m: KeyError"):
        Catalog({Priced: {1: amount}}).decode_all(stored("Costed", 1, '{"order": "7"}'))
    with pytest.raises(UpcastFailed, match="upcaster amount from version 1 failed on a document: KeyError"):
        upcast('{"order": "7"}', 1, 2, {1: amount})


def test_a_document_stays_one_document() -> None:
    assert msgspec.json.decode(upcast('{"order": "7", "cents": 5}', 1, 2, {1: amount})) == {
        "order": "7",
        "amount": "0.05",
    }
    for made in ([Upcasted(Placed, {}, version=3)], None):
        with pytest.raises(InvalidMessage, match="A document stays one document"):
            upcast("{}", 1, 2, {1: Splitter(partial(returns, made), ())})


def test_an_upcaster_does_not_change_what_another_one_sees() -> None:
    shared = {"order": "7", "cents": 5}

    def thieve(fields: JsonFields) -> JsonFields:
        return {"order": fields.pop("order"), "amount": str(fields.pop("cents"))}

    step = Splitter(lambda fields: [Upcasted(Priced, shared, version=1)] * 2, (Priced,))
    catalog = Catalog({Placed: {2: step}, Priced: {1: thieve}})
    assert catalog.decode_all(stored("Placed", 2, "{}")) == (Priced(order="7", amount="5"),) * 2
