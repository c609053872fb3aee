"""P4, P5, P11: promises, their order, their failures, and who keeps them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import timedelta

import pytest

from duly import Aggregate, Command, Context, DomainEvent, Module, Query, Repository, RetrySchedule, RuleBroken, Sms
from duly.errors import InvalidField, NotQuiet
from duly.gateways.recording import RecordingGateway
from tests.scenarios.running import Running, Start, durable, quick_settings


class Said(DomainEvent):
    room: str
    number: int
    mood: str = "fine"


class Room(Aggregate):
    said: int = 0


class Say(Command):
    room: str
    count: int = 1
    mood: str = "fine"


class Heard(Aggregate):
    numbers: list[int] = []


class HeardIn(Query[list[int]]):
    room: str


class Ears:
    """What subscribers heard, and how they are to behave: outside of the application, as the world is."""

    def __init__(self) -> None:
        self.fast: dict[str, list[int]] = defaultdict(list)
        self.failing: set[str] = set()
        self.handled_by: dict[int, str] = {}
        self.calls = 0
        self.called_three_times = asyncio.Event()


def rooms(ears: Ears, *, renamed: bool = False, keyed: bool = False) -> Module:
    """A module with two subscribers of one event; the second fails in the rooms that `ears` says."""
    module = Module("rooms")

    async def say(command: Say, rooms: Repository[Room]) -> None:
        room = await rooms.find(command.room)
        if room is None:
            room = Room(id=command.room)
            rooms.add(room)
        for _ in range(command.count):
            room.said += 1
            room.record(Said(room=room.id, number=room.said, mood=command.mood))

    async def write_down(event: Said, heard: Repository[Heard], context: Context) -> None:
        ears.calls += 1
        if ears.calls >= 3:
            ears.called_three_times.set()
        if event.room in ears.failing:
            raise RuleBroken("not now")
        if event.mood == "malformed":
            raise InvalidField("mood", "this can never be heard")
        notes = await heard.find(event.room)
        if notes is None:
            notes = Heard(id=event.room)
            heard.add(notes)
        notes.numbers = [*notes.numbers, event.number]
        ears.handled_by[event.number] = context.handler

    async def listen(event: Said) -> None:
        ears.fast[event.room].append(event.number)

    async def heard_in(query: HeardIn, heard: Repository[Heard]) -> list[int]:
        notes = await heard.find(query.room)
        return [] if notes is None else notes.numbers

    module.command(say)
    if renamed:
        module.after_commit(name="note", formerly=("write_down",))(write_down)
    elif keyed:
        module.after_commit(key="mood")(write_down)
    else:
        module.after_commit(write_down)
    module.after_commit(listen)
    module.query(heard_in)
    return module


async def numbers(running: Running, room: str = "a") -> list[int]:
    return await running.app.ask(HeardIn(room=room), tenant="acme")


async def test_events_of_one_stream_reach_a_subscriber_in_the_order_of_their_commits(start: Start) -> None:
    running = await start(rooms(Ears()))
    for _ in range(20):
        await running.app.execute(Say(room="a", count=2), tenant="acme")
    await running.quiet()
    assert await numbers(running) == list(range(1, 41))


async def test_a_failing_subscriber_delays_nobody_but_itself(start: Start) -> None:
    ears = Ears()
    ears.failing.add("a")
    retry = RetrySchedule((timedelta(hours=5),))
    running = await start(rooms(ears), settings=quick_settings(retry=retry))
    for room in ("a", "b"):
        await running.app.execute(Say(room=room, count=3), tenant="acme")
    await running.quiet(within=timedelta(0))
    assert (await numbers(running, "a"), await numbers(running, "b")) == ([], [1, 2, 3])
    assert ears.fast == {"a": [1, 2, 3], "b": [1, 2, 3]}
    assert await running.app.parked("acme") == []


async def test_a_lane_that_recovers_goes_on_where_it_stood(start: Start) -> None:
    ears = Ears()
    ears.failing.add("a")
    retry = RetrySchedule((timedelta(milliseconds=10),) * 500)
    running = await start(rooms(ears), settings=quick_settings(retry=retry))
    await running.app.execute(Say(room="a", count=5), tenant="acme")
    await ears.called_three_times.wait()
    ears.failing.clear()
    await running.quiet()
    assert await numbers(running) == [1, 2, 3, 4, 5]


async def test_after_the_last_attempt_a_message_is_parked_and_its_lane_goes_on(start: Start) -> None:
    ears = Ears()
    ears.failing.add("a")
    running = await start(rooms(ears))
    await running.app.execute(Say(room="a", count=2), tenant="acme")
    await running.quiet()
    parked = await running.app.parked("acme")
    assert [(row.subscriber, row.message_name, row.attempts, row.reason) for row in parked] == [
        ("rooms.write_down", "Said", 4, "not now"),
        ("rooms.write_down", "Said", 4, "not now"),
    ]
    assert await running.app.parked("globex") == []
    ears.failing.clear()
    await running.app.execute(Say(room="a"), tenant="acme")
    await running.quiet()
    assert await numbers(running) == [3]
    assert not await running.app.unpark(parked[0].id, "globex")
    for row in reversed(parked):
        assert await running.app.unpark(row.id, "acme")
    await running.quiet()
    assert await numbers(running) == [3, 1, 2]


async def test_a_subscriber_without_retries_survives_conflicts_and_parks_at_the_first_failure(start: Start) -> None:
    ears = Ears()
    ears.failing.add("a")
    running = await start(rooms(ears), settings=quick_settings(retry=RetrySchedule(())))
    await running.app.execute(Say(room="a"), tenant="acme")
    await running.quiet()
    assert [row.attempts for row in await running.app.parked("acme")] == [1]


async def test_a_message_that_can_never_be_handled_is_parked_at_once(start: Start) -> None:
    running = await start(rooms(Ears()))
    await running.app.execute(Say(room="a", mood="malformed"), tenant="acme")
    await running.quiet()
    (parked,) = await running.app.parked("acme")
    assert (parked.attempts, parked.reason) == (1, "this can never be heard")


@durable
async def test_a_renamed_subscriber_takes_over_the_backlog_of_its_former_name(start: Start) -> None:
    ears = Ears()
    before = await start(rooms(ears), worker=False)
    await before.app.execute(Say(room="a", count=2), tenant="acme")
    await before.app.stop()
    after = await start(rooms(ears, renamed=True))
    await after.app.execute(Say(room="a"), tenant="acme")
    await after.quiet()
    assert await numbers(after) == [1, 2, 3]
    assert set(ears.handled_by.values()) == {"rooms.note"}


async def test_a_key_of_the_users_orders_messages_of_several_aggregates(start: Start) -> None:
    running = await start(rooms(Ears(), keyed=True))
    await asyncio.gather(*(running.app.execute(Say(room=f"r{n}"), tenant="acme") for n in range(10)))
    await running.quiet()
    assert [await numbers(running, f"r{n}") for n in range(10)] == [[1]] * 10


@durable
async def test_two_workers_share_the_lanes_and_keep_their_order(start: Start) -> None:
    first = await start(rooms(Ears()), settings=quick_settings(lease=timedelta(milliseconds=600)))
    second = await start(rooms(Ears()), settings=quick_settings(lease=timedelta(milliseconds=600)))
    for round_number in range(10):
        await asyncio.gather(
            *(
                (first, second)[round_number % 2].app.execute(Say(room=f"r{n}", count=3), tenant="acme")
                for n in range(8)
            )
        )
    await first.quiet()
    for n in range(8):
        assert await numbers(first, f"r{n}") == list(range(1, 31))


async def test_until_quiet_says_what_is_left_when_nobody_works(start: Start) -> None:
    running = await start(rooms(Ears()), worker=False)
    await running.app.execute(Say(room="a"), tenant="acme")
    with pytest.raises(NotQuiet, match="2 undelivered messages"):
        await running.app.until_quiet(time_max=timedelta(milliseconds=50))


@durable
async def test_what_was_promised_before_a_restart_is_kept_after_it(start: Start) -> None:
    ears = Ears()
    before = await start(rooms(ears), worker=False)
    await before.app.execute(Say(room="a", count=3), tenant="acme")
    await before.app.stop()
    after = await start(rooms(ears))
    await after.quiet()
    assert await numbers(after) == [1, 2, 3]


@durable
async def test_messages_that_this_code_does_not_know_wait_for_code_that_does(start: Start) -> None:
    before = await start(rooms(Ears()), worker=False)
    await before.app.execute(Say(room="a"), tenant="acme")
    await before.app.stop()

    class Other(DomainEvent, name="Other"):
        room: str

    elsewhere = Module("rooms")

    async def write_down(event: Said) -> None:
        raise AssertionError("not reached: the type has another stored name here")

    write_down.__annotations__ = {"event": Other, "return": None}
    elsewhere.after_commit(write_down)
    old = await start(elsewhere, settings=quick_settings(unknown_type_wait=timedelta(milliseconds=10)))
    with pytest.raises(NotQuiet):
        await old.app.until_quiet(time_max=timedelta(milliseconds=300))
    assert await old.app.parked("acme") == []
    await old.app.stop()
    new = await start(rooms(Ears()))
    await new.quiet()
    assert await numbers(new) == [1]


async def test_a_gateway_for_nothing_that_is_said_does_no_harm(start: Start) -> None:
    running = await start(rooms(Ears()), gateways=[RecordingGateway(Sms)])
    await running.quiet()
