"""The command line, as a user runs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from duly import Dispatch

APPLICATION = """
import asyncio
from duly import Aggregate, Command, Duly, Effects, Module, Sms
from duly.gateways.console import ConsoleSms

class Text(Command):
    text: str

desk = Module("desk", tables=("CREATE TABLE IF NOT EXISTS visit (page TEXT)",))

@desk.command
async def text(command: Text, effects: Effects) -> None:
    effects.request(Sms(to="+4915123456789", text=command.text))

def app(worker: bool = False) -> Duly:
    return Duly(modules=[desk], store="sqlite:///desk.db", gateways=[ConsoleSms()], tenant="acme", worker=worker)

async def ask() -> None:
    async with app() as running:
        await running.execute(Text(text="hello"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "desk.py").write_text(APPLICATION)
    return tmp_path


def duly(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "duly"
    return subprocess.run([command, *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=False)


def test_migrate_sets_a_database_up_and_then_has_nothing_to_do(folder: Path) -> None:
    first = duly(folder, "migrate", "sqlite:///desk.db")
    assert (first.returncode, "duly schema version 1" in first.stdout) == (0, True)
    assert "Nothing to do" in duly(folder, "migrate", "sqlite:///desk.db").stdout


def test_migrate_by_application_also_makes_its_own_tables(folder: Path) -> None:
    done = duly(folder, "migrate", "desk:app", "--json")
    assert json.loads(done.stdout)["done"] == ["duly schema version 1", "CREATE TABLE IF NOT EXISTS visit (page TEXT)"]
    assert json.loads(duly(folder, "migrate", "desk:app", "--json").stdout)["done"] == []
    connection = sqlite3.connect(folder / "desk.db")
    assert connection.execute("SELECT count(*) FROM visit").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["migrate", "shop.db"], "names no store"),
        (["migrate", "sqlite:////nowhere/at/all.db"], "folder exists"),
        (["migrate", "nothing:app"], "cannot be loaded"),
        (["worker", "desk:ask"], "not a Duly application"),
        (["worker", "desk:missing"], "cannot be loaded"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_sentence_without_a_traceback(
    folder: Path, arguments: list[str], text: str
) -> None:
    told = duly(folder, *arguments)
    assert told.returncode != 0
    words = " ".join((told.stderr + told.stdout).replace("│", " ").split())
    assert text in words
    assert "Traceback" not in words


async def test_a_worker_keeps_what_another_process_promised_and_stops_when_told(folder: Path) -> None:
    asking = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import asyncio, desk; asyncio.run(desk.ask())", cwd=folder
    )
    assert await asyncio.wait_for(asking.wait(), 30) == 0
    worker = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "duly",
        "worker",
        "desk:app",
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert worker.stdout is not None
    async with asyncio.timeout(30):
        while b"hello" not in await worker.stdout.readline():
            pass
    worker.send_signal(signal.SIGTERM)
    output, errors = await asyncio.wait_for(worker.communicate(), 30)
    assert worker.returncode == 0, errors
    assert b"Stopping" in output
    connection = sqlite3.connect(folder / "desk.db")
    assert connection.execute("SELECT state FROM duly_effect").fetchall() == [(Dispatch.ACCEPTED.value,)]
    connection.close()
