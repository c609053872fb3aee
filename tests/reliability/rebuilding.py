"""The shop of R30: three read models that notice each event that is missing, doubled or in the wrong place.

``python -m tests.reliability.rebuilding OPTIONS`` serves orders, or rebuilds one projection and ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import timedelta
from typing import Final

import msgspec

from duly import (
    Aggregate,
    Command,
    DomainEvent,
    Duly,
    Effect,
    Effects,
    Module,
    Origin,
    Projection,
    Query,
    ReadModel,
    ReadModels,
    Repository,
    Settings,
    Tables,
)
from duly.errors import RebuildFailed
from duly.gateways.json_http import JsonHttpGateway
from duly.ports.store import Store
from duly.runtime import rebuilds
from duly.testing.failures import exit_at
from tests.reliability.bugs import put_back

MODULUS: Final = 1_000_003
TENANTS: Final = ("acme", "ajax")
BATCH: Final = 60
"""Positions: a rebuild has many batches, so that it can be killed between them."""
COLUMNS: Final = (
    "(tenant TEXT NOT NULL, id TEXT NOT NULL, total BIGINT NOT NULL, changes BIGINT NOT NULL, trail BIGINT NOT NULL, "
    "PRIMARY KEY (tenant, id))"
)
INSERT: Final = "INSERT INTO {%s} VALUES (:tenant, :id, :total, 0, :total)"
UPDATE: Final = (
    "UPDATE {%s} SET total = :total, changes = changes + 1, "
    f"trail = (trail * 31 + :total) %% {MODULUS} WHERE tenant = :tenant AND id = :id"
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the process is to run."""

    store: str
    provider: str
    rebuild: str = ""
    """The projection to rebuild; empty: serve."""
    kill_at: str = ""
    hit_number: int = 1
    bug: str = ""

    def text(self) -> str:
        """As the argument of a process."""
        return msgspec.json.encode(self).decode()


class PlaceOrder(Command):
    order_id: str
    total: int


class ChangeOrder(Command):
    order_id: str
    total: int


class OrderPlaced(DomainEvent, name="OrderPlaced"):
    order_id: str
    total: int


class OrderChanged(DomainEvent, name="OrderChanged"):
    order_id: str
    total: int


class Bill(Effect):
    order_id: str


class Order(Aggregate, name="shop.Order"):
    total: int


class OrderNote(ReadModel):
    total: int
    changes: int
    trail: int


class ReadNotes(Query[list[tuple[str, int, int, int]]]):
    after: str = ""


def in_table(name: str, *, in_transaction: bool) -> Projection:
    """A projection into a table of its name."""
    projection = Projection(name, tables={name: f"CREATE TABLE {{{name}}} {COLUMNS}"}, in_transaction=in_transaction)

    @projection.on
    async def placed(event: OrderPlaced, tables: Tables) -> None:
        await tables.execute(INSERT % name, id=event.order_id, total=event.total)

    @projection.on
    async def changed(event: OrderChanged, tables: Tables) -> None:
        await tables.execute(UPDATE % name, id=event.order_id, total=event.total)

    return projection


def in_documents() -> Projection:
    """The projection into documents."""
    projection = Projection("notes")

    @projection.on
    async def placed(event: OrderPlaced, notes: ReadModels[OrderNote]) -> None:
        notes.put(OrderNote(id=event.order_id, total=event.total, changes=0, trail=event.total))

    @projection.on
    async def changed(event: OrderChanged, notes: ReadModels[OrderNote], origin: Origin) -> None:
        note = await notes.get(event.order_id)
        trail = (note.trail * 31 + event.total) % MODULUS
        notes.put(note.changed(total=event.total, changes=note.changes + 1, trail=trail))

    return projection


PROJECTIONS: Final = ("order_line", "order_now", "notes")


def shop() -> Module:
    """The module."""
    module = Module(
        "shop",
        projections=[
            in_table("order_line", in_transaction=False),
            in_table("order_now", in_transaction=True),
            in_documents(),
        ],
    )

    @module.command
    async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
        order = Order(id=command.order_id, total=command.total)
        order.record(OrderPlaced(order_id=order.id, total=order.total))
        orders.add(order)

    @module.command
    async def change_order(command: ChangeOrder, orders: Repository[Order]) -> None:
        order = await orders.get(command.order_id)
        order.total = command.total
        order.record(OrderChanged(order_id=order.id, total=order.total))

    @module.after_commit
    async def bill(event: OrderPlaced, effects: Effects) -> None:
        effects.request(Bill(order_id=event.order_id), reference=event.order_id)

    @module.query
    async def read_notes(query: ReadNotes, notes: ReadModels[OrderNote]) -> list[tuple[str, int, int, int]]:
        page = await notes.page(after=query.after, rows_max=1_000)
        return [(note.id, note.total, note.changes, note.trail) for note in page]

    return module


def application(store: str | Store, provider: str, *, worker: bool) -> Duly:
    """The application; *provider* is where its bills go."""
    billing = JsonHttpGateway(Bill, provider, recipient="order_id", name="billing", channel="billing", live=True)
    settings = Settings(
        lease=timedelta(milliseconds=700),
        poll_interval=timedelta(milliseconds=20),
        drain_time_max=timedelta(seconds=5),
        projection_events_max=20,
    )
    return Duly(modules=[shop()], store=store, gateways=[billing], settings=settings, worker=worker)


async def main(options: Options) -> None:
    """Serve standard input until it ends, or rebuild."""
    logging.getLogger("duly").setLevel(logging.CRITICAL)
    if options.rebuild:
        app = application(options.store, options.provider, worker=False)
        answer("ready")
        try:
            rebuilt = await app.rebuild(options.rebuild)
        except RebuildFailed:
            sys.exit(1)  # with a bug put back: the status says enough
        answer("rebuilt", str(rebuilt.generation))
        return
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    app = application(options.store, options.provider, worker=True)
    async with app, asyncio.TaskGroup() as group:
        answer("ready")
        while line := await reader.readline():
            group.create_task(execute(app, json.loads(line)))


async def execute(app: Duly, request: dict[str, str]) -> None:
    """Place or change an order and acknowledge it; or wait until there is nothing left to do."""
    match request["what"]:
        case "place":
            command: Command = PlaceOrder(order_id=request["order"], total=int(request["total"]))
        case "change":
            command = ChangeOrder(order_id=request["order"], total=int(request["total"]))
        case _:
            await app.until_quiet(time_max=timedelta(seconds=60))
            answer(request["id"])
            return
    await app.execute(command, tenant=request["tenant"], command_id=request["id"])
    answer(request["id"])


def answer(request_id: str, result: str = "") -> None:
    """Write one acknowledgement."""
    print(json.dumps({"id": request_id, "result": result}), flush=True)


if __name__ == "__main__":
    told = msgspec.json.decode(sys.argv[1], type=Options)
    rebuilds.POSITIONS_PER_BATCH_MAX = BATCH  # type: ignore[misc]
    if told.kill_at:
        exit_at(told.kill_at, hit_number=told.hit_number)
    with put_back(told.bug):
        asyncio.run(main(told))
