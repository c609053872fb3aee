"""What the sender is measured with: notices to a gateway in this process that accepts at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from duly import Accepted, Command, Duly, Effect, Effects, Module, Outcome
from duly.gateways.recording import RecordingGateway
from duly.ports.gateway import Call

TENANT = "acme"
EFFECTS_PER_COMMAND = 200
SLOTS = 32


class Notify(Command):
    first: int
    count: int


class Notice(Effect):
    to: str
    text: str


notices = Module("notices")


@notices.command
async def notify(command: Notify, effects: Effects) -> None:
    for number in range(command.first, command.first + command.count):
        effects.request(Notice(to=f"customer-{number}", text=f"We have your order {number}."))


class Calls:
    """How many calls came in; `done` is set when it is *expected*."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.count = 0
        self.done = asyncio.Event()

    def accept(self, call: Call) -> Outcome:
        """Accept at once."""
        self.count += 1
        if self.count >= self.expected:
            self.done.set()
        return Accepted(provider_id=f"provider-{self.count}")


def application(url: str, accept: Callable[[Call], Outcome], *, worker: bool) -> Duly:
    """The application on a database, with its one gateway."""
    gateway = RecordingGateway(Notice, outcomes=accept, slots=SLOTS)
    return Duly(modules=[notices], store=url, gateways=[gateway], worker=worker)


async def request(url: str, effects: int) -> None:
    """Put so many requested effects into the ledger."""
    calls = Calls(0)
    await application(url, calls.accept, worker=False).migrate()
    async with application(url, calls.accept, worker=False) as app:
        for first in range(0, effects, EFFECTS_PER_COMMAND):
            await app.execute(Notify(first=first, count=min(EFFECTS_PER_COMMAND, effects - first)), tenant=TENANT)
