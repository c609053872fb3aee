"""What a handler reads: the doctors on call again, found by a field, by SQL of one's own, and by what is got twice."""

from __future__ import annotations

import asyncio

import pytest

from duly import Aggregate, Command, Index, Module, Query, Reader, Repository, RuleBroken, Sql
from tests.scenarios.running import Start

SHIFT = "CREATE TABLE shift (id text PRIMARY KEY, on_call integer NOT NULL)"


class Doctor(Aggregate):
    ward: Index[str]
    is_off: bool = False


class Hire(Command):
    id: str


class LeaveIfOthersAreFound(Command):
    id: str


class LeaveIfOthersAreInTheTable(Command):
    id: str
    locks: bool = False


class Move(Command):
    id: str
    ward: str


class ReadTwice(Command):
    id: str


class Left(Query[int]):
    pass


class Gathering:
    """Lets handlers go on when all of them have come here once; whoever comes again does not wait."""

    def __init__(self, parties: int) -> None:
        self._barrier = asyncio.Barrier(parties)
        self._parties = parties
        self._came = 0

    async def all_have_come(self) -> None:
        self._came += 1
        if self._came <= self._parties:
            await self._barrier.wait()


class Reading:
    """Stops a handler between two looks, and keeps what it has seen, run by run."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.runs: list[tuple[str, str, str]] = []


def ward(gathering: Gathering, reading: Reading) -> Module:
    module = Module("ward", tables=[SHIFT])

    @module.command
    async def hire(command: Hire, doctors: Repository[Doctor], sql: Sql) -> None:
        doctors.add(Doctor(id=command.id, ward="3"))
        await sql.execute("INSERT INTO shift (id, on_call) VALUES (:id, 1)", id=command.id)

    @module.command
    async def leave_if_found(command: LeaveIfOthersAreFound, doctors: Repository[Doctor]) -> None:
        found = await doctors.by(ward="3")
        await gathering.all_have_come()
        if not any(doctor.id != command.id and not doctor.is_off for doctor in found):
            raise RuleBroken("Somebody has to stay.")
        (own,) = [doctor for doctor in found if doctor.id == command.id]
        own.is_off = True

    @module.command
    async def leave_if_in_table(command: LeaveIfOthersAreInTheTable, sql: Sql) -> None:
        if command.locks:
            await sql.fetch_value("SELECT 1")  # its transaction has begun
            await gathering.all_have_come()
        rows = await sql.fetch_all("SELECT id FROM shift WHERE on_call = 1 ORDER BY id" + " FOR UPDATE" * command.locks)
        if not command.locks:
            await gathering.all_have_come()
        if len(rows) < 2:
            raise RuleBroken("Somebody has to stay.")
        await sql.execute("UPDATE shift SET on_call = 0 WHERE id = :id", id=command.id)

    @module.command
    async def move(command: Move, doctors: Repository[Doctor]) -> None:
        (await doctors.get(command.id)).ward = command.ward

    @module.command
    async def read_twice(command: ReadTwice, doctors: Repository[Doctor]) -> None:
        first = (await doctors.get(command.id)).ward
        reading.has_begun.set()
        await reading.may_go_on.wait()
        again = (await doctors.get(command.id)).ward
        peeked = await doctors.peek(command.id)
        reading.runs.append((first, again, peeked.ward if peeked else ""))

    @module.query
    async def left(query: Left, reader: Reader) -> int:
        count = await reader.fetch_value("SELECT count(*) FROM shift WHERE on_call = 0")
        assert isinstance(count, int)
        return count

    return module


async def both(start: Start, ann: Command[None], bob: Command[None], *, wait_for: int = 2) -> tuple[int, int]:
    """How many of two commands came through, and how many rows of the table say so."""
    app = (await start(ward(Gathering(wait_for), Reading()), tenant="acme")).app
    for name in ("ann", "bob"):
        await app.execute(Hire(id=name))
    ends = await asyncio.gather(app.execute(ann), app.execute(bob), return_exceptions=True)
    assert all(end is None or isinstance(end, RuleBroken) for end in ends), ends
    return ends.count(None), await app.ask(Left())


async def test_what_was_found_by_a_field_and_not_changed_is_not_checked_and_nobody_stays(start: Start) -> None:
    left, _ = await both(start, LeaveIfOthersAreFound(id="ann"), LeaveIfOthersAreFound(id="bob"))
    assert left == 2


@pytest.mark.parametrize("store_url", ["memory", "sqlite"], indirect=True)
async def test_on_sqlite_handlers_with_sql_follow_one_another(start: Start) -> None:
    ann, bob = (LeaveIfOthersAreInTheTable(id=name) for name in ("ann", "bob"))
    # Both together would wait for each other in vain: the second one has not read when the first one is done.
    assert await both(start, ann, bob, wait_for=1) == (1, 1)


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
async def test_on_postgresql_what_was_read_with_sql_is_not_checked_and_nobody_stays(start: Start) -> None:
    ann, bob = (LeaveIfOthersAreInTheTable(id=name) for name in ("ann", "bob"))
    assert await both(start, ann, bob) == (2, 2)


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
async def test_on_postgresql_rows_that_are_locked_while_they_are_read_let_one_leave(start: Start) -> None:
    ann, bob = (LeaveIfOthersAreInTheTable(id=name, locks=True) for name in ("ann", "bob"))
    assert await both(start, ann, bob) == (1, 1)


async def test_what_is_got_again_is_what_was_got_and_the_command_runs_again_when_it_has_changed(start: Start) -> None:
    reading = Reading()
    app = (await start(ward(Gathering(1), reading), tenant="acme")).app
    await app.execute(Hire(id="ann"))
    command = asyncio.create_task(app.execute(ReadTwice(id="ann")))
    await reading.has_begun.wait()
    await app.execute(Move(id="ann", ward="4"))
    reading.may_go_on.set()
    await command
    assert reading.runs == [("3", "3", "4"), ("4", "4", "4")]
