"""A worker whose clock is wrong, and jumps: ``python -m tests.reliability.skewed OPTIONS``, these as JSON.

It takes reminders at its standard input, and writes down when each fires, by the database's clock and by its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Final

import msgspec
import time_machine

from duly import Command, Duly, Module, Settings, Sql
from tests.reliability.application import answer
from tests.reliability.bugs import put_back

JUMP_SECONDS: Final = 0.4
LEASE: Final = timedelta(seconds=2)

FIRED: Final = "CREATE TABLE fired (id text NOT NULL, due_ms bigint, at_ms bigint NOT NULL, own_ms bigint NOT NULL)"
_NOW: Final = "SELECT duly.now_ms() AS ms"


class Skew(msgspec.Struct, frozen=True, kw_only=True):
    """What a process under test is told."""

    store: str
    seed: int
    hours: float
    bug: str = ""

    def text(self) -> str:
        """As the argument of a process."""
        return msgspec.json.encode(self).decode()


class Ring(Command):
    id: str
    due_ms: int


alarms = Module("alarms", tables=[FIRED])


@alarms.command
async def ring(command: Ring, sql: Sql) -> None:
    now = await sql.fetch_one(_NOW)
    assert now is not None
    await sql.execute(
        "INSERT INTO fired (id, due_ms, at_ms, own_ms) VALUES (:id, :due, :at, :own)",
        id=command.id,
        due=command.due_ms,
        at=int(str(now["ms"])),
        own=int(time.time() * 1000),
    )


def application(store: str, *, worker: bool = True) -> Duly:
    """The application; it looks often, and its leases are short."""
    settings = Settings(lease=LEASE, poll_interval=timedelta(milliseconds=20))
    return Duly(modules=[alarms], store=store, tenant="acme", settings=settings, worker=worker)


@contextmanager
def wrong_clock(skew: Skew) -> Iterator[time_machine.Traveller]:
    """Everything in this process that tells the time tells another one; what measures waits does not."""
    with time_machine.travel(datetime.now().astimezone() + timedelta(hours=skew.hours), tick=True) as traveller:
        yield traveller


async def jump(traveller: time_machine.Traveller, skew: Skew, true_at_start: float, began: float) -> None:
    """Jump about, by up to as many hours as the clock is wrong, also within a lease."""
    lots = Random(skew.seed)
    while True:
        await asyncio.sleep(JUMP_SECONDS)
        true = true_at_start + time.monotonic() - began
        traveller.move_to(true + lots.uniform(-1, 1) * abs(skew.hours) * 3600, tick=True)


async def main(skew: Skew, traveller: time_machine.Traveller, true: float, began: float) -> None:
    """Serve standard input until it ends."""
    logging.getLogger("duly").setLevel(logging.CRITICAL)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    jumping = asyncio.create_task(jump(traveller, skew, true, began)) if skew.hours else None
    async with application(skew.store) as app:
        answer("ready")
        while line := await reader.readline():
            request: dict[str, str] = json.loads(line)
            await app.schedule(
                Ring(id=request["id"], due_ms=int(request["due_ms"])),
                at=timedelta(milliseconds=int(request["after_ms"])),
                command_id=request["id"],
            )
            answer(request["id"])
    if jumping is not None:
        jumping.cancel()


if __name__ == "__main__":
    told = msgspec.json.decode(sys.argv[1], type=Skew)
    now, start = time.time(), time.monotonic()
    with put_back(told.bug), wrong_clock(told) as clock:
        asyncio.run(main(told, clock, now, start))
