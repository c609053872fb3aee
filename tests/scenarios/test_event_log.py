"""The event log as an application reads it, and commands whose callers wait for read models; on every store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from duly import (
    Aggregate,
    AggregateExists,
    Command,
    DomainEvent,
    InvalidInput,
    InvalidTenant,
    Logged,
    Module,
    NotReached,
    Projection,
    Query,
    Reader,
    RecordedEvent,
    Repository,
    Tables,
    UnknownMessageType,
)
from tests.scenarios.running import Running, Start, durable

SHORT = timedelta(milliseconds=50)


class Open(Command[str]):
    number: str
    lines: int = 1


class Look(Command[int]):
    number: str


class Opened(DomainEvent):
    number: str


class LineAdded(DomainEvent):
    number: str
    line: int


class Order(Aggregate, name="log.Order"):
    lines: int = 0


class Numbers(Query[list[str]]):
    pass


def orders(*projections: Projection, offers: bool = True) -> Module:
    """A module with these projections. What is not offered, and not heard, nobody knows."""
    module = Module("log", messages=[Opened, LineAdded] if offers else [], projections=list(projections))

    @module.command
    async def open_order(command: Open, orders: Repository[Order]) -> str:
        order = Order(id=command.number, lines=command.lines)
        order.record(Opened(number=command.number))
        for line in range(command.lines):
            order.record(LineAdded(number=command.number, line=line))
        orders.add(order)
        return f"opened {command.number}"

    @module.command
    async def look(command: Look, orders: Repository[Order]) -> int:
        return (await orders.get(command.number)).lines

    @module.query
    async def numbers(query: Numbers, reader: Reader) -> list[str]:
        return [str(row["number"]) for row in await reader.fetch_all("SELECT number FROM log_number ORDER BY position")]

    return module


def number_list(gate: asyncio.Event | None = None, *, in_transaction: bool = False) -> Projection:
    """A table of numbers; with a *gate*, it waits for it."""
    table = "CREATE TABLE {log_number} (number text NOT NULL, position bigint NOT NULL)"
    listed = Projection("numbers", tables={"log_number": table}, in_transaction=in_transaction, every_tenant=True)

    if in_transaction:

        @listed.on
        async def at_once(event: Opened, tables: Tables) -> None:
            await tables.execute("INSERT INTO {log_number} (number, position) VALUES (:n, 0)", n=event.number)

    else:

        @listed.on
        async def opened(event: Opened, tables: Tables, at: Logged) -> None:
            if gate is not None:
                await gate.wait()
            add = "INSERT INTO {log_number} (number, position) VALUES (:n, :p)"
            await tables.execute(add, n=event.number, p=at.position)

    return listed


async def recorded(running: Running, *, after: int = 0, **options: object) -> list[RecordedEvent]:
    """What the log says now, once everything has its position."""
    await running.quiet()
    while await running.app._store.number_commits(100):
        pass
    options = {"tenant": "acme", **options}
    return [event async for event in running.app.log(after=after, **options)]  # type: ignore[arg-type]


# Reading.


async def test_the_log_holds_every_event_in_order_with_where_it_came_from(start: Start) -> None:
    running = await start(orders())
    for number in ("o-1", "o-2"):
        await running.app.execute(Open(number=number, lines=2), tenant="acme", command_id=f"open {number}")
    found = await recorded(running)
    assert [event.event for event in found] == [
        event
        for number in ("o-1", "o-2")
        for event in (Opened(number=number), LineAdded(number=number, line=0), LineAdded(number=number, line=1))
    ]
    assert [event.position for event in found] == [1, 2, 3, 4, 5, 6]
    assert [(event.stream, event.version) for event in found[:3]] == [("log.Order/o-1", 1)] * 3
    assert len({event.id for event in found}) == 6
    assert len({event.correlation for event in found}) == 2
    assert all(event.cause == event.correlation for event in found)
    assert found[0].at <= found[-1].at


async def test_a_tenant_reads_its_own_events_and_who_asks_for_it_those_of_all(start: Start) -> None:
    running = await start(orders())
    for number, tenant in enumerate(("acme", "other", "acme")):
        await running.app.execute(Open(number=f"o-{number}", lines=0), tenant=tenant)
    assert [event.position for event in await recorded(running)] == [1, 3]
    assert [event.position for event in await recorded(running, tenant="other")] == [2]
    everybody = await recorded(running, tenant=None, every_tenant=True)
    assert [(event.position, event.tenant) for event in everybody] == [(1, "acme"), (2, "other"), (3, "acme")]
    with pytest.raises(InvalidTenant):
        running.app.log()


async def test_reading_goes_on_where_it_ended_also_behind_what_it_did_not_want(start: Start) -> None:
    running = await start(orders())
    await running.app.execute(Open(number="o-1", lines=3), tenant="acme")
    await recorded(running)
    log = running.app.log("acme", types=[Opened])
    assert [event.event async for event in log] == [Opened(number="o-1")]
    assert log.position == 4
    assert [event async for event in log] == []
    await running.app.execute(Open(number="o-2"), tenant="acme")
    await recorded(running)
    assert [(event.position, event.event) async for event in log] == [(5, Opened(number="o-2"))]
    assert [event.position for event in await recorded(running, after=3)] == [4, 5, 6]


async def test_reading_that_is_left_in_the_middle_goes_on_with_the_next_event(start: Start) -> None:
    running = await start(orders())
    await running.app.execute(Open(number="o-1", lines=3), tenant="acme")
    await recorded(running)
    log = running.app.log("acme")
    async for event in log:
        if event.position == 2:
            break
    assert [event.position async for event in log] == [3, 4]


async def test_reading_stops_before_an_event_that_this_code_does_not_know(start: Start) -> None:
    running = await start(orders(offers=False))
    await running.app.execute(Open(number="o-1"), tenant="acme")
    with pytest.raises(UnknownMessageType):
        await recorded(running)
    log = running.app.log("acme")
    with pytest.raises(UnknownMessageType):
        [event async for event in log]
    assert log.position == 0


async def test_events_that_nobody_hears_are_read_by_whoever_names_their_types(start: Start) -> None:
    running = await start(orders(offers=False))
    await running.app.execute(Open(number="o-1"), tenant="acme")
    assert [event.event for event in await recorded(running, types=[LineAdded])] == [LineAdded(number="o-1", line=0)]


# Waiting.


async def test_a_read_model_shows_what_was_waited_for(start: Start) -> None:
    running = await start(orders(number_list()))
    for number in range(20):
        done = await running.app.execute_tracked(Open(number=f"o-{number}"), tenant="acme")
        assert done.result == f"opened o-{number}"
        await running.app.wait_until(done.token, "numbers")
        assert (await running.app.ask(Numbers(), tenant="acme"))[-1] == f"o-{number}"


async def test_without_a_name_every_read_model_is_waited_for(start: Start) -> None:
    running = await start(orders(number_list()))
    done = await running.app.execute_tracked(Open(number="o-1"), tenant="acme")
    await running.app.wait_until(done.token)
    assert await running.app.ask(Numbers(), tenant="acme") == ["o-1"]


async def test_a_command_that_said_nothing_has_an_empty_token_which_is_reached_at_once(start: Start) -> None:
    gate = asyncio.Event()
    running = await start(orders(number_list(gate)))
    await running.app.execute(Open(number="o-1"), tenant="acme")
    done = await running.app.execute_tracked(Look(number="o-1"), tenant="acme")
    assert (done.result, done.token) == (1, "")
    await running.app.wait_until(done.token, "numbers", time_max=SHORT)
    gate.set()


async def test_the_repeat_of_a_command_has_a_token_that_covers_the_first_execution(start: Start) -> None:
    gate = asyncio.Event()
    listed = number_list(gate)
    running = await start(orders(listed))
    await running.app.execute(Open(number="o-1"), tenant="acme", command_id="click")
    again = await running.app.execute_tracked(Open(number="o-1"), tenant="acme", command_id="click")
    assert again.result == "opened o-1"
    with pytest.raises(NotReached):
        await running.app.wait_until(again.token, listed, time_max=SHORT)
    gate.set()
    await running.app.wait_until(again.token, listed)
    assert await running.app.ask(Numbers(), tenant="acme") == ["o-1"]


async def test_who_waits_in_vain_is_told_how_far_the_projection_is(start: Start) -> None:
    gate = asyncio.Event()
    running = await start(orders(number_list(gate)))
    done = await running.app.execute_tracked(Open(number="o-1", lines=2), tenant="acme")
    with pytest.raises(NotReached, match=r"'numbers' has seen the log up to 0, not 3"):
        await running.app.wait_until(done.token, "numbers", time_max=SHORT)
    gate.set()


async def test_an_in_transaction_read_model_needs_no_waiting(start: Start) -> None:
    running = await start(orders(number_list(in_transaction=True)), worker=False)
    done = await running.app.execute_tracked(Open(number="o-1"), tenant="acme")
    await running.app.wait_until(done.token, "numbers", time_max=SHORT)
    assert await running.app.ask(Numbers(), tenant="acme") == ["o-1"]


@durable
async def test_a_token_is_good_in_another_process(start: Start) -> None:
    worker = await start(orders(number_list()))
    client = await start(orders(number_list()), worker=False)
    done = await client.app.execute_tracked(Open(number="o-1"), tenant="acme")
    await worker.app.wait_until(done.token, "numbers")
    await client.app.wait_until(done.token, "numbers")
    assert await client.app.ask(Numbers(), tenant="acme") == ["o-1"]


async def test_a_projection_that_nobody_knows_is_refused_by_name(start: Start) -> None:
    running = await start(orders(number_list()))
    with pytest.raises(InvalidInput, match="no projection 'number'.*has: numbers"):
        await running.app.wait_until("", "number")


@pytest.mark.parametrize("token", ["c", "x1", "c-1", "c1 ", "c1\n", "p" + "9" * 19, "c\u0661", " ", "c1c2"])
async def test_what_is_no_token_is_refused(start: Start, token: str) -> None:
    running = await start(orders(number_list()))
    with pytest.raises(InvalidInput, match="no token"):
        await running.app.wait_until(token, "numbers")


async def test_a_command_that_fails_raises_as_execute_does(start: Start) -> None:
    running = await start(orders(number_list()))
    await running.app.execute_tracked(Open(number="o-1"), tenant="acme")
    with pytest.raises(AggregateExists):
        await running.app.execute_tracked(Open(number="o-1"), tenant="acme")
