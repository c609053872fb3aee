"""SQLite's errors in our own words."""

from __future__ import annotations

import sqlite3

from duly.errors import StoreBusy, StoreError, StoreFull, StoreReadOnly, StoreUnavailable


def store_error(error: sqlite3.Error, url: str) -> StoreError:
    """The error of ours that says what *error* means for the user. Source: sqlite.org/rescode.html."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"The disk of {url} is full; nothing of this change was stored. Make room and try again.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StoreReadOnly(
                f"{url} cannot be written to: {error}. Check the rights on the file and its folder, and the mount."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StoreUnavailable(
                f"{url} cannot be opened: {error}. Check that the folder exists and may be written to."
            )
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreUnavailable(f"{url} is no SQLite database, or a damaged one: {error}. Restore a backup.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(
                f"{url} is locked by a program that does not take duly's file lock: {error}. Stop it, or have it write "
                "through duly."
            )
        case sqlite3.SQLITE_IOERR:
            return StoreUnavailable(
                f"The disk under {url} reports an error: {error}. Nothing of this change is stored."
            )
        case _:
            return StoreError(f"{url} refused a statement: {error}.")
