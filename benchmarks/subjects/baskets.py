"""What the relay is measured with: lines added to baskets, each packed into a parcel after the commit."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from duly import Aggregate, Command, DomainEvent, Duly, Module, Repository

TENANT = "acme"
LINES_PER_BASKET = 4
BASKETS_PER_COMMAND = 100


class FillBaskets(Command):
    first: int
    count: int
    lines: int = LINES_PER_BASKET


class LineAdded(DomainEvent):
    basket_id: str
    line: int
    article: str


class Basket(Aggregate):
    lines: int


class Parcel(Aggregate):
    article: str


class Packing:
    """What the subscriber has heard: `done` is set when it is *expected* messages; order is watched per basket."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.heard = 0
        self.out_of_order = 0
        self.done = asyncio.Event()
        self._last: dict[str, int] = defaultdict(lambda: -1)

    def hear(self, event: LineAdded) -> None:
        """Count one message."""
        self.heard += 1
        self.out_of_order += event.line != self._last[event.basket_id] + 1
        self._last[event.basket_id] = event.line
        if self.heard >= self.expected:
            self.done.set()


def baskets(packing: Packing, *, wait_seconds: float = 0.0) -> Module:
    """The module, telling *packing* what it hears. Its subscriber waits for so long, as for another service."""
    module = Module("baskets")

    @module.command
    async def fill_baskets(command: FillBaskets, repository: Repository[Basket]) -> None:
        for number in range(command.first, command.first + command.count):
            basket = Basket(id=f"basket-{number}", lines=command.lines)
            for line in range(command.lines):
                basket.record(LineAdded(basket_id=basket.id, line=line, article=f"article-{line}"))
            repository.add(basket)

    @module.after_commit
    async def pack(event: LineAdded, parcels: Repository[Parcel]) -> None:
        packing.hear(event)
        if wait_seconds:
            await asyncio.sleep(wait_seconds)
        parcels.add(Parcel(id=f"{event.basket_id}-{event.line}", article=event.article))

    return module


async def fill(url: str, messages: int) -> None:
    """Put at least *messages* rows into the outbox, `LINES_PER_BASKET` for each basket."""
    module = baskets(Packing(0))
    await Duly(modules=[module], store=url).migrate()
    wanted = messages // LINES_PER_BASKET
    async with Duly(modules=[module], store=url, worker=False) as app:
        for first in range(0, wanted, BASKETS_PER_COMMAND):
            count = min(BASKETS_PER_COMMAND, wanted - first)
            await app.execute(FillBaskets(first=first, count=count), tenant=TENANT)


async def fill_one(url: str, messages: int) -> None:
    """Put *messages* rows into the outbox, all of one basket: one lane."""
    module = baskets(Packing(0))
    await Duly(modules=[module], store=url).migrate()
    async with Duly(modules=[module], store=url, worker=False) as app:
        await app.execute(FillBaskets(first=0, count=1, lines=messages), tenant=TENANT)
