"""What the latency of projections is measured with: a command that records one event, and a row for each."""

from __future__ import annotations

from benchmarks.subjects.ticks import Clock, Tick, Ticked
from duly import Duly, Module, Projection, Repository, Tables

TICKED = "CREATE TABLE {ticked} (tenant TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (tenant, number))"


def application(url: str) -> Duly:
    """The application, with a worker."""
    listed = Projection("ticked_list", tables={"ticked": TICKED})

    @listed.on
    async def ticked(event: Ticked, tables: Tables) -> None:
        await tables.execute("INSERT INTO {ticked} (tenant, number) VALUES (:tenant, :number)", number=event.number)

    module = Module("ticks", projections=[listed])

    @module.command
    async def tick(command: Tick, clocks: Repository[Clock]) -> None:
        clock = Clock(id=f"clock-{command.number}")
        clock.record(Ticked(number=command.number))
        clocks.add(clock)

    return Duly(modules=[module], store=url)
