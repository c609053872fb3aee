"""Messages that were stored by other code than today's: split, dropped, unknown, or not to be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from duly import (
    Aggregate,
    Command,
    ConfigurationError,
    Context,
    DomainEvent,
    Duly,
    Effects,
    Module,
    PublicEvent,
    Query,
    Repository,
    Sms,
    Upcasted,
)
from duly.errors import NotQuiet
from tests.scenarios.running import Running, Start, durable, quick_settings


class Place(Command):
    order: str
    prices: list[int]


class Order(Aggregate):
    lines: int = 0


class PlacedV1(DomainEvent, name="Placed"):
    """What the old code said: all prices in one event."""

    order: str
    prices: list[int]


class Placed(DomainEvent, version=2):
    """What is left of it today."""

    order: str


class Priced(DomainEvent):
    """One price, an event of its own today."""

    order: str
    price: int


class Counted(DomainEvent):
    order: str


class Tally(Aggregate):
    prices: list[int] = []
    counted: int = 0


class ReadTally(Query[tuple[list[int], int]]):
    order: str


def old_code() -> Module:
    """Says `Placed` of version 1; its subscriber has not come to it yet."""
    module = Module("shop")

    @module.command
    async def place(command: Place, orders: Repository[Order]) -> None:
        order = Order(id=command.order, lines=len(command.prices))
        order.record(PlacedV1(order=order.id, prices=command.prices))
        orders.add(order)

    @module.after_commit
    async def book(event: PlacedV1) -> None:
        raise AssertionError("the old code has no worker")

    return module


def split(fields: dict[str, object]) -> Sequence[Upcasted] | None:
    order, prices = fields["order"], fields["prices"]
    assert isinstance(prices, list)
    priced = [Upcasted(Priced, {"order": order, "price": price}, version=1) for price in prices]
    return [Upcasted(Placed, {"order": order}, version=2), *priced]


def drop(fields: dict[str, object]) -> None:
    return None


def new_code(seen: list[str], upcaster: Callable[[dict[str, object]], Sequence[Upcasted] | None] = split) -> Module:
    """Hears `Priced`, which `Placed` of version 1 has become."""
    module = Module("shop")
    module.upcasts(Placed, from_version=1, into=(Placed, Priced))(upcaster)

    @module.after_commit
    async def book(event: Priced, tallies: Repository[Tally], effects: Effects, context: Context) -> None:
        seen.append(f"{context.message_id} {event.price}")
        tally = await tallies.find(event.order)
        if tally is None:
            tally = Tally(id=event.order)
            tallies.add(tally)
        tally.prices = [*tally.prices, event.price]
        tally.record(Counted(order=event.order))
        effects.request(Sms(to="+4915123456789", text=f"{event.price} booked."))

    @module.in_transaction
    async def count(event: Counted, tallies: Repository[Tally]) -> None:
        tally = await tallies.get(event.order)
        tally.counted = len(tally.prices)

    @module.query
    async def read_tally(query: ReadTally, tallies: Repository[Tally]) -> tuple[list[int], int]:
        tally = await tallies.find(query.order)
        return ([], 0) if tally is None else (tally.prices, tally.counted)

    return module


async def promised(start: Start, prices: list[int]) -> None:
    """The old code commits an order, and is gone."""
    before = await start(old_code(), worker=False)
    await before.app.execute(Place(order="1", prices=prices), tenant="acme", command_id="place-1")
    await before.app.stop()


async def tally(running: Running) -> tuple[list[int], int]:
    return await running.app.ask(ReadTally(order="1"), tenant="acme")


@durable
async def test_a_stored_message_that_is_several_today_is_heard_for_each_in_one_transaction(start: Start) -> None:
    await promised(start, [30, 10, 20])
    seen: list[str] = []
    after = await start(new_code(seen))
    await after.quiet()
    assert await tally(after) == ([30, 10, 20], 3)
    assert [line.split()[1] for line in seen] == ["30", "10", "20"]
    assert len({line.split()[0] for line in seen}) == 1
    assert sorted(effect.summary for effect in await after.effects()) == ["10 booked.", "20 booked.", "30 booked."]


@durable
async def test_what_is_made_of_several_has_ids_of_its_own_and_the_same_when_it_is_made_again(start: Start) -> None:
    await promised(start, [30, 10])
    requested: list[tuple[int, str]] = []
    module = Module("shop")
    module.upcasts(Placed, from_version=1, into=(Placed, Priced))(split)

    @module.after_commit
    async def book(event: Priced, effects: Effects) -> None:
        requested.append((event.price, effects.request(Sms(to="+4915123456789", text=f"{event.price} booked."))))
        if len(requested) == 2:
            raise ValueError("once more")

    running = await start(module)
    await running.quiet()
    assert requested[:2] == requested[2:]
    assert [price for price, _ in requested] == [30, 10, 30, 10]
    assert {effect.id for effect in await running.effects()} == {effect_id for _, effect_id in requested}
    assert len(await running.effects()) == 2


@durable
async def test_when_one_of_several_calls_fails_none_of_them_has_happened(start: Start) -> None:
    await promised(start, [30, 13])
    seen: list[str] = []
    failing = Module("shop")
    failing.upcasts(Placed, from_version=1, into=(Placed, Priced))(split)

    @failing.after_commit
    async def book(event: Priced, tallies: Repository[Tally]) -> None:
        seen.append(str(event.price))
        tallies.add(Tally(id=f"{event.order}-{event.price}"))
        if event.price == 13:
            raise ValueError("an unlucky price")

    running = await start(failing)
    await running.quiet()
    (parked,) = await running.app.parked("acme")
    assert (parked.message_name, parked.attempts, parked.reason) == ("Placed", 4, "ValueError: an unlucky price")
    assert seen == ["30", "13"] * 4
    await running.app.stop()
    after = await start(new_code(seen))
    assert await tally(after) == ([], 0)
    assert await after.app.unpark(parked.id, "acme")
    await after.quiet()
    assert await tally(after) == ([30, 13], 2)


@pytest.mark.parametrize("prices", [[30], []], ids=["dropped", "split into none of its type"])
@durable
async def test_a_stored_message_that_is_nothing_today_keeps_its_promise_without_a_call(
    start: Start, prices: list[int]
) -> None:
    await promised(start, prices)
    seen: list[str] = []
    after = await start(new_code(seen, drop if prices else split))
    await after.quiet()
    assert seen == []
    assert await after.app.parked("acme") == []


@durable
async def test_a_subscriber_that_hears_another_type_than_it_was_promised_is_not_passed_over_in_silence(
    start: Start,
) -> None:
    await promised(start, [1])
    module = Module("shop", messages=[PlacedV1])

    @module.after_commit
    async def book(event: Counted) -> None:
        raise AssertionError("it was promised a Placed")

    running = await start(module)
    await running.quiet()
    (parked,) = await running.app.parked("acme")
    assert "shop.book was promised a 'Placed', but hears Counted now" in parked.reason


@durable
async def test_a_message_of_a_newer_version_waits_for_the_code_that_knows_it(start: Start) -> None:
    newer = Module("shop")

    @newer.command
    async def place(command: Place, orders: Repository[Order]) -> None:
        order = Order(id=command.order)
        order.record(Placed(order=order.id))
        orders.add(order)

    heard: list[str] = []

    @newer.after_commit
    async def book(event: Placed) -> None:
        heard.append(event.order)

    before = await start(newer, worker=False)
    await before.app.execute(Place(order="1", prices=[]), tenant="acme")
    await before.app.stop()

    older = await start(old_code(), settings=quick_settings(unknown_type_wait=timedelta(milliseconds=10)))
    with pytest.raises(NotQuiet):
        await older.app.until_quiet(time_max=timedelta(milliseconds=300))
    assert await older.app.parked("acme") == []
    await older.app.stop()

    after = await start(newer)
    await after.quiet()
    assert heard == ["1"]


@durable
async def test_an_upcaster_that_raises_parks_its_message_in_sight_and_a_corrected_one_reads_it(start: Start) -> None:
    await promised(start, [30, 10])
    seen: list[str] = []

    def broken(fields: dict[str, object]) -> list[Upcasted]:
        return [Upcasted(Placed, {"order": fields["number"]}, version=2)]

    running = await start(new_code(seen, broken))
    await running.quiet()
    (parked,) = await running.app.parked("acme")
    assert parked.attempts == 4
    assert "from version 1 failed on the stored message" in parked.reason
    assert "KeyError: 'number'" in parked.reason
    await running.app.stop()

    corrected = await start(new_code(seen))
    assert await corrected.app.unpark(parked.id, "acme")
    await corrected.quiet()
    assert await tally(corrected) == ([30, 10], 2)


# What the start refuses.


def mistakes_of(module: Module) -> str:
    with pytest.raises(ConfigurationError) as refused:
        Duly(modules=[module], store="memory:")
    return str(refused.value)


class Document(Aggregate, version=2): ...


class Told(PublicEvent): ...


def test_what_an_upcaster_may_make_is_of_the_same_kind_as_what_was_stored() -> None:
    module = Module("shop")
    module.upcasts(Placed, from_version=1, into=(Told,))(split)
    assert "makes Told, but what was a DomainEvent becomes DomainEvents only" in mistakes_of(module)
    module = Module("shop")
    module.upcasts(Placed, from_version=1, into=(Document,))(split)  # type: ignore[arg-type]
    assert "in into=(…), which is no type of messages" in mistakes_of(module)


def test_a_document_is_not_split() -> None:
    module = Module("shop")
    module.upcasts(Document, from_version=1, into=(Placed,))(split)  # type: ignore[arg-type]
    assert "has into=(…), but a document stays one document" in mistakes_of(module)
    module = Module("shop")
    module.upcasts(Document, from_version=1)(split)  # type: ignore[arg-type]
    assert "a document stays one document: return its fields" in mistakes_of(module)


@pytest.mark.parametrize("upcaster", [split, drop], ids=lambda upcaster: upcaster.__name__)
def test_an_upcaster_that_splits_or_drops_says_what_it_makes(
    upcaster: Callable[[dict[str, object]], dict[str, object]],
) -> None:
    module = Module("shop")
    module.upcasts(Placed, from_version=1)(upcaster)
    assert "say which types it makes: into=(…)" in mistakes_of(module)


def test_types_that_are_only_made_have_stored_names_of_their_own_too() -> None:
    class Same(DomainEvent, name="Placed"): ...

    module = Module("shop")
    module.upcasts(Placed, from_version=1, into=(Same,))(split)
    assert "Two messages have the stored name 'Placed'" in mistakes_of(module)
