"""``duly projections``, as an operator runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = """
from duly import Aggregate, Command, DomainEvent, Duly, Module, Projection, Repository, Tables

class Order(Aggregate):
    total: int = 0

class PlaceOrder(Command):
    order_id: str

class OrderPlaced(DomainEvent):
    order_id: str

order_list = Projection(
    "order_list",
    version=VERSION,
    tables={"order_line": "CREATE TABLE {order_line} (tenant TEXT NOT NULL, id TEXT NOT NULL)"},
)

@order_list.on
async def placed(event: OrderPlaced, tables: Tables) -> None:
    await tables.execute("INSERT INTO {order_line} VALUES (:tenant, :id)", id=event.order_id)

shop = Module("shop", projections=[order_list])

@shop.command
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
    order = Order(id=command.order_id)
    order.record(OrderPlaced(order_id=order.id))
    orders.add(order)

def app(worker: bool = False) -> Duly:
    return Duly(modules=[shop], store="sqlite:///shop.db", tenant="acme", worker=worker)

async def place(*order_ids: str) -> None:
    async with app(worker=True) as running:
        for order_id in order_ids:
            await running.execute(PlaceOrder(order_id=order_id))
        await running.until_quiet()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APPLICATION.replace("VERSION", "1"))
    program = "import asyncio, shop; asyncio.run(shop.place('o-1', 'o-2', 'o-3'))"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60, capture_output=True)
    return tmp_path


def duly(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "duly"), "projections", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_projections_are_listed_with_how_far_they_are(folder: Path) -> None:
    shown = duly(folder, "list", "shop:app").stdout.splitlines()[-1].split()
    assert shown[:4] == ["order_list", "1", "current", "3"]
    told = json.loads(duly(folder, "list", "shop:app", "--json").stdout)
    assert (told["name"], told["state"], told["position"], told["lag"]) == ("order_list", "current", 3, 0)


def test_changed_code_asks_for_a_rebuild_and_gets_one(folder: Path) -> None:
    # Of another size: within one second, Python tells a changed file from its compiled form by that alone.
    (folder / "shop.py").write_text(APPLICATION.replace("VERSION", "2") + "# changed\n")
    assert "outdated" in duly(folder, "list", "shop:app").stdout
    done = duly(folder, "rebuild", "shop:app", "order_list")
    assert (done.returncode, "generation 2, 3 positions" in " ".join(done.stdout.split())) == (0, True)
    assert "building, 3 of 3 positions" in done.stderr
    assert "current" in duly(folder, "list", "shop:app").stdout


def test_a_rebuild_tells_its_progress_as_json(folder: Path) -> None:
    lines = duly(folder, "rebuild", "shop:app", "order_list", "--json").stdout.splitlines()
    phases = [json.loads(line)["phase"] for line in lines]
    assert phases == ["building", "exchanging", "removing what was replaced", "done"]
    assert json.loads(lines[-1])["done"] == 3


def test_a_projection_that_there_is_not_is_told(folder: Path) -> None:
    told = duly(folder, "rebuild", "shop:app", "order_lists")
    assert (told.returncode, "Projections are: order_list" in " ".join(told.stderr.split())) == (1, True)
    assert duly(folder, "rebuild", "sqlite:///shop.db", "order_list").returncode == 2
