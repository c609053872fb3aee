"""What is stored can be read again, or is refused before it is stored."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly import DomainEvent, Personal, Value
from duly.errors import InvalidMessage, UnknownMessageType
from duly.messages.catalog import Catalog, JsonFields
from duly.messages.codec import Codec
from duly.messages.envelope import Envelope, Kind, Link, decode_chain, encode_chain


class Colour(Enum):
    RED = "red"


class Point(Value):
    x: int
    y: float = 0.0


class Everything(DomainEvent):
    text: str
    phone: Personal[str]
    nick: Personal[str] | None = None
    amount: Decimal
    at: datetime
    day: date
    id: UUID
    colour: Colour
    points: list[Point]
    names: dict[str, int]
    tags: frozenset[str]
    raw: bytes = b""


STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(
    text=STORABLE,
    phone=STORABLE,
    nick=STORABLE | st.none(),
    amount=st.decimals(allow_nan=False, allow_infinity=False),
    at=st.datetimes(timezones=st.just(UTC)),
    points=st.lists(
        st.builds(Point, x=st.integers(-(2**62), 2**62), y=st.floats(allow_nan=False, allow_infinity=False))
    ),
    names=st.dictionaries(STORABLE, st.integers(-(2**62), 2**62)),
    tags=st.frozensets(STORABLE),
    raw=st.binary(),
)
def test_a_message_is_read_as_it_was_written_its_personal_fields_apart(**fields: object) -> None:
    codec = Codec(Everything, "Everything")
    said = Everything(day=date(2026, 1, 2), id=UUID(int=7), colour=Colour.RED, **fields)  # type: ignore[arg-type]
    encoded = codec.encode(said)
    assert codec.decode(encoded.body, encoded.personal) == said
    assert '"phone"' not in encoded.body
    assert '"nick"' not in encoded.body


class Secret(DomainEvent):
    word: Personal[str]
    other: str = "x"


def test_personal_fields_are_not_in_the_body_and_read_as_erased_without_their_row() -> None:
    codec = Codec(Secret, "Secret")
    encoded = codec.encode(Secret(word="sesame"))
    assert encoded.body == '{"other":"x"}'
    assert encoded.personal == '{"word":"sesame"}'
    assert codec.decode(encoded.body, None) == Secret(word="[erased]")


def test_a_stored_body_that_does_not_fit_is_told_not_guessed() -> None:
    with pytest.raises(InvalidMessage, match="A stored Secret cannot be read"):
        Codec(Secret, "Secret").decode('{"other": 5}', '{"word": "a"}')


class Price(DomainEvent, name="Price", version=3, formerly=("Cost",)):
    amount: str
    currency: str


def cents(fields: JsonFields) -> JsonFields:
    return {"amount": f"{fields['cents'] / 100:.2f}"}


def currency(fields: JsonFields) -> JsonFields:
    return {**fields, "currency": "EUR"}


def stored(name: str, version: int, body: str) -> Envelope:
    return Envelope(id="m", tenant="acme", kind=Kind.EVENT, name=name, version=version, body=body)


def test_older_versions_and_former_names_are_brought_up_to_date() -> None:
    catalog = Catalog({Price: {1: cents, 2: currency}})
    assert catalog.decode(stored("Cost", 1, '{"cents": 250}')) == Price(amount="2.50", currency="EUR")
    assert catalog.decode(stored("Price", 2, '{"amount": "1"}')) == Price(amount="1", currency="EUR")


class Moved(DomainEvent, version=2):
    mobile: Personal[str]
    town: str


def test_an_upcaster_sees_the_personal_fields_too() -> None:
    catalog = Catalog({Moved: {1: lambda fields: {"mobile": fields["phone"], "town": fields["city"]}}})
    old = msgspec.structs.replace(stored("Moved", 1, '{"city": "Kyiv"}'), personal='{"phone": "+49"}')
    assert catalog.decode(old) == Moved(mobile="+49", town="Kyiv")


def test_a_type_or_version_that_is_not_known_is_no_message_of_ours() -> None:
    catalog = Catalog({Price: {}})
    with pytest.raises(UnknownMessageType, match="is a 'Prize', which this application does not know"):
        catalog.decode(stored("Prize", 1, "{}"))
    with pytest.raises(UnknownMessageType, match="version 4 of 'Price'; this code knows version 3"):
        catalog.decode(stored("Price", 4, "{}"))


def test_a_chain_of_causes_is_read_as_it_was_written() -> None:
    chain = (Link("command", "PlaceOrder", "1"), Link("event", "OrderPlaced", "2", "shop.place_order"))
    assert decode_chain(encode_chain(chain)) == chain
