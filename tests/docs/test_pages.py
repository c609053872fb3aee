"""Every code block in README and docs runs; what a page says is printed is what is printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
KNOWN = {"python", "text", "console", "mermaid", "sql"}
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
TUTORIAL = ROOT / "docs/tutorial"
CHAPTERS = sorted(TUTORIAL.glob("[0-9][0-9]-*.md"))
SESSIONS = {"docs/tutorial": CHAPTERS} | {
    name: [page] for name, page in zip(NAMES, PAGES, strict=True) if page not in CHAPTERS
}
"""Pages that are run together, in one process and folder: the tutorial's chapters, and every other by itself."""
WORDS_PER_CHAPTER_MAX = 750
"""Text and code together, which are read at a hundred and fifty words a minute."""


def fences(page: Path) -> list[Token]:
    return [token for token in MarkdownIt().parse(page.read_text()) if token.type == "fence"]


def python_blocks(page: Path) -> list[int]:
    return [index for index, fence in enumerate(fences(page)) if fence.info == "python"]


@pytest.mark.parametrize("pages", SESSIONS.values(), ids=SESSIONS)
def test_the_python_of_a_page_runs_and_prints_what_the_page_says(pages: list[Path], tmp_path: Path) -> None:
    for page in pages:
        assert {fence.info for fence in fences(page)} <= KNOWN
    if not any(python_blocks(page) for page in pages):
        return
    run = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "tests/docs/run_page.py"), *map(str, pages)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60 if len(pages) == 1 else 240,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    printed: list[list[str]] = json.loads(run.stdout.splitlines()[-1])
    for page, outputs in zip(pages, printed, strict=True):
        found = fences(page)
        for index, output in zip(python_blocks(page), outputs, strict=True):
            following = found[index + 1] if index + 1 < len(found) else None
            expected = following.content if following is not None and following.info == "text" else ""
            assert output == expected, f"{page.name}, the block before line {found[index].map}"


def test_the_tutorial_lists_its_chapters_and_each_leads_to_the_next() -> None:
    assert [chapter.name[:2] for chapter in CHAPTERS] == [f"{number:02}" for number in range(1, len(CHAPTERS) + 1)]
    listed = re.findall(r"\]\((\d\d-[^)]+\.md)\)", (TUTORIAL / "README.md").read_text())
    assert listed == [chapter.name for chapter in CHAPTERS]
    for chapter, following in pairwise(CHAPTERS):
        assert f"]({following.name})" in chapter.read_text().splitlines()[-1], f"{chapter.name} leads nowhere"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=[chapter.name for chapter in CHAPTERS])
def test_a_chapter_is_read_in_five_minutes(chapter: Path) -> None:
    words = len(re.findall(r"[^\W_]+", chapter.read_text()))
    assert words <= WORDS_PER_CHAPTER_MAX, f"{chapter.name} has {words:,} words: make two chapters of it."


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
