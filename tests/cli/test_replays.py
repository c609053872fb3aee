"""``duly replay`` and ``duly backfill``, as an operator runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = """
import os
from duly import Aggregate, Command, DomainEvent, Duly, Effects, Module, Repository, Sms
from duly.gateways.recording import RecordingGateway

class Order(Aggregate):
    total: int = 0

class PlaceOrder(Command):
    order_id: str

class OrderPlaced(DomainEvent):
    order_id: str

shop = Module("shop")

@shop.command
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
    order = Order(id=command.order_id)
    order.record(OrderPlaced(order_id=order.id))
    orders.add(order)

if os.path.exists("texting"):
    @shop.after_commit
    async def text_customer(event: OrderPlaced, effects: Effects) -> None:
        effects.request(Sms(to="+4915123456789", text=f"We have {event.order_id}."), reference=event.order_id)

def app(worker: bool = False) -> Duly:
    gateway = RecordingGateway(Sms, name="sms", channel="sms")
    return Duly(modules=[shop], store="sqlite:///shop.db", gateways=[gateway], tenant="acme", worker=worker)

async def place(*order_ids: str) -> None:
    async with app(worker=True) as running:
        for order_id in order_ids:
            await running.execute(PlaceOrder(order_id=order_id))
        await running.until_quiet()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two orders of a time when nobody texted, and one of now."""
    (tmp_path / "shop.py").write_text(APPLICATION)
    place(tmp_path, "o-1", "o-2")
    (tmp_path / "texting").touch()
    place(tmp_path, "o-3")
    return tmp_path


def place(folder: Path, *order_ids: str) -> None:
    program = f"import asyncio, shop; asyncio.run(shop.place(*{order_ids!r}))"
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, timeout=60, capture_output=True)


def duly(folder: Path, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "duly"), *arguments]
    return subprocess.run(command, cwd=folder, input=answer, capture_output=True, text=True, timeout=60, check=False)


def references(folder: Path) -> list[str]:
    listed = duly(folder, "effects", "list", "shop:app", "--json")
    return sorted(json.loads(line)["reference"] for line in listed.stdout.splitlines())


def test_the_past_is_counted_and_tried_and_nothing_is_done(folder: Path) -> None:
    counted = duly(folder, "replay", "shop:app", "shop.text_customer")
    assert counted.returncode == 0
    assert "2 messages" in counted.stdout
    assert "1 message that it heard" in " ".join(counted.stdout.split())
    tried = json.loads(duly(folder, "replay", "shop:app", "shop.text_customer", "--dry-run", "--json").stdout)
    assert (tried["messages"], tried["effects"]) == (2, [{"type": "duly.sms", "new": 2, "known": 0, "differing": 0}])
    shown = duly(folder, "replay", "shop:app", "shop.text_customer", "--dry-run", "--even-if-heard").stdout
    assert "duly.sms: 2 new, 1 in the ledger already" in shown
    place(folder)
    assert references(folder) == ["o-3"]


def test_a_backfill_counts_asks_and_promises_once(folder: Path) -> None:
    order = ("backfill", "shop:app", "shop.text_customer", "--by", "anna", "--reason", "they want to know")
    refused = duly(folder, *order, answer="n\n")
    assert (refused.returncode, "nothing was done" in refused.stderr) == (3, True)
    place(folder)
    assert references(folder) == ["o-3"]
    done = duly(folder, *order, answer="y\n")
    assert "2 messages promised, asked for by anna" in done.stdout
    again = duly(folder, *order, "--yes")
    assert "There is nothing to promise" in again.stderr
    place(folder)
    assert references(folder) == ["o-1", "o-2", "o-3"]
    everything = json.loads(duly(folder, *order, "--even-if-heard", "--yes", "--json").stdout)
    assert everything["promised"] == 3
    place(folder)
    assert references(folder) == ["o-1", "o-2", "o-3"]
    assert "no backfill that was cut short" in duly(folder, *order, "--resume").stderr


def test_a_subscriber_that_there_is_not_is_told(folder: Path) -> None:
    told = duly(folder, "replay", "shop:app", "shop.text_custmer")
    assert (told.returncode, "Subscribers are: shop.text_customer" in " ".join(told.stderr.split())) == (1, True)
