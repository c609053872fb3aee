"""Decorators give the function back unchanged: coroutine or plain, with or without arguments."""

from __future__ import annotations

from typing import assert_type

from duly import (
    Aggregate,
    Command,
    Context,
    DomainEvent,
    Effects,
    HandlerCall,
    Module,
    Proceed,
    PublicEvent,
    Query,
    Reader,
    Repository,
    Sms,
    Sql,
)


class Seat(Aggregate):
    taken: bool = False


class Reserve(Command[int]):
    seat_id: str


class Release(Command):
    seat_id: str


class Reserved(DomainEvent):
    seat_id: str


class ReservedPublic(PublicEvent):
    seat_id: str


class CountSeats(Query[int]):
    pass


hall = Module("hall", messages=[Reserve, Reserved], tables=["CREATE TABLE IF NOT EXISTS seats (id TEXT)"])


@hall.command
async def reserve(command: Reserve, seats: Repository[Seat]) -> int:
    seat = await seats.get(command.seat_id)
    seat.record(Reserved(seat_id=seat.id))
    return 1


@hall.command(name="release", formerly=("free",))
async def release(command: Release, seats: Repository[Seat]) -> None: ...


@hall.command
def reserve_plainly(command: Reserve) -> int:
    return 1


@hall.command(name="plain")
def release_plainly(command: Release) -> None: ...


@hall.in_transaction
async def remember(event: Reserved, sql: Sql, context: Context) -> None: ...


@hall.in_transaction(name="remember", formerly=("note",))
def remember_plainly(event: Reserved) -> None: ...


@hall.after_commit
async def tell(event: Reserved, effects: Effects) -> None:
    assert_type(effects.request(Sms(to="+49 151 23456789", text="reserved"), key="first"), str)


@hall.after_commit(name="tell", key="seat_id")
async def tell_in_order(event: ReservedPublic, effects: Effects) -> None: ...


@hall.query
async def count(query: CountSeats, reader: Reader) -> int:
    return 1


@hall.query(name="count")
def count_plainly(query: CountSeats) -> int:
    return 1


@hall.publishes
def reserved(event: Reserved) -> ReservedPublic:
    return ReservedPublic(seat_id=event.seat_id)


@hall.publishes(name="some")
def some_reserved(event: Reserved) -> ReservedPublic | None:
    return None


@hall.upcasts(Reserved, from_version=1)
def second_version(fields: dict[str, object]) -> dict[str, object]:
    return fields


async def handlers_are_called_as_they_were_written(
    seats: Repository[Seat], effects: Effects, sql: Sql, reader: Reader, context: Context
) -> None:
    assert_type(await reserve(Reserve(seat_id="1"), seats), int)
    assert_type(await reserve(command=Reserve(seat_id="1"), seats=seats), int)
    assert_type(reserve_plainly(Reserve(seat_id="1")), int)
    assert_type(await count(CountSeats(), reader), int)
    assert_type(count_plainly(CountSeats()), int)
    assert_type(reserved(Reserved(seat_id="1")), ReservedPublic)
    assert_type(some_reserved(event=Reserved(seat_id="1")), ReservedPublic | None)
    assert_type(second_version({}), dict[str, object])
    await release(Release(seat_id="1"), seats)
    release_plainly(Release(seat_id="1"))
    await remember(Reserved(seat_id="1"), sql, context)
    remember_plainly(Reserved(seat_id="1"))
    await tell(Reserved(seat_id="1"), effects)
    await tell_in_order(ReservedPublic(seat_id="1"), effects)


async def handlers_keep_their_parameters(seats: Repository[Seat], effects: Effects) -> None:
    await reserve(Release(seat_id="1"), seats)  # type: ignore[arg-type]
    await reserve(Reserve(seat_id="1"))  # type: ignore[call-arg]
    reserve_plainly(command="1")  # type: ignore[arg-type]
    await release(Release(seat_id="1"), effects)  # type: ignore[arg-type]
    await tell(event=Reserved(seat_id="1"), mails=effects)  # type: ignore[call-arg]


def decorators_take_only_what_they_know() -> None:
    hall.command(key="seat_id")  # type: ignore[call-overload]
    hall.query(formerly=("old",))  # type: ignore[call-overload]
    hall.in_transaction(key="seat_id")  # type: ignore[call-overload]
    hall.after_commit(key=1)  # type: ignore[call-overload]
    hall.command("reserve")  # type: ignore[call-overload]
    Module("hall", [Reserve])  # type: ignore[call-arg]
    Module("hall", messages=[Seat])  # type: ignore[list-item]


async def sql_takes_values_and_gives_rows(sql: Sql, reader: Reader) -> None:
    assert_type(await sql.execute("DELETE FROM seats WHERE id = :id", id="1"), int)
    assert_type(await sql.fetch_value("SELECT count(*) FROM seats"), object)
    for row in await reader.fetch_all("SELECT id FROM seats WHERE id = :id", id="1"):
        assert_type(row["id"], object)
    await sql.execute("DELETE FROM seats WHERE id = :id", id=["1"])  # type: ignore[arg-type]
    await reader.execute("DELETE FROM seats")  # type: ignore[attr-defined]


async def effects_are_requested_and_nothing_else(effects: Effects) -> None:
    effects.request(Reserved(seat_id="1"))  # type: ignore[arg-type]
    effects.send(Sms(to="+49 151 23456789", text=""))  # type: ignore[attr-defined]
    await effects.request(Sms(to="+49 151 23456789", text=""))  # type: ignore[misc]


def a_context_is_only_read(context: Context) -> None:
    assert_type(context.tenant, str)
    assert_type([link.name for link in context.chain], list[str])
    context.tenant = "another"  # type: ignore[misc]


async def middleware(call: HandlerCall, proceed: Proceed) -> object:
    assert_type(call.handler, str)
    result = await proceed()
    assert_type(result, object)
    return result
