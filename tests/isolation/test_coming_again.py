"""An aggregate that comes again under the id of one that was removed is another one: what was read before is void."""

from __future__ import annotations

import asyncio

from duly import Aggregate, Command, DomainEvent, Duly, Module, Query, Repository


class Note(Aggregate, name="isolation.Note"):
    text: str


class Written(DomainEvent):
    pass


class Write(Command):
    text: str


class Tear(Command):
    pass


class Extend(Command[str]):
    text: str


class Read(Query[str]):
    pass


class Between:
    """Stops the first run of a handler between what it reads and what it writes."""

    def __init__(self) -> None:
        self.has_read = asyncio.Event()
        self.may_write = asyncio.Event()


def notes(between: Between) -> Module:
    module = Module("notes", messages=[Written])

    @module.command
    async def write(command: Write, notes: Repository[Note]) -> None:
        note = Note(id="n", text=command.text)
        note.record(Written())
        notes.add(note)

    @module.command
    async def tear(command: Tear, notes: Repository[Note]) -> None:
        notes.remove(await notes.get("n"))

    @module.command
    async def extend(command: Extend, notes: Repository[Note]) -> str:
        note = await notes.get("n")
        between.has_read.set()
        await between.may_write.wait()
        note.text += command.text
        note.record(Written())
        return note.text

    @module.query
    async def read(query: Read, notes: Repository[Note]) -> str:
        return (await notes.get("n")).text

    return module


async def test_what_was_read_of_an_aggregate_that_was_removed_is_not_written_into_the_one_that_came_after(
    store_url: str,
) -> None:
    between = Between()
    app = Duly(modules=[notes(between)], store=store_url, tenant="acme", worker=False)
    await app.migrate()
    async with app:
        await app.execute(Write(text="old"))
        extending = asyncio.create_task(app.execute(Extend(text="er")))
        await between.has_read.wait()
        await app.execute(Tear())
        await app.execute(Write(text="new"))
        between.may_write.set()
        assert await extending == "newer"
        assert await app.ask(Read()) == "newer"


async def test_each_life_of_an_aggregate_counts_its_changes_from_one(store_url: str) -> None:
    between = Between()
    between.may_write.set()
    app = Duly(modules=[notes(between)], store=store_url, tenant="acme")
    await app.migrate()
    async with app:
        await app.execute(Write(text="old"))
        await app.execute(Extend(text="er"))
        await app.execute(Tear())
        await app.execute(Write(text="new"))
        await app.execute(Extend(text="er"))
        versions: list[int] = []
        while len(versions) < 4:  # events have positions a moment later
            await asyncio.sleep(0.005)
            versions = [recorded.version async for recorded in app.log()]
        assert versions == [1, 2, 1, 2]
