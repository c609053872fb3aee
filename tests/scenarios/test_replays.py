"""What a subscriber would do with the past, and letting it hear the past on purpose."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

import pytest

from duly import (
    Aggregate,
    Attachments,
    Command,
    Context,
    DomainEvent,
    Effects,
    Email,
    Index,
    InvalidInput,
    Module,
    Personal,
    PublicEvent,
    Repository,
    Sms,
    Sql,
)
from duly.attachments.memory import MemoryAttachments
from duly.delivery import replay as replay_module
from duly.delivery.dry_run import Forgetful
from duly.errors import BackfillUnfinished
from duly.ports.store import Committing, Reading
from duly.testing.failures import at_failpoints
from tests.scenarios.running import Running, Start, durable


class Order(Aggregate):
    phone: Personal[str] = ""


class Seen(Aggregate):
    order_id: Annotated[str, Index] = ""


class OrderPlaced(DomainEvent):
    order_id: str
    phone: Personal[str]


class OrderNoted(DomainEvent):
    order_id: str


class OrderPlacedPublic(PublicEvent):
    order_id: str


class PlaceOrder(Command):
    order_id: str
    phone: Personal[str] = "+4915123456789"


NOTED = ("CREATE TABLE noted (id TEXT NOT NULL)",)


def ordering(tables: tuple[str, ...] = ()) -> Module:
    module = Module("ordering", tables=tables)

    @module.command
    async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
        order = Order(id=command.order_id, phone=command.phone)
        order.record(OrderPlaced(order_id=order.id, phone=command.phone))
        orders.add(order)

    @module.publishes
    def order_placed(event: OrderPlaced) -> OrderPlacedPublic:
        return OrderPlacedPublic(order_id=event.order_id)

    return module


def with_texts(module: Module) -> Module:
    @module.after_commit
    async def text_customer(event: OrderPlaced, effects: Effects) -> None:
        effects.request(Sms(to=event.phone, text=f"We have your order {event.order_id}."))

    return module


def with_notes(module: Module) -> Module:
    """A subscriber that does a little of everything."""

    @module.after_commit(key="order_id")
    async def note_order(
        event: OrderPlaced,
        seen: Repository[Seen],
        effects: Effects,
        attachments: Attachments,
        sql: Sql,
    ) -> None:
        if event.order_id == "o-2":
            raise ValueError("cannot be noted")
        note = Seen(id=event.order_id, order_id=event.order_id)
        note.record(OrderNoted(order_id=event.order_id))
        seen.add(note)
        bill = await attachments.keep("bill.txt", b"a bill", content_type="text/plain")
        effects.request(Email(to="a@example.com", subject="Bill", text="Here", attachments=(bill,)))
        await sql.execute("INSERT INTO noted (id) VALUES (:id)", id=event.order_id)

    return module


async def place(running: Running, *order_ids: str, tenant: str = "acme") -> None:
    for order_id in order_ids:
        await running.app.execute(PlaceOrder(order_id=order_id), tenant=tenant)
    await running.quiet()


async def texts(running: Running) -> list[str]:
    return sorted(view.summary for view in await running.effects())


async def a_past(start: Start) -> None:
    """Three orders of one tenant and one of another, of a time when nobody texted."""
    before = await start(ordering())
    await place(before, "o-1", "o-2", "o-3")
    await place(before, "o-9", tenant="other")
    await before.app.stop()


@durable
async def test_a_new_subscriber_starts_now(start: Start) -> None:
    await a_past(start)
    after = await start(with_texts(ordering()))
    await place(after, "o-4")
    assert await texts(after) == ["We have your order o-4."]


@durable
async def test_the_past_that_a_subscriber_did_not_hear_is_counted(start: Start) -> None:
    await a_past(start)
    after = await start(with_texts(ordering()))
    await place(after, "o-4")
    counted = await after.app.replay("ordering.text_customer", tenant="acme").count()
    assert dict(counted.by_name) == {OrderPlaced.__duly__.name: 3}
    assert counted.heard == 1
    assert counted.first_at is not None
    assert counted.last_at is not None
    assert counted.first_at <= counted.last_at < counted.began_at
    assert await texts(after) == ["We have your order o-4."]


@durable
async def test_a_range_of_time_narrows_the_past(start: Start) -> None:
    before = await start(ordering())
    await place(before, "o-1")
    await asyncio.sleep(0.005)
    middle = datetime.now(UTC)
    await asyncio.sleep(0.005)
    await place(before, "o-2", "o-3")
    await before.app.stop()
    after = await start(with_texts(ordering()))
    until = await after.app.replay("ordering.text_customer", tenant="acme", until=middle).count()
    since = await after.app.replay("ordering.text_customer", tenant="acme", since=middle).count()
    assert (until.messages, since.messages) == (1, 2)


@durable
async def test_a_dry_run_counts_and_does_nothing(start: Start) -> None:
    await a_past(start)
    after = await start(with_texts(ordering()))
    seen: list[tuple[int, int]] = []
    dry = await after.app.replay("ordering.text_customer", tenant="acme").dry_run(
        on_progress=lambda done, total: seen.append((done, total))
    )
    assert dry.messages == 3
    assert [(effect.type, effect.new, effect.known) for effect in dry.effects] == [("duly.sms", 3, 0)]
    assert not dry.errors
    assert seen == [(3, 3)]
    await after.quiet()
    assert await texts(after) == []
    assert after.gateway.calls == []


async def test_a_dry_run_tells_what_the_ledger_has_already(start: Start) -> None:
    running = await start(with_texts(ordering()))
    await place(running, "o-1", "o-2")
    dry = await running.app.replay("ordering.text_customer", tenant="acme", even_if_heard=True).dry_run()
    assert [(effect.type, effect.new, effect.known, effect.differing) for effect in dry.effects] == [
        ("duly.sms", 0, 2, 0)
    ]
    assert len(running.gateway.calls) == 2


@durable
async def test_a_dry_run_of_a_subscriber_that_does_everything_leaves_nothing(start: Start) -> None:
    attachments = MemoryAttachments()
    before = await start(ordering(tables=NOTED), attachments=attachments)
    await place(before, "o-1", "o-2", "o-3")
    await before.app.stop()
    after = await start(with_notes(ordering(tables=NOTED)), attachments=attachments)
    held = await everything(after, attachments)
    dry = await after.app.replay("ordering.note_order", tenant="acme").dry_run()
    assert dict(dry.documents) == {Seen.__duly__.name: 2}
    assert dict(dry.events) == {OrderNoted.__duly__.name: 2}
    assert [(effect.type, effect.new) for effect in dry.effects] == [("duly.email", 2)]
    assert [(error.error, error.count) for error in dry.errors] == [("ValueError", 1)]
    assert "cannot be noted" in dry.errors[0].example
    assert await everything(after, attachments) == held


async def test_a_dry_run_tells_what_would_be_refused(start: Start) -> None:
    module = ordering()

    @module.after_commit
    async def see_order(event: OrderPlaced, seen: Repository[Seen]) -> None:
        seen.add(Seen(id=event.order_id, order_id=event.order_id))

    running = await start(module)
    await place(running, "o-1", "o-2")
    dry = await running.app.replay("ordering.see_order", tenant="acme", even_if_heard=True).dry_run()
    assert [(error.error, error.count) for error in dry.errors] == [("AggregateExists", 2)]
    assert not dry.documents


async def everything(running: Running, attachments: MemoryAttachments) -> tuple[object, ...]:
    """What a dry run must leave as it was."""
    views = await running.effects()
    noted = await running.app._store.select("SELECT count(*) AS n FROM noted", {})
    return (
        len(views),
        [(view.id, view.state) for view in views],
        len(running.gateway.calls),
        noted,
        dict(attachments._kept),
        [await running.app._store.document("acme", Seen.__duly__.name, f"o-{number}") for number in (1, 2, 3)],
    )


@durable
async def test_a_backfill_lets_a_subscriber_hear_the_past_in_its_order(start: Start) -> None:
    await a_past(start)
    heard: list[str] = []
    module = ordering()

    @module.after_commit(key="phone")
    async def listen(event: OrderPlaced, context: Context) -> None:
        heard.append(f"{context.tenant}/{event.order_id}")

    after = await start(module)
    await place(after, "o-4")
    replay = after.app.replay("ordering.listen", tenant="acme")
    done = await replay.backfill(await replay.count(), by="ann", reason="they want to know")
    await after.quiet()
    assert (done.promised, done.total) == (3, 3)
    assert done.ended_at is not None
    assert heard == ["acme/o-4", "acme/o-1", "acme/o-2", "acme/o-3"]
    (row,) = await after.app.operate("acme", by="ann").audit()
    assert (row.verb, row.by, row.reason) == ("backfill", "ann", "they want to know")


@durable
async def test_a_backfill_of_what_was_heard_makes_no_second_effect(start: Start) -> None:
    before = await start(ordering())
    await place(before, "o-1", "o-2")
    await before.app.stop()
    after = await start(with_texts(ordering()))
    await place(after, "o-3", "o-4")
    replay = after.app.replay("ordering.text_customer", tenant="acme", even_if_heard=True)
    counted = await replay.count()
    assert (counted.messages, counted.heard) == (4, 0)
    await replay.backfill(counted, by="ann", reason="all of them")
    await after.quiet()
    assert await texts(after) == [f"We have your order o-{number}." for number in (1, 2, 3, 4)]
    assert len(after.gateway.calls) == 4


@durable
async def test_a_count_is_promised_once_however_often_it_is_asked_for(start: Start) -> None:
    await a_past(start)
    after = await start(with_texts(ordering()), worker=False)
    replay = after.app.replay("ordering.text_customer", tenant="acme")
    counted = await replay.count()
    await asyncio.gather(*(replay.backfill(counted, by="ann", reason="once") for _ in range(4)))
    await replay.backfill(counted, by="ben", reason="once more")
    assert await after.app._store.undelivered(timedelta(0)) == 3
    again = await replay.count()
    assert (again.messages, again.heard) == (0, 3)


@durable
async def test_a_backfill_that_is_cut_short_goes_on_where_it_was(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "PAST_ROWS_MAX", 1)
    await a_past(start)
    after = await start(with_texts(ordering()), worker=False)
    replay = after.app.replay("ordering.text_customer", tenant="acme")
    counted = await replay.count()
    batches: list[str] = []

    def cut(point: str) -> None:
        batches.append(point)
        if batches.count("backfill.before_commit") == 2:
            raise RuntimeError("the power is gone")

    with at_failpoints(cut), pytest.raises(RuntimeError):
        await replay.backfill(counted, by="ann", reason="cut short")
    assert await after.app._store.undelivered(timedelta(0)) == 1
    rest = await replay.count()
    assert rest.messages == 2
    with pytest.raises(BackfillUnfinished, match="ann"):
        await replay.backfill(rest, by="ben", reason="another one")
    done = await replay.resume()
    assert done is not None
    assert done.promised == 3
    assert await after.app._store.undelivered(timedelta(0)) == 3
    assert await replay.resume() is None


def test_a_dry_run_has_no_way_to_write_but_those_that_it_forgets() -> None:
    ways = {name for name in set(dir(Committing)) - set(dir(Reading)) if not name.startswith("_")}
    assert ways == {"commit", "begin"}
    assert ways <= vars(Forgetful).keys()


async def test_nobody_replays_for_a_subscriber_that_there_is_not(start: Start) -> None:
    running = await start(with_texts(ordering()))
    with pytest.raises(InvalidInput, match=r"Subscribers are: ordering\.text_customer"):
        running.app.replay("ordering.text_custmer", tenant="acme")
    with pytest.raises(InvalidInput, match="time zone"):
        running.app.replay("ordering.text_customer", tenant="acme", since=datetime(2026, 1, 1))
    replay = running.app.replay("ordering.text_customer", tenant="acme")
    with pytest.raises(InvalidInput, match="Say why"):
        await replay.backfill(await replay.count(), by="ann", reason=" ")
