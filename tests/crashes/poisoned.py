"""A worker with a message that ends the process of whoever handles it. Ends by itself when all promises are kept."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from typing import Final

from duly import Aggregate, Command, DomainEvent, Duly, Module, Repository, RetrySchedule, Settings

TENANT: Final = "acme"
POISONED: Final = "poisoned"
RETRY: Final = RetrySchedule((timedelta(milliseconds=5), timedelta(milliseconds=10)))
LEASE: Final = timedelta(milliseconds=300)


class Said(DomainEvent):
    room: str
    number: int


class Room(Aggregate):
    said: int


class Say(Command):
    room: str
    count: int


class Heard(Aggregate):
    numbers: list[int]


rooms: Final = Module("rooms")


@rooms.command
async def say(command: Say, repository: Repository[Room]) -> None:
    room = Room(id=command.room, said=command.count)
    for number in range(command.count):
        room.record(Said(room=room.id, number=number))
    repository.add(room)


@rooms.after_commit
async def hear(event: Said, heard: Repository[Heard]) -> None:
    if event.room == POISONED and event.number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    notes = await heard.find(event.room)
    if notes is None:
        notes = Heard(id=event.room, numbers=[])
        heard.add(notes)
    notes.numbers = [*notes.numbers, event.number]


def application(store: str, *, worker: bool) -> Duly:
    """The application, as it runs in the worker and in the test."""
    settings = Settings(retry=RETRY, lease=LEASE, poll_interval=timedelta(milliseconds=20))
    return Duly(modules=[rooms], store=store, settings=settings, worker=worker)


async def work(store: str) -> None:
    """Keep all promises."""
    async with application(store, worker=True) as app:
        await app.until_quiet(time_max=timedelta(seconds=20))


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
