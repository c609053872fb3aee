"""``duly archive``, as its users run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = """
from datetime import timedelta
from duly import Aggregate, Command, DomainEvent, Duly, Module, Repository

class Place(Command):
    order_id: str
class Placed(DomainEvent):
    order_id: str
class Waits(DomainEvent):
    order_id: str
class Order(Aggregate):
    pass

shop = Module("shop")

@shop.command
async def place(command: Place, orders: Repository[Order]) -> None:
    order = Order(id=command.order_id)
    order.record(Placed(order_id=order.id))
    if order.id == "o-2":
        order.record(Waits(order_id=order.id))
    orders.add(order)

@shop.after_commit(after=timedelta(days=3))
async def remind(event: Waits) -> None:
    pass

app = Duly(modules=[shop], store="sqlite:///shop.db", tenant="acme")

async def fill() -> None:
    async with app:
        for order_id in ("o-1", "o-2"):
            await app.execute(Place(order_id=order_id))
        await app.until_quiet()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two orders, one of which somebody is promised."""
    (tmp_path / "shop.py").write_text(APPLICATION)
    program = "import asyncio, shop; asyncio.run(shop.fill())"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60, capture_output=True)
    return tmp_path


def archive(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "duly"), "archive", "shop:app", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_streams_are_put_away_and_what_has_to_stay_is_told(folder: Path) -> None:
    order = ("--by", "anna", "--reason", "closed")
    told = archive(folder, "Order", "o-1", "o-2", *order)
    assert told.returncode == 4
    assert "Order/o-1: 1 event put away" in told.stdout
    assert "Order/o-2: 1 event put away; its event 1, a Waits, waits for its time to go to shop.remind" in told.stdout
    again = archive(folder, "Order", "o-1", *order, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == {"stream": "Order/o-1", "events": 0, "refused": ""}
    unknown = archive(folder, "Ordr", "o-1", *order)
    assert unknown.returncode == 1
    assert "Types of aggregates are: Order" in " ".join(unknown.stderr.split())
