"""SQLite files in a folder of their own on a real disk, in the mode that duly uses: WAL, synchronous FULL."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.counting import counted_sqlite
from benchmarks.spending import metered

PREFIX: Final = "sqlite:///"


def connect(url: str) -> sqlite3.Connection:
    """A connection for a floor, with the pragmas of duly's own and transactions in the caller's hands."""
    connection = sqlite3.connect(url.removeprefix(PREFIX), isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


class SqlitePlace:
    """A folder with one file per database."""

    store: Final = "sqlite"

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._numbers = count(1)

    def open(self) -> None:
        """Make the folder: not in /dev/shm, where a sync costs nothing."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="duly-benchmarks-"))

    @contextmanager
    def metered(self, *, counting: bool) -> Iterator[None]:
        """Statements are counted; there is no server that could spend anything."""
        if not counting:
            yield
            return
        with counted_sqlite() as tally, metered(tally):
            yield

    def close(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def create(self, *, copy_of: str | None = None) -> str:
        """The URL of a file that is not there yet, or of a copy."""
        if self._folder is None:
            raise RuntimeError("The place is not open.")
        path = self._folder / f"{next(self._numbers)}.db"
        if copy_of is not None:
            # Nobody has it open, so its log was written back and the file is whole.
            shutil.copyfile(copy_of.removeprefix(PREFIX), path)
        return f"{PREFIX}{path}"

    def remove(self, url: str) -> None:
        """Remove the file and what lies beside it."""
        path = Path(url.removeprefix(PREFIX))
        for beside in path.parent.glob(f"{path.name}*"):
            beside.unlink()

    def count(self, url: str, query: str) -> int:
        """The number that *query* selects."""
        connection = connect(url)
        try:
            (number,) = connection.execute(query.replace("duly.", "duly_")).fetchone()
            return int(number)
        finally:
            connection.close()
