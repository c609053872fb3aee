"""The application that is killed: `python -m tests.crashes.application STORE PROVIDER [FAILPOINT HIT_NUMBER]`.

It executes an order per line of its standard input, keeps promises and sends effects, all in one process.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta

from duly import Aggregate, Command, DomainEvent, Duly, Effect, Effects, Module, Repository, RetrySchedule, Settings
from duly.gateways.json_http import JsonHttpGateway
from duly.testing.failures import exit_at


class PlaceOrder(Command[str]):
    order_id: str


class OrderPlaced(DomainEvent):
    order_id: str


class Bill(Effect):
    order_id: str


class Order(Aggregate):
    pass


class Tally(Aggregate):
    orders: list[str] = []


shop = Module("shop")


@shop.command
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> str:
    order = Order(id=command.order_id)
    order.record(OrderPlaced(order_id=order.id))
    orders.add(order)
    return order.id


@shop.after_commit
async def bill(event: OrderPlaced, effects: Effects, tallies: Repository[Tally]) -> None:
    effects.request(Bill(order_id=event.order_id))
    tally = await tallies.find("all")
    if tally is None:
        tally = Tally(id="all")
        tallies.add(tally)
    tally.orders = [*tally.orders, event.order_id]


def application(store: str, provider: str, *, worker: bool = True) -> Duly:
    """The application; its leases are short, so that a test need not wait long for what a dead one owned."""
    gateway = JsonHttpGateway(
        Bill,
        provider,
        recipient="order_id",
        name="billing",
        channel="billing",
        live=True,
        slots=4,
        call_timeout=timedelta(seconds=1),
        retry=RetrySchedule((timedelta(milliseconds=20),) * 3),
    )
    settings = Settings(
        lease=timedelta(milliseconds=700),
        attempt_margin=timedelta(milliseconds=400),
        poll_interval=timedelta(milliseconds=20),
        drain_time_max=timedelta(seconds=2),
    )
    return Duly(modules=[shop], store=store, gateways=[gateway], settings=settings, tenant="acme", worker=worker)


async def main() -> None:
    store, provider, *failure = sys.argv[1:]
    if failure:
        exit_at(failure[0], hit_number=int(failure[1]))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with application(store, provider) as app, asyncio.TaskGroup() as group:
        answer("ready")
        while line := await reader.readline():
            request: dict[str, str] = json.loads(line)
            group.create_task(execute(app, request["id"]))


async def execute(app: Duly, order_id: str) -> None:
    answer(order_id, await app.execute(PlaceOrder(order_id=order_id), command_id=f"place {order_id}"))


def answer(request_id: str, result: str = "") -> None:
    print(json.dumps({"id": request_id, "result": result}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
