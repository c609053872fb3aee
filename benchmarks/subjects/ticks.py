"""What latency is measured with: a command that records one event, and a subscriber that looks at the clock."""

from __future__ import annotations

import asyncio
import time

from duly import Aggregate, Command, DomainEvent, Duly, Module, Repository

TENANT = "acme"


class Tick(Command):
    number: int


class Ticked(DomainEvent):
    number: int


class Clock(Aggregate):
    pass


class Seen:
    """When each number was committed (told by the caller) and when its handler ran."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.committed: dict[int, float] = {}
        self.handled: dict[int, float] = {}
        self.done = asyncio.Event()

    def handle(self, number: int) -> None:
        """The handler of *number* runs now."""
        self.handled.setdefault(number, time.perf_counter())
        if len(self.handled) >= self.expected:
            self.done.set()

    def latencies(self) -> list[float]:
        """Seconds from the commit, as its caller knew of it, to the handler."""
        return [max(0.0, at - self.committed[number]) for number, at in self.handled.items()]


def application(url: str, seen: Seen, *, worker: bool) -> Duly:
    """The application, with or without a worker."""
    module = Module("ticks")

    @module.command
    async def tick(command: Tick, clocks: Repository[Clock]) -> None:
        clock = Clock(id=f"clock-{command.number}")
        clock.record(Ticked(number=command.number))
        clocks.add(clock)

    @module.after_commit
    async def look(event: Ticked) -> None:
        seen.handle(event.number)

    return Duly(modules=[module], store=url, worker=worker)
