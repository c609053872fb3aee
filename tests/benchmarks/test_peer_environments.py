"""A peer's environment is made once from its pins, or it is told why not. No network: the wheel is made here."""

from __future__ import annotations

import hashlib
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from benchmarks.benchmark import NotRun
from benchmarks.peers.environments import PINS, Environments

WHEEL = "gadget-1.5-py3-none-any.whl"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip sees."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def pins(tmp_path: Path, shelf: Path) -> Path:
    """Requirements of one peer, ``gadget``, whose wheel lies on the shelf."""
    with zipfile.ZipFile(shelf / WHEEL, "w") as wheel:
        wheel.writestr("gadget.py", "greeting = 'hello'\n")
        wheel.writestr("gadget-1.5.dist-info/METADATA", "Metadata-Version: 2.1\nName: gadget\nVersion: 1.5\n")
        wheel.writestr("gadget-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("gadget-1.5.dist-info/RECORD", "")
    digest = hashlib.sha256((shelf / WHEEL).read_bytes()).hexdigest()
    folder = tmp_path / "pins"
    folder.mkdir()
    (folder / "gadget.txt").write_text(f"gadget==1.5 \\\n    --hash=sha256:{digest}\n")
    return folder


def test_an_environment_has_the_peer_and_is_made_once_until_its_pins_change(tmp_path: Path, pins: Path) -> None:
    said: list[str] = []
    environments = Environments(tmp_path / "environments", pins)

    environments.prepare(["gadget"], said.append)

    greeted = [str(environments.python("gadget")), "-c", "import gadget; print(gadget.greeting)"]
    assert subprocess.run(greeted, capture_output=True, text=True, check=True).stdout == "hello\n"
    assert said == ["peers 1/1: setting up gadget 1.5 (once)"]

    Environments(tmp_path / "environments", pins).prepare(["gadget"], said.append)
    assert len(said) == 1

    with (pins / "gadget.txt").open("a") as file:
        file.write("# resolved anew\n")
    Environments(tmp_path / "environments", pins).prepare(["gadget"], said.append)
    assert len(said) == 2


def test_a_peer_that_cannot_be_had_is_not_run_and_says_why(tmp_path: Path, pins: Path, shelf: Path) -> None:
    (shelf / WHEEL).unlink()
    said: list[str] = []
    environments = Environments(tmp_path / "environments", pins)

    environments.prepare(["gadget"], said.append)

    with pytest.raises(NotRun, match="it cannot be installed: No matching distribution found for gadget==1.5"):
        environments.python("gadget")
    assert "gadget is not run: it cannot be installed" in said[-1]


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tmp_path: Path, pins: Path, shelf: Path) -> None:
    with zipfile.ZipFile(shelf / WHEEL, "a") as wheel:
        wheel.writestr("more.py", "")
    environments = Environments(tmp_path / "environments", pins)

    environments.prepare(["gadget"], lambda _: None)

    with pytest.raises(NotRun, match="it cannot be installed"):
        environments.python("gadget")


@pytest.mark.parametrize("file", sorted(PINS.glob("*.txt")), ids=lambda file: file.stem)
def test_pins_have_hashes_and_name_no_place(file: Path) -> None:
    text = file.read_text()

    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash)", text, re.MULTILINE)
    for pinned in re.finditer(r"^[a-z0-9.-]+==[^\n]*\\$", text, re.MULTILINE):
        assert text[pinned.end() :].startswith("\n    --hash=sha256:")
    assert Environments().version(file.stem)
