"""The store for tests: a private SQLite database in memory, gone when it is closed.

It is the same code as the file store, so that what passes on it passes there; see docs/adr.
"""

from __future__ import annotations

from duly.stores.sqlite.store import SqliteStore


class MemoryStore(SqliteStore):
    """A database in memory."""

    def __init__(self) -> None:
        super().__init__(":memory:")

    @property
    def url(self) -> str:
        """``memory:``"""
        return "memory:"
