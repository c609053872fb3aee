"""``duly processes``, as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from duly import Duly, Email, Sms
from duly.gateways.recording import RecordingGateway
from duly.testing.histories import check_histories
from tests.scenarios.running import quick_settings
from tests.scenarios.welcoming import Order, Register, Welcome, welcoming

URL = "sqlite:///shop.db"


def application(folder: Path) -> Duly:
    return Duly(
        modules=[welcoming],
        store=f"sqlite:///{folder / 'shop.db'}",
        gateways=[RecordingGateway(Sms, Email)],
        tenant="acme",
        settings=quick_settings(),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    async def fill() -> None:
        async with application(tmp_path) as app:
            await app.execute(Register(customer_id="ann"))
            await app.execute(Register(customer_id="bob"))
            await app.execute(Order(order_id="o-1", customer_id="bob"))
            await app.until_quiet()

    asyncio.run(fill())
    return tmp_path


def duly(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "duly"
    wide = {**os.environ, "COLUMNS": "140"}
    return subprocess.run(
        [command, "processes", *arguments],
        cwd=folder,
        env=wide,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_processes_are_listed_with_what_they_wait_for(folder: Path) -> None:
    told = duly(folder, "list", URL, "--tenant", "acme")

    assert told.returncode == 0, told.stderr
    assert "Welcome" in told.stdout
    assert "waits, until give_up" in told.stdout
    assert '"order_id":"o-1"' in told.stdout
    assert "+491" not in told.stdout


def test_they_are_listed_as_json_in_pages(folder: Path) -> None:
    first = duly(folder, "list", URL, "--tenant", "acme", "--rows", "1", "--json")
    assert [json.loads(line)["id"] for line in first.stdout.splitlines()] == ["ann"]
    assert first.stderr.strip() == "There may be more: --after Welcome ann"

    then = duly(folder, "list", URL, "--tenant", "acme", "--json", "--after", "Welcome", "ann", "--process", "Welcome")
    assert [json.loads(line)["id"] for line in then.stdout.splitlines()] == ["bob"]


def test_nobody_sees_the_processes_of_another_tenant(folder: Path) -> None:
    assert duly(folder, "list", URL, "--tenant", "globex", "--json").stdout == ""
    assert duly(folder, "list", URL).returncode == 2


def test_a_process_is_shown_with_what_it_heard_and_decided(folder: Path) -> None:
    told = duly(folder, "show", URL, "Welcome", "bob", "--tenant", "acme")

    assert told.returncode == 0, told.stderr
    assert "Registered" in told.stdout
    assert 'sets give_up: {"after_ms":259200000}' in told.stdout
    assert "sends" in told.stdout
    assert "+491" not in told.stdout


def test_shown_as_json_it_is_a_golden_history(folder: Path) -> None:
    (folder / "histories").mkdir()
    told = duly(folder, "show", URL, "Welcome", "bob", "--tenant", "acme", "--json")
    (folder / "histories" / "bob.json").write_text(told.stdout)

    assert check_histories(folder / "histories", Welcome) == 1


def test_a_process_that_there_is_not_is_told(folder: Path) -> None:
    told = duly(folder, "show", URL, "Welcome", "nobody", "--tenant", "acme")
    assert told.returncode == 1
    assert "There is no process Welcome 'nobody'" in told.stderr
