"""The project's files, and copies of them into which a test plants a violation."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def copied_source(place: Path) -> Path:
    """A copy of ``src`` in *place*, to be changed at will."""
    return Path(shutil.copytree(ROOT / "src", place / "src", ignore=shutil.ignore_patterns("__pycache__")))


def file_of(source: Path, module: str) -> Path | None:
    """The file of a dotted *module* below *source*; a package's is its ``__init__.py``; None when there is none."""
    path = source.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def plant(file: Path, text: str) -> None:
    """Append *text* to *file*, which is made if it is not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.write(f"\n{text}\n")
