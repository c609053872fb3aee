"""Messages that are delivered at a time or after a delay, by the database's clock, and may be withdrawn until then."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from duly import (
    Aggregate,
    Command,
    CommandIdReused,
    Commands,
    ConfigurationError,
    Context,
    DomainEvent,
    Duly,
    Effects,
    InvalidInput,
    Module,
    Query,
    Repository,
    RuleBroken,
    Sms,
)
from duly.errors import NotQuiet, UnknownCommand
from tests.scenarios.desk import shift_clock
from tests.scenarios.running import Running, Start, durable, quick_settings

DAYS = timedelta(days=3)


class Booked(DomainEvent):
    booking: str


class Booking(Aggregate):
    reminders: int = 0


class Book(Command):
    booking: str
    remind_in: timedelta | None = None
    fails: bool = False


class Remind(Command):
    booking: str


class Reminded(Query[int]):
    booking: str


class CallOff(Command):
    booking: str
    reminder: str


class Unhandled(Command):
    pass


class Booker:
    """A module, and what its handlers saw."""

    def __init__(self) -> None:
        self.module = Module("bookings")
        self.reminders: dict[str, str] = {}
        self.reminded: list[str] = []
        self.followed_up: list[str] = []
        self.is_broken = False
        self.module.command(self.book)
        self.module.command(self.remind)
        self.module.command(self.call_off)
        self.module.query(self.count_reminders)
        self.module.after_commit(after=DAYS)(self.follow_up)

    async def book(self, command: Book, bookings: Repository[Booking], commands: Commands) -> None:
        booking = Booking(id=command.booking)
        booking.record(Booked(booking=booking.id))
        bookings.add(booking)
        if command.remind_in is not None:
            self.reminders[booking.id] = commands.send(Remind(booking=booking.id), at=command.remind_in, key="reminder")
        else:
            commands.send(Remind(booking=booking.id))
        if command.fails:
            raise RuleBroken("no room")

    async def remind(self, command: Remind, bookings: Repository[Booking], effects: Effects, context: Context) -> None:
        if self.is_broken:
            raise RuntimeError("not now")
        booking = await bookings.get(command.booking)
        booking.reminders += 1
        self.reminded.append(command.booking)
        effects.request(Sms(to="+41790000001", text=f"Remember {command.booking}"))
        assert context.chain[-1].name == "Remind"

    async def call_off(self, command: CallOff, bookings: Repository[Booking], commands: Commands) -> None:
        booking = await bookings.get(command.booking)
        bookings.remove(booking)
        commands.cancel(command.reminder)

    async def count_reminders(self, query: Reminded, bookings: Repository[Booking]) -> int:
        return (await bookings.get(query.booking)).reminders

    async def follow_up(self, event: Booked) -> None:
        self.followed_up.append(event.booking)


async def wait(app: Running, days: float) -> None:
    """So many days go by on the database's clock."""
    shift_clock(app, timedelta(days=days))


async def test_a_command_that_a_handler_sends_runs_after_the_commit_in_a_transaction_of_its_own(start: Start) -> None:
    booker = Booker()
    app = await start(booker.module)
    await app.app.execute(Book(booking="b-1"), tenant="acme")
    await app.quiet()
    assert booker.reminded == ["b-1"]
    (effect,) = await app.effects()
    assert effect.type == "duly.sms"


async def test_a_command_of_a_handler_that_fails_is_never_sent(start: Start) -> None:
    booker = Booker()
    app = await start(booker.module)
    with pytest.raises(RuleBroken):
        await app.app.execute(Book(booking="b-1", fails=True), tenant="acme")
    await app.quiet()
    assert booker.reminded == []
    assert await app.app.waiting("acme") == []


async def test_a_command_waits_for_its_time(start: Start) -> None:
    booker = Booker()
    app = await start(booker.module)
    await app.app.execute(Book(booking="b-1", remind_in=DAYS), tenant="acme")
    await app.quiet()
    assert booker.reminded == []
    waiting = await app.app.waiting("acme")
    assert sorted((row.message_name, row.subscriber) for row in waiting) == [
        ("Booked", "bookings.follow_up"),
        ("Remind", "duly.commands"),
    ]
    assert all(row.due_at - datetime.now(UTC) > timedelta(days=2) for row in waiting)
    await wait(app, 3.01)
    await app.quiet()
    assert booker.reminded == ["b-1"]
    assert booker.followed_up == ["b-1"]
    assert await app.app.waiting("acme") == []


async def test_a_command_that_waits_is_withdrawn_with_the_transaction_that_does_so(start: Start) -> None:
    booker = Booker()
    app = await start(booker.module)
    await app.app.execute(Book(booking="b-1", remind_in=DAYS), tenant="acme")
    await app.app.execute(CallOff(booking="b-1", reminder=booker.reminders["b-1"]), tenant="acme")
    await wait(app, 4)
    await app.quiet()
    assert booker.reminded == []


async def test_another_tenant_cannot_withdraw_it(start: Start) -> None:
    booker = Booker()
    app = await start(booker.module)
    await app.app.execute(Book(booking="b-1", remind_in=DAYS), tenant="acme")
    assert await app.app.cancel(booker.reminders["b-1"], tenant="globex") is False
    assert await app.app.waiting("globex") == []
    assert await app.app.cancel(booker.reminders["b-1"], tenant="acme") is True
    assert await app.app.cancel(booker.reminders["b-1"], tenant="acme") is False
    await wait(app, 4)
    await app.quiet()
    assert booker.reminded == []


async def test_a_command_is_scheduled_once_per_id(start: Start) -> None:
    booker = Booker()
    app = await start(booker.module)
    await app.app.execute(Book(booking="b-1", remind_in=timedelta(days=30)), tenant="acme")
    for _ in range(2):
        scheduled = await app.app.schedule(Remind(booking="b-1"), at=DAYS, tenant="acme", command_id="remind-1")
        assert scheduled == "remind-1"
    with pytest.raises(CommandIdReused, match="remind-1"):
        await app.app.schedule(Remind(booking="b-2"), at=DAYS, tenant="acme", command_id="remind-1")
    await wait(app, 4)
    await app.quiet()
    await app.app.schedule(Remind(booking="b-1"), at=DAYS, tenant="acme", command_id="remind-1")
    await wait(app, 4)
    await app.quiet()
    assert booker.reminded == ["b-1"]


async def test_it_is_scheduled_at_a_time_with_a_zone(start: Start) -> None:
    booker = Booker()
    app = await start(booker.module)
    await app.app.execute(Book(booking="b-1", remind_in=timedelta(days=30)), tenant="acme")
    await app.app.schedule(Remind(booking="b-1"), at=datetime.now(UTC) + DAYS, tenant="acme")
    with pytest.raises(InvalidInput, match="no time zone"):
        await app.app.schedule(Remind(booking="b-1"), at=datetime(2030, 1, 1), tenant="acme")
    with pytest.raises(InvalidInput, match="before the commit"):
        await app.app.schedule(Remind(booking="b-1"), at=timedelta(days=-1), tenant="acme")
    with pytest.raises(UnknownCommand, match="Unhandled"):
        await app.app.schedule(Unhandled(), at=DAYS, tenant="acme")
    await wait(app, 2.9)
    await app.quiet()
    assert booker.reminded == []
    await wait(app, 0.2)
    await app.quiet()
    assert booker.reminded == ["b-1"]


async def test_what_becomes_due_is_delivered_in_the_order_of_its_times(start: Start) -> None:
    booker = Booker()
    app = await start(booker.module)
    for number in (3, 1, 2):
        await app.app.execute(Book(booking=f"b-{number}", remind_in=timedelta(days=number)), tenant="acme")
    await app.quiet()
    for _ in range(3):
        await wait(app, 1)
        await app.quiet()
    assert booker.reminded == ["b-1", "b-2", "b-3"]


async def test_a_command_that_fails_is_tried_again_and_then_parked(start: Start) -> None:
    booker = Booker()
    app = await start(booker.module, settings=quick_settings())
    booker.is_broken = True
    await app.app.execute(Book(booking="b-1"), tenant="acme")
    await app.quiet()
    (parked,) = await app.app.parked("acme")
    assert (parked.subscriber, parked.message_name, parked.attempts) == ("duly.commands", "Remind", 4)
    booker.is_broken = False
    assert await app.app.unpark(parked.id, "acme")
    await app.quiet()
    assert booker.reminded == ["b-1"]


async def test_until_quiet_waits_for_what_is_due_soon(start: Start) -> None:
    booker = Booker()
    app = await start(booker.module)
    await app.app.execute(Book(booking="b-1", remind_in=timedelta(milliseconds=200)), tenant="acme")
    await app.quiet()
    assert booker.reminded == ["b-1"]
    await app.app.execute(Book(booking="b-2", remind_in=timedelta(seconds=9)), tenant="acme")
    with pytest.raises(NotQuiet):
        await app.app.until_quiet(time_max=timedelta(milliseconds=100))


@durable
async def test_two_workers_deliver_what_becomes_due_once(start: Start) -> None:
    booker = Booker()
    one = await start(booker.module)
    two = await start(booker.module)
    await asyncio.gather(
        *(one.app.execute(Book(booking=f"b-{n}", remind_in=timedelta(seconds=1)), tenant="acme") for n in range(40))
    )
    await wait(one, 1)
    await wait(two, 1)
    await one.quiet()
    # A day passes at once, and with it the leases: what one worker has begun, the other may begin again. What they
    # write is written once.
    assert set(booker.reminded) == {f"b-{n}" for n in range(40)}
    assert [await one.app.ask(Reminded(booking=f"b-{n}"), tenant="acme") for n in range(40)] == [1] * 40
    assert len(await one.effects()) == 40


def test_a_wait_that_is_none_is_refused_at_the_start() -> None:
    module = Module("bookings")

    @module.after_commit(after=timedelta(0))
    async def at_once(event: Booked) -> None: ...

    with pytest.raises(ConfigurationError, match="after=0:00:00 is no wait"):
        Duly(modules=[module], store="memory:")
