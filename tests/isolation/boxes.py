"""Boxes that are looked at in every way that there is, and what somebody else does between two looks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, cast

import asyncpg

from duly import Aggregate, Command, Duly, Index, Module, Query, Reader, Repository, RuleBroken, Sql, Unique

TABLE: Final = "CREATE TABLE box_row (id text PRIMARY KEY, number integer NOT NULL)"
GET, PEEK, BY, QUERY, SQL, RAW = WAYS = ("get", "peek", "by", "query", "sql", "raw")


class Box(Aggregate, name="isolation.Box"):
    shelf: Index[str]
    """Its own id: `by` finds one box, as the others do."""
    label: Unique[str] | None = None
    number: int = 0


class Put(Command):
    """A new box, with a row of the same name."""

    id: str
    label: str | None = None


class Raise(Command):
    """Adds one to each of these boxes, and their rows."""

    ids: list[str]
    refused: bool = False


class LookTwice(Command[list[int]]):
    way: str
    first: str
    second: str


class AskTwice(Query[list[int]]):
    first: str
    second: str


class AskTogether(Query[list[int]]):
    """Rows, in one statement."""


class AddOne(Command):
    """Reads a number in one way, and writes one more."""

    way: str
    id: str


class Clear(Command):
    """Sets one to zero if the other one is not."""

    way: str
    id: str
    other: str


class PutIfAlone(Command):
    """A new box, if the other one is not there."""

    way: str
    id: str
    other: str


class Numbers(Query[dict[str, int]]):
    """Of all boxes that there are, or of all rows."""

    way: str


class Pause:
    """Stops whoever comes first, once."""

    def __init__(self) -> None:
        self._is_used = False
        self._come = asyncio.Event()
        self._go = asyncio.Event()
        self.has_looked = asyncio.Event()
        """Somebody has looked twice."""

    async def once(self) -> None:
        """Wait here, if nobody did."""
        if not self._is_used:
            self._is_used = True
            self._come.set()
            await self._go.wait()

    async def between(
        self, slow: Awaitable[object], stranger: Awaitable[object], *, must_wait: bool
    ) -> tuple[asyncio.Future[object], asyncio.Future[object]]:
        """How both end when *stranger* comes between; if he has to wait for the end of *slow*, he is let."""
        running = asyncio.ensure_future(slow)
        await self._come.wait()
        other = asyncio.ensure_future(stranger)
        if not must_wait:
            looked = asyncio.ensure_future(self.has_looked.wait())
            await asyncio.wait([other, looked], return_when=asyncio.FIRST_COMPLETED)
            looked.cancel()
        self._go.set()
        await asyncio.wait([running, other])
        return running, other


async def begun(store_url: str, pause: Pause) -> Duly:
    """The application, on a new database."""
    app = Duly(modules=[storeroom(pause)], store=store_url, tenant="acme", worker=False)
    await app.migrate()
    return app


class _Looking:
    """One way of looking."""

    def __init__(self, way: str, boxes: Repository[Box], sql: Sql) -> None:
        self._way = way
        self._boxes = boxes
        self._sql = sql

    async def number(self, box_id: str) -> int | None:
        """The number in a box, or row; None when there is none."""
        match self._way:
            case "get":
                box = await self._boxes.find(box_id)
            case "peek":
                box = await self._boxes.peek(box_id)
            case "by":
                found = await self._boxes.by(shelf=box_id)
                box = found[0] if found else None
            case "raw":
                raw = cast("asyncpg.Connection[asyncpg.Record]", await self._sql.raw())
                return cast("int | None", await raw.fetchval("SELECT number FROM box_row WHERE id = $1", box_id))
            case _:
                number = await self._sql.fetch_value("SELECT number FROM box_row WHERE id = :id", id=box_id)
                return cast("int | None", number)
        return None if box is None else box.number

    async def write(self, box_id: str, number: int) -> None:
        """Another number, in the box or in the row."""
        if self._way in (SQL, RAW):
            await self._sql.execute("UPDATE box_row SET number = :number WHERE id = :id", number=number, id=box_id)
        else:
            (await self._boxes.get(box_id)).number = number

    async def put(self, box_id: str) -> None:
        """A new box, or row."""
        if self._way in (SQL, RAW):
            await self._sql.execute("INSERT INTO box_row (id, number) VALUES (:id, 0)", id=box_id)
        else:
            self._boxes.add(Box(id=box_id, shelf=box_id))


def storeroom(pause: Pause) -> Module:
    """All commands and queries; those that look wait once between two looks, or before they write."""
    module = Module("storeroom", tables=[TABLE])

    @module.command
    async def put(command: Put, boxes: Repository[Box], sql: Sql) -> None:
        boxes.add(Box(id=command.id, shelf=command.id, label=command.label))
        await sql.execute("INSERT INTO box_row (id, number) VALUES (:id, 0)", id=command.id)

    @module.command
    async def raise_each(command: Raise, boxes: Repository[Box], sql: Sql) -> None:
        for box_id in command.ids:
            (await boxes.get(box_id)).number += 1
            await sql.execute("UPDATE box_row SET number = number + 1 WHERE id = :id", id=box_id)
        if command.refused:
            await sql.fetch_value("SELECT 1")  # everything is written, and not committed
            await pause.once()
            raise RuleBroken("never mind")

    @module.command
    async def look_twice(command: LookTwice, boxes: Repository[Box], sql: Sql) -> list[int]:
        looking = _Looking(command.way, boxes, sql)
        first = await looking.number(command.first)
        await pause.once()
        second = await looking.number(command.second)
        pause.has_looked.set()
        return [first or 0, second or 0]

    @module.query
    async def ask_twice(query: AskTwice, boxes: Repository[Box]) -> list[int]:
        first = (await boxes.get(query.first)).number
        await pause.once()
        again = await boxes.peek(query.second)
        return [first, again.number if again is not None else 0]

    @module.query
    async def ask_together(query: AskTogether, reader: Reader) -> list[int]:
        return [int(str(row["number"])) for row in await reader.fetch_all("SELECT number FROM box_row")]

    @module.command
    async def add_one(command: AddOne, boxes: Repository[Box], sql: Sql) -> None:
        looking = _Looking(command.way, boxes, sql)
        number = await looking.number(command.id) or 0
        await pause.once()
        await looking.write(command.id, number + 1)

    @module.command
    async def clear(command: Clear, boxes: Repository[Box], sql: Sql) -> None:
        looking = _Looking(command.way, boxes, sql)
        other = await looking.number(command.other)
        await pause.once()
        if not other:
            raise RuleBroken("One of them has to stay.")
        await looking.write(command.id, 0)

    @module.command
    async def put_if_alone(command: PutIfAlone, boxes: Repository[Box], sql: Sql) -> None:
        looking = _Looking(command.way, boxes, sql)
        other = await looking.number(command.other)
        await pause.once()
        if other is not None:
            raise RuleBroken(f"{command.other} is there.")
        await looking.put(command.id)

    @module.query
    async def numbers(query: Numbers, boxes: Repository[Box], reader: Reader) -> dict[str, int]:
        if query.way in (SQL, RAW):
            rows = await reader.fetch_all("SELECT id, number FROM box_row")
            return {str(row["id"]): int(str(row["number"])) for row in rows}
        found = [await boxes.find(box_id) for box_id in ("a", "b")]
        return {box.id: box.number for box in found if box is not None}

    return module
