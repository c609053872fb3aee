"""Every code block in README and docs runs; what a page says is printed is what is printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
KNOWN = {"python", "text", "console", "mermaid", "sql"}
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def fences(page: Path) -> list[Token]:
    return [token for token in MarkdownIt().parse(page.read_text()) if token.type == "fence"]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_python_of_a_page_runs_and_prints_what_the_page_says(page: Path, tmp_path: Path) -> None:
    found = fences(page)
    assert {fence.info for fence in found} <= KNOWN
    blocks = [index for index, fence in enumerate(found) if fence.info == "python"]
    if not blocks:
        return
    run = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "tests/docs/run_page.py"), str(page)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    outputs: list[str] = json.loads(run.stdout.splitlines()[-1])
    for index, output in zip(blocks, outputs, strict=True):
        following = found[index + 1] if index + 1 < len(found) else None
        expected = following.content if following is not None and following.info == "text" else ""
        assert output == expected, f"the block before line {found[index].map}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_commands_of_a_page_exist_and_the_commands_of_duly_run(page: Path, tmp_path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for fence in fences(page):
        if fence.info != "console":
            continue
        for line in fence.content.splitlines():
            if not line.startswith("$ "):
                continue
            words = [word for word in shlex.split(line[2:], comments=True) if "=" not in word or word.startswith("-")]
            if words[0] == "make":
                assert set(words[1:]) - {"-s"} <= targets, line
            elif words[0] == "duly" and "worker" not in words:
                subprocess.run(line[2:], shell=True, cwd=tmp_path, env=environment, check=True, capture_output=True)
            else:
                assert words[0] in {"pip", "git", "duly", "python"}, f"{line}: nobody runs this"


def test_the_program_of_the_first_page_fits_in_forty_lines() -> None:
    program = next(fence for fence in fences(ROOT / "README.md") if fence.info == "python")
    assert len(program.content.splitlines()) <= 40


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
