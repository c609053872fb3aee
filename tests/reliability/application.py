"""The application that is killed and stopped: ``python -m tests.reliability.application OPTIONS``, these as JSON.

It executes an order per line of its standard input, keeps promises and bills through the ledger, all in one process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import timedelta

import msgspec

from duly import (
    Aggregate,
    Command,
    DomainEvent,
    Duly,
    Effect,
    Effects,
    Module,
    Policy,
    Repository,
    RetrySchedule,
    RuleBroken,
    Sending,
    Settings,
)
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.json_look_up import JsonLookUp
from duly.ports.store import Store
from duly.states.breaker import BreakerTerms
from duly.testing.failures import exit_at, go_on, stop_at
from tests.reliability.bugs import put_back

SLOTS = 4
CALL_TIMEOUT = timedelta(seconds=1)
MARGIN = timedelta(milliseconds=400)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a process under test is told."""

    store: str
    provider: str
    policy: Policy
    kill_at: str = ""
    hit_number: int = 1
    bug: str = ""

    def text(self) -> str:
        """As the argument of a process."""
        return msgspec.json.encode(self).decode()


class PlaceOrder(Command[str]):
    order_id: str
    refused: bool = False


class OrderPlaced(DomainEvent):
    order_id: str


class Bill(Effect):
    order_id: str


class Order(Aggregate, name="shop.Order"):
    pass


class Tally(Aggregate, name="shop.Tally"):
    count: int = 0


shop = Module("shop")


@shop.command
async def place_order(command: PlaceOrder, orders: Repository[Order], effects: Effects) -> str:
    order = Order(id=command.order_id)
    order.record(OrderPlaced(order_id=order.id))
    orders.add(order)
    effects.request(Bill(order_id=order.id), reference=order.id)
    if command.refused:
        raise RuleBroken("never mind")
    return order.id


@shop.after_commit
async def count_order(event: OrderPlaced, tallies: Repository[Tally]) -> None:
    tally = await tallies.find(event.order_id)
    if tally is None:
        tally = Tally(id=event.order_id)
        tallies.add(tally)
    tally.count += 1


def billing(provider: str, policy: Policy) -> JsonHttpGateway[Bill]:
    """The gateway, with what the provider must keep for *policy* and nothing else."""
    keyed = policy is Policy.KEYED
    moment = timedelta(milliseconds=20)
    look_up = JsonLookUp(
        url=f"{provider}?reference={{order_id}}",
        list_field="items",
        reference_field="reference",
        settle=moment,
        lag=moment,
    )
    return JsonHttpGateway(
        Bill,
        provider,
        recipient="order_id",
        name="billing",
        channel="billing",
        live=True,
        slots=SLOTS,
        call_timeout=CALL_TIMEOUT,
        read_timeout=CALL_TIMEOUT * 2,
        idempotency_header="Idempotency-Key" if keyed else None,
        key_lifetime=timedelta(hours=24) if keyed else None,
        look_up=look_up if policy is Policy.RECONCILE else None,
        retry=RetrySchedule((moment,) * 8),
    )


def application(store: str | Store, provider: str, policy: Policy, *, worker: bool = True) -> Duly:
    """The application; its leases are short, so that a test need not wait long for what a dead one owned."""
    settings = Settings(
        lease=timedelta(milliseconds=700),
        attempt_margin=MARGIN,
        poll_interval=timedelta(milliseconds=20),
        # Half of the answers are lost on purpose: an open breaker would keep workers from coming to their failpoint.
        breaker=BreakerTerms(calls_min=1_000_000),
        drain_time_max=timedelta(seconds=2),
    )
    return Duly(
        modules=[shop],
        store=store,
        gateways=[billing(provider, policy)],
        sending=[Sending(effect=Bill, policy=policy)],
        settings=settings,
        tenant="acme",
        worker=worker,
    )


async def main(options: Options) -> None:
    """Serve standard input until it ends."""
    # What it says of the workers that were killed before it is no news to whoever killed them.
    logging.getLogger("duly").setLevel(logging.CRITICAL)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    app = application(options.store, options.provider, options.policy)
    async with app, asyncio.TaskGroup() as group:
        answer("ready")
        while line := await reader.readline():
            request: dict[str, str] = json.loads(line)
            if "stop_at" in request:
                if request["stop_at"]:
                    stop_at(request["stop_at"])
                else:
                    go_on()
                answer(request["id"])
            else:
                group.create_task(execute(app, request["id"]))


async def execute(app: Duly, order_id: str) -> None:
    """Place an order and acknowledge it."""
    answer(order_id, await app.execute(PlaceOrder(order_id=order_id), command_id=f"place {order_id}"))


def answer(request_id: str, result: str = "") -> None:
    """Write one acknowledgement."""
    print(json.dumps({"id": request_id, "result": result}), flush=True)


if __name__ == "__main__":
    told = msgspec.json.decode(sys.argv[1], type=Options)
    if told.kill_at:
        exit_at(told.kill_at, hit_number=told.hit_number)
    with put_back(told.bug):
        asyncio.run(main(told))
