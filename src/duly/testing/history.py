"""An append-only record of what was asked, acknowledged and called, written by processes that are not under test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """One line: what happened, about what, with which detail."""

    what: str
    about: str
    detail: str = ""


class History:
    """The record of one run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[Entry] = []

    def add(self, what: str, about: str, detail: str = "") -> None:
        """Write one line, at once."""
        entry = Entry(what, about, detail)
        self._entries.append(entry)
        with self._path.open("a") as file:
            file.write(json.dumps([entry.what, entry.about, entry.detail]) + "\n")

    def of(self, what: str) -> Iterator[Entry]:
        """The entries of one sort, in order."""
        return (entry for entry in self._entries if entry.what == what)

    def count(self, what: str, about: str) -> int:
        """How many entries of one sort there are about one thing."""
        return sum(entry.about == about for entry in self.of(what))
