"""What a benchmark needs of a kind of database, besides speaking to it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Place(Protocol):
    """Makes databases that nobody else uses. A database is named by its URL."""

    @property
    def store(self) -> str:
        """``sqlite`` or ``postgres``."""

    def open(self) -> None:
        """Make ready; once more does nothing. Raises `NotRun` where this kind of database cannot be had."""

    def metered(self, *, counting: bool) -> AbstractContextManager[object]:
        """Stopwatches in the block see what is asked of databases (*counting*), or else what the server spends."""

    def close(self) -> None:
        """Remove everything."""

    def create(self, *, copy_of: str | None = None) -> str:
        """A new, empty database, or a copy of one that nobody has open; its URL."""

    def remove(self, url: str) -> None:
        """Throw a database away."""

    def count(self, url: str, query: str) -> int:
        """The number that *query* selects. Tables of duly are written ``duly.name`` on both kinds."""
