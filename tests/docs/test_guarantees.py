"""The page of guarantees names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_guarantee_names_a_test_that_exists() -> None:
    page = (ROOT / "docs/guarantees.md").read_text()
    promised = re.findall(r"^\| (P\d+) \|.*\|$", page, re.MULTILINE)
    assert len(promised) >= 10
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for row in re.findall(r"^\| P\d+ \|.*$", page, re.MULTILINE):
        names = re.findall(r"`(test_\w+)`", row)
        assert names, row
        for name in names:
            assert re.search(rf"def {name}\b", tests), f"{name} of {row[:6]} does not exist"


def test_every_test_that_a_page_names_exists() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for page in ("guarantees.md", "ARCHITECTURE.md"):
        for name in re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text()):
            assert re.search(rf"def {name}\b", tests), f"{page} names {name}, which does not exist"


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs/adr"
    index = (folder / "README.md").read_text()
    for page in folder.glob("[0-9]*.md"):
        assert f"]({page.name})" in index
        for part in ("**Context.**", "**Decision.**", "**Consequences.**", "**Look again**"):
            assert part in page.read_text(), f"{page.name} lacks {part}"
