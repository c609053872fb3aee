"""The demo as its user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.shop.demo", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=90,
    )


@pytest.mark.timeout(100)
def test_the_story_is_as_promised_and_is_written_down_for_programs(tmp_path: Path) -> None:
    written = tmp_path / "outcome.json"

    done = demo("--orders=110", f"--json={written}", f"--directory={tmp_path / 'run'}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "As promised" in done.stdout
    outcome = json.loads(written.read_text())
    assert outcome["is_as_promised"]
    assert outcome["comparison"]["differences"] == []
    assert {check["point"] for check in outcome["checks"]} == set(range(1, 14))
    assert [check for check in outcome["checks"] if not check["holds"]] == []
    # Nothing is hard-coded: what the file says of the ledger is what the providers wrote down themselves.
    for channel, counts in outcome["comparison"]["channels"].items():
        lines = (tmp_path / "run" / "world" / f"accepted-{channel}.jsonl").read_text().splitlines()
        effects = [effect for ledger in outcome["ledgers"].values() for effect in ledger]
        accepted = [effect for effect in effects if effect["channel"] == channel and effect["state"] == "accepted"]
        assert counts["taken_there"] == len(lines) == len(accepted) + counts["unknown_there"]
        assert counts["duplicates_there"] == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_demo_that_is_stopped_leaves_no_process_behind(how: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.shop.demo", f"--directory={tmp_path}"]
    # In a session of its own, so that all its processes are in one group, and nobody else's.
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        until_workers_run = next(line for line in process.stdout if "Providers" in line)
        process.send_signal(how)

        assert process.wait(20) == (-how if how is signal.SIGKILL else 130), until_workers_run
    deadline = time.monotonic() + 20
    while _is_anybody_left(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_anybody_left(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("orders", ["109", "5001"])
def test_a_number_of_orders_that_the_story_has_no_roles_for_is_refused(orders: str) -> None:
    done = demo(f"--orders={orders}")

    assert done.returncode == 2
    assert "110 to 5000" in done.stderr


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_text("mine")

    done = demo(f"--directory={tmp_path}")

    assert done.returncode != 0
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["shop.db"]
