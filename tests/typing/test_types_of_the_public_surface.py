"""What type checkers say of programs that use duly: the files in ``cases``, right lines and wrong ones.

A wrong line carries ``# type: ignore[code]``; a checker that warns of ignores without need proves that it is wrong.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

CASES = sorted(Path(__file__).parent.glob("cases/*.py"))

PLANTED = """\
from typing import assert_type

from duly import Aggregate, Command, Duly, Personal, Repository


class Reserve(Command[int]):
    seat_id: Personal[str]


class Seat(Aggregate):
    row: int


async def wrong(app: Duly, seats: Repository[Seat], command: Reserve) -> None:
    assert_type(await app.execute(command), str)  # E: assert-type
    assert_type(command.seat_id, int)  # E: assert-type
    assert_type(await seats.find("1"), Seat)  # E: assert-type
    Reserve("1")  # E: call-arg
    command.seat_id = "2"  # E: misc
    Seat(id="1", row="2")  # E: arg-type
    Seat(id="1", row=2)  # type: ignore[call-arg]  # E: unused-ignore
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose mistakes are not excused: what a checker must say of it is written beside each line."""
    file = tmp_path_factory.mktemp("planted") / "planted.py"
    file.write_text(PLANTED)
    return file


@pytest.fixture(scope="module")
def said(planted: Path) -> dict[Path, list[tuple[int, str, str]]]:
    """What mypy, strict as for everything else here, says of the cases and of the planted file: line, code, text."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", planted.parent / "cache", *CASES, planted],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[Path, list[tuple[int, str, str]]] = defaultdict(list)
    for line in done.stdout.splitlines():
        if match := re.fullmatch(r"(.+?):(\d+): error: (.+?)  \[([\w-]+)\]", line):
            found[(ROOT / match[1]).resolve()].append((int(match[2]), match[4], match[3]))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_mypy_agrees_with_every_line_of_the_case(case: Path, said: dict[Path, list[tuple[int, str, str]]]) -> None:
    assert said[case] == []


def test_mypy_finds_each_planted_mistake(planted: Path, said: dict[Path, list[tuple[int, str, str]]]) -> None:
    expected = [
        (number, line.partition("# E: ")[2])
        for number, line in enumerate(PLANTED.splitlines(), start=1)
        if "# E: " in line
    ]
    assert [(number, code) for number, code, _ in said[planted.resolve()]] == expected


def test_every_case_has_right_lines_and_wrong_ones() -> None:
    assert len(CASES) > 3
    for case in CASES:
        text = case.read_text()
        assert text.count("assert_type(") > 3, case.name
        assert text.count("# type: ignore[") > 3, case.name


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed")
def test_pyright_agrees_with_every_line_of_the_cases(tmp_path: Path) -> None:
    # The paths in its settings are relative to them, and the settings must not lie about in the project.
    (tmp_path / "project").symlink_to(ROOT)
    config = {
        "include": [f"project/{case.relative_to(ROOT)}" for case in CASES],
        "extraPaths": ["project/src"],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "enableTypeIgnoreComments": True,
        "reportUnnecessaryTypeIgnoreComment": True,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--project", tmp_path],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout
