"""The application whose commands are checked: each is a small program of reads and writes, run by one handler.

``python -m tests.isolation.application OPTIONS`` serves calls, a JSON line each, and answers with what was seen.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import timedelta
from enum import Enum
from typing import Final

import msgspec

from duly import (
    Aggregate,
    Command,
    Context,
    DomainEvent,
    Duly,
    Effects,
    EventSourced,
    Module,
    Query,
    Reader,
    Repository,
    RetrySchedule,
    RuleBroken,
    Settings,
    Sms,
    Sql,
    Unique,
    Value,
    applies,
)
from duly.gateways.recording import RecordingGateway
from tests.isolation.calling import Answer, Options, Request, answered
from tests.isolation.planted import planted

TENANT: Final = "acme"
PHONE: Final = "+4915123456789"


class Do(Enum):
    """What a step does."""

    GET = "get"
    FIND = "find"
    PEEK = "peek"
    APPEND = "append"
    ENSURE = "ensure"
    """Find, and create what is not there."""
    CREATE = "create"
    REMOVE = "remove"
    TAKE_BACK = "take back"
    """Append in a block of a savepoint, and leave it with an error."""
    JOT = "jot"
    """A statement of its own: from here on the handler holds a transaction."""
    TEXT = "text"
    REFUSE = "refuse"


class Step(Value):
    """One step. Keys that begin with *s* are streams, all others documents."""

    do: Do
    key: str = ""
    number: int = 0
    name: str | None = None


class Seen(Value):
    """What a step read."""

    key: str
    state: list[int] | None
    checked: bool


class Written(DomainEvent):
    key: str
    number: int
    removes: bool = False


class Account(Aggregate, name="isolation.Account"):
    numbers: list[int]
    name: Unique[str] | None = None

    def write(self, number: int, name: str | None) -> None:
        self.numbers = [*self.numbers, number]
        self.name = name
        self.record(Written(key=self.id, number=number))


class Journal(EventSourced, name="isolation.Journal"):
    numbers: list[int] = []

    def write(self, number: int, name: str | None) -> None:
        self.record(Written(key=self.id, number=number))

    @applies
    def wrote(self, event: Written) -> None:
        self.numbers = [*self.numbers, event.number]


class Heard(Aggregate, name="isolation.Heard"):
    numbers: list[int]


class Transact(Command[list[Seen]]):
    operation: str
    steps: list[Step]


class Look(Query[list[Seen]]):
    """One aggregate after the other, each as it is committed then."""

    keys: list[str]


class Snapshot(Query[list[Seen]]):
    """Documents, in one statement."""

    keys: list[str]
    table: str


bank = Module("isolation", tables=["CREATE TABLE jotting (operation text NOT NULL)"])


@bank.command
async def transact(
    command: Transact,
    accounts: Repository[Account],
    journals: Repository[Journal],
    sql: Sql,
    effects: Effects,
) -> list[Seen]:
    running = _Running(accounts, journals)
    for step in command.steps:
        match step.do:
            case Do.JOT:
                await sql.execute("INSERT INTO jotting (operation) VALUES (:operation)", operation=command.operation)
            case Do.TEXT:
                effects.request(Sms(to=PHONE, text=command.operation), reference=command.operation)
            case Do.TAKE_BACK:
                await running.see(step.key)
                try:
                    async with sql.savepoint():
                        await running.write(step)
                        raise RuleBroken("never mind")
                except RuleBroken:
                    pass
            case Do.REFUSE:
                raise RuleBroken("as it was told")
            case _:
                await running.take(step)
    return running.seen


class _Running:
    """One run of one program: what it has seen so far."""

    def __init__(self, accounts: Repository[Account], journals: Repository[Journal]) -> None:
        self._accounts = accounts
        self._journals = journals
        self.seen: list[Seen] = []
        self._known: set[str] = set()

    async def take(self, step: Step) -> None:
        match step.do:
            case Do.PEEK:
                found = await self._of(step.key).peek(step.key)
                self.seen.append(Seen(key=step.key, state=_state(found), checked=False))
            case Do.FIND | Do.GET:
                await self.see(step.key, must_exist=step.do is Do.GET)
            case Do.CREATE:
                self._saw(step.key, None)
                self._add(step)
            case Do.ENSURE:
                if await self.see(step.key) is None:
                    self._add(step)
                else:
                    await self.write(step)
            case Do.REMOVE:
                account = await self._accounts.get(step.key)
                self._saw(step.key, account)
                account.record(Written(key=step.key, number=step.number, removes=True))
                self._accounts.remove(account)
            case _:
                await self.write(step)

    async def write(self, step: Step) -> None:
        found = await self.see(step.key, must_exist=True)
        assert found is not None
        found.write(step.number, step.name)

    async def see(self, key: str, *, must_exist: bool = False) -> Account | Journal | None:
        found = await (self._of(key).get(key) if must_exist else self._of(key).find(key))
        self._saw(key, found)
        return found

    def _saw(self, key: str, found: Account | Journal | None) -> None:
        if key not in self._known:
            self._known.add(key)
            self.seen.append(Seen(key=key, state=_state(found), checked=True))

    def _add(self, step: Step) -> None:
        if step.key.startswith("s"):
            journal = Journal(id=step.key)
            journal.write(step.number, None)
            self._journals.add(journal)
        else:
            account = Account(id=step.key, numbers=[])
            account.write(step.number, step.name)
            self._accounts.add(account)

    def _of(self, key: str) -> Repository[Account] | Repository[Journal]:
        return self._journals if key.startswith("s") else self._accounts


@bank.query
async def look(query: Look, accounts: Repository[Account], journals: Repository[Journal]) -> list[Seen]:
    seen: list[Seen] = []
    for key in query.keys:
        found = await (journals.find(key) if key.startswith("s") else accounts.find(key))
        seen.append(Seen(key=key, state=_state(found), checked=False))
    return seen


@bank.query
async def snapshot(query: Snapshot, reader: Reader, context: Context) -> list[Seen]:
    names = {f"k{place}": key for place, key in enumerate(query.keys)}
    rows = await reader.fetch_all(
        f"SELECT id, body FROM {query.table} WHERE tenant = :tenant AND type = 'isolation.Account' "
        f"AND id IN ({', '.join(f':{name}' for name in names)})",
        tenant=context.tenant,
        **names,
    )
    found = {str(row["id"]): msgspec.json.decode(str(row["body"]))["numbers"] for row in rows}
    return [Seen(key=key, state=found.get(key), checked=True) for key in query.keys]


@bank.after_commit
async def hear(event: Written, books: Repository[Heard]) -> None:
    book = await books.find(event.key)
    if book is None:
        books.add(Heard(id=event.key, numbers=[event.number]))
    else:
        book.numbers = [*book.numbers, event.number]


def _state(found: Account | Journal | None) -> list[int] | None:
    return None if found is None else list(found.numbers)


def application(store: str) -> Duly:
    """The application, with a worker of its own."""
    settings = Settings(
        poll_interval=timedelta(milliseconds=20),
        retry=RetrySchedule((timedelta(milliseconds=5),) * 8),
        drain_time_max=timedelta(seconds=10),
    )
    return Duly(modules=[bank], store=store, gateways=[RecordingGateway(Sms)], settings=settings, tenant=TENANT)


async def call(app: Duly, request: Request) -> Answer:
    """Do what a client asks for, and say what it saw, or why not."""
    if request.ask:
        keys = list(request.keys)
        query = Look(keys=keys) if request.ask == "look" else Snapshot(keys=keys, table=request.ask)
        return await answered(app.ask(query), request)
    steps = msgspec.convert(request.steps, list[Step])
    command = Transact(operation=request.operation, steps=steps)
    return await answered(app.execute(command, command_id=request.operation), request)


async def main(options: Options) -> None:
    """Serve standard input until it ends."""
    logging.getLogger("duly").setLevel(logging.CRITICAL)
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    app = application(options.store)

    async def serve(request: Request) -> None:
        if request.ask == "quiet":
            await app.until_quiet(time_max=timedelta(seconds=60))
            print(msgspec.json.encode(Answer(call=request.call)).decode(), flush=True)
        else:
            print(msgspec.json.encode(await call(app, request)).decode(), flush=True)

    async with app, asyncio.TaskGroup() as group:
        print(msgspec.json.encode(Answer(call="ready")).decode(), flush=True)
        while line := await reader.readline():
            group.create_task(serve(msgspec.json.decode(line, type=Request)))


if __name__ == "__main__":
    told = msgspec.json.decode(sys.argv[1], type=Options)
    with planted(told.bug):
        asyncio.run(main(told))
