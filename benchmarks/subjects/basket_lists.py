"""What projections are measured with: a row for each line that was added to a basket."""

from __future__ import annotations

import asyncio

from benchmarks.subjects.baskets import BASKETS_PER_COMMAND, LINES_PER_BASKET, TENANT, Basket, FillBaskets, LineAdded
from duly import Duly, Logged, Module, Projection, Repository, Tables

BASKET_LINE = """
CREATE TABLE {basket_line} (
    tenant TEXT NOT NULL, basket_id TEXT NOT NULL, line INTEGER NOT NULL, article TEXT NOT NULL,
    position BIGINT NOT NULL, PRIMARY KEY (tenant, basket_id, line)
)
"""
UPSERT = """
INSERT INTO {basket_line} (tenant, basket_id, line, article, position)
VALUES (:tenant, :basket_id, :line, :article, :position)
ON CONFLICT (tenant, basket_id, line) DO UPDATE SET article = excluded.article, position = excluded.position
"""


class Listing:
    """What the projection has heard: `done` is set when it is *expected* events."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.heard = 0
        self.done = asyncio.Event()

    def hear(self) -> None:
        """Count one event."""
        self.heard += 1
        if self.heard >= self.expected:
            self.done.set()


def basket_list(listing: Listing) -> Projection:
    """The projection, telling *listing* what it hears."""
    projection = Projection("basket_list", tables={"basket_line": BASKET_LINE})

    @projection.on
    async def added(event: LineAdded, tables: Tables, at: Logged) -> None:
        listing.hear()
        await tables.execute(
            UPSERT, basket_id=event.basket_id, line=event.line, article=event.article, position=at.position
        )

    return projection


def application(url: str, listing: Listing, *, worker: bool = True) -> Duly:
    """The application, with one projection."""
    module = Module("baskets", projections=[basket_list(listing)])

    @module.command
    async def fill_baskets(command: FillBaskets, repository: Repository[Basket]) -> None:
        for number in range(command.first, command.first + command.count):
            basket = Basket(id=f"basket-{number}", lines=LINES_PER_BASKET)
            for line in range(LINES_PER_BASKET):
                basket.record(LineAdded(basket_id=basket.id, line=line, article=f"article-{line}"))
            repository.add(basket)

    return Duly(modules=[module], store=url, worker=worker)


async def fill(url: str, events: int) -> None:
    """Put *events* into the log of a new database."""
    await application(url, Listing(0)).migrate()
    wanted = events // LINES_PER_BASKET
    async with application(url, Listing(0), worker=False) as app:
        for first in range(0, wanted, BASKETS_PER_COMMAND):
            count = min(BASKETS_PER_COMMAND, wanted - first)
            await app.execute(FillBaskets(first=first, count=count), tenant=TENANT)
