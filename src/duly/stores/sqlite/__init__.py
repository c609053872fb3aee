"""SQLite, by the standard library's module: the default store."""

from duly.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
