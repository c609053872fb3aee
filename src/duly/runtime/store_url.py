"""A store from its URL."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from duly.errors import StoreUrlInvalid
from duly.ports.store import Store

FORMS: Final = (
    "sqlite:///path/to/file.db (a relative path), sqlite:////absolute/path.db, postgresql://user@host/database "
    "or memory:"
)


def store_from_url(url: str) -> Store:
    """The store that *url* names; nothing is opened yet. Raises `StoreUrlInvalid`."""
    scheme, _, rest = url.partition(":")
    match scheme:
        case "memory" if rest in ("", "//"):
            from duly.stores.memory import MemoryStore

            return MemoryStore()
        case "sqlite":
            return _sqlite(url, rest)
        case "postgresql" | "postgres":
            return _postgres(url)
        case _:
            raise StoreUrlInvalid(f"{_without_secret(url)!r} names no store. Use {FORMS}.")


def _sqlite(url: str, rest: str) -> Store:
    from duly.stores.memory import MemoryStore
    from duly.stores.sqlite.store import SqliteStore

    if rest in ("", "//", "///:memory:", ":memory:"):
        if rest.endswith(":memory:"):
            return MemoryStore()
        raise StoreUrlInvalid(f"{url!r} names no file. Use {FORMS}.")
    if not rest.startswith("///") or rest.endswith("/") or "?" in rest:
        raise StoreUrlInvalid(f"{url!r} names no SQLite file: three slashes and a path, no options. Use {FORMS}.")
    return SqliteStore(rest.removeprefix("///"))


def _postgres(url: str) -> Store:
    try:
        parts = urlsplit(url)
        has_database = len(parts.path) > 1
    except ValueError as error:
        raise StoreUrlInvalid(f"{_without_secret(url)!r} is malformed: {error}. Use {FORMS}.") from None
    if not has_database:
        raise StoreUrlInvalid(f"{_without_secret(url)!r} names no database. Use {FORMS}.")
    from duly.stores.postgres import PostgresStore

    return PostgresStore(url)


def _without_secret(url: str) -> str:
    """A URL that may be shown."""
    before, at, after = url.rpartition("@")
    if not at:
        return url
    head, _, _ = before.rpartition(":") if before.count(":") > 1 else (before, "", "")
    return f"{head}@{after}"
