"""What the sender is measured with: notices to a gateway in this process that accepts at once, or to one over HTTP."""

from __future__ import annotations

import asyncio

from duly import Accepted, Command, Duly, Effect, Effects, Module, Outcome
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.recording import RecordingGateway
from duly.ports.gateway import Call, Gateway

TENANT = "acme"
GATEWAY = "notices"
EFFECTS_PER_COMMAND = 200
SLOTS = 32
"""How many calls a gateway makes at a time, in this process as over HTTP, where the floor makes as many."""


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
        effects.request(notice(number))


def notice(number: int) -> Notice:
    """One of them."""
    return Notice(to=f"customer-{number}", text=f"We have your order {number}.")


class Calls:
    """How many calls came to their end; `done` is set when it is *expected*."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.count = 0
        self.done = asyncio.Event()

    def ended(self) -> None:
        """One more."""
        self.count += 1
        if self.count >= self.expected:
            self.done.set()


class AtOnce(RecordingGateway):
    """Accepts at once, and remembers nothing but how many there were: no more than a floor's provider does."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(Notice, name=GATEWAY, slots=SLOTS)
        self._ended = calls

    async def call(self, call: Call) -> Outcome:
        """Accept."""
        self._ended.ended()
        return Accepted(provider_id=f"provider-{self._ended.count}")


class HttpNotices(JsonHttpGateway[Notice]):
    """Posts notices and tells *calls* of each answer."""

    def __init__(self, url: str, calls: Calls) -> None:
        super().__init__(Notice, url, name=GATEWAY, recipient="to", live=True, slots=SLOTS)
        self._calls = calls

    async def call(self, call: Call) -> Outcome:
        """Post once."""
        outcome = await super().call(call)
        self._calls.ended()
        return outcome


def in_process(calls: Calls) -> Gateway:
    """The gateway that accepts at once."""
    return AtOnce(calls)


def application(url: str, gateway: Gateway, *, worker: bool) -> Duly:
    """The application on a database, with its one gateway."""
    return Duly(modules=[notices], store=url, gateways=[gateway], worker=worker)


async def request(url: str, effects: int, gateway: Gateway) -> None:
    """Put so many requested effects into the ledger."""
    await application(url, gateway, worker=False).migrate()
    async with application(url, gateway, worker=False) as app:
        for first in range(0, effects, EFFECTS_PER_COMMAND):
            await app.execute(Notify(first=first, count=min(EFFECTS_PER_COMMAND, effects - first)), tenant=TENANT)


def bodies(effects: int, gateway: Gateway) -> list[bytes]:
    """What *gateway* sends for so many of them."""
    return [gateway.prepare(notice(number), f"effect-{number}").body for number in range(effects)]
