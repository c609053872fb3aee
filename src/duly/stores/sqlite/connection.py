"""Connections to one SQLite database, and running scripts on them. Everything here runs in a thread of the engine."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from types import NoneType
from typing import Final, TypeAlias, TypeVar

from duly.stores.placeholders import bind_positional
from duly.stores.script import Result, Script, Statement, for_sqlite
from duly.stores.user_statement import all_values_of, values_of

T = TypeVar("T")

Values: TypeAlias = Callable[[Mapping[str, object]], tuple[object, ...]]

READ_CACHED_STATEMENTS: Final = 256
BUSY_TIMEOUT_SECONDS: Final = 5.0
CACHE_KIBIBYTES: Final = 16 * 1024
"""How much of a database one connection keeps in memory at most. Of a ledger that has grown, SQLite's own 2 MB hold
hardly the inner pages of the indexes."""
ROWS_PER_INSERT_MAX: Final = 16
"""How many rows one INSERT writes; more take several. Each number of rows is a statement of its own in the cache."""
_PLAIN: Final = frozenset({str, int, float, bytes, NoneType})
_CHANGES_ROWS: Final = re.compile(
    r"\s*(?:INSERT|UPDATE|DELETE|REPLACE)\b(?!.*\bRETURNING\b)", re.IGNORECASE | re.DOTALL
)


def connect(path: str, *, read_only: bool, clock_shift_ms: Callable[[], int]) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun and ended by us alone. Raises `sqlite3.Error`."""
    if path == ":memory:":
        target, uri = path, False
    else:
        target, uri = f"{_as_uri(path)}?mode={'ro' if read_only else 'rwc'}", True
    connection = sqlite3.connect(
        target,
        uri=uri,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT_SECONDS,
        cached_statements=READ_CACHED_STATEMENTS,
    )
    try:
        connection.create_function("duly_now_ms", 0, lambda: time.time_ns() // 1_000_000 + clock_shift_ms())
        # Locks between transactions of PostgreSQL; here there is one writer.
        connection.create_function("duly_share_bucket", 1, lambda bucket: bucket)
        connection.create_function("duly_lock_bucket", 1, lambda bucket: bucket)
        connection.create_function("duly_share_projection", 1, lambda name: name)
        connection.create_function("duly_lock_projection", 1, lambda name: name)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            # NORMAL loses acknowledged commits when the power goes; see docs/adr.
            connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _as_uri(path: str) -> str:
    return "file:" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def run_script(connection: sqlite3.Connection, script: Script[T]) -> T:
    """Run a script to its end; its result."""
    try:
        statement = next(script)
        while True:
            statement = script.send(_execute(connection, statement))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        script.close()


def _execute(connection: sqlite3.Connection, statement: Statement) -> Result:
    if statement.rows:
        return _insert(connection, statement)
    text, values = _prepared(statement.text)
    cursor = connection.execute(text, values(statement.parameters))
    return Result(cursor.fetchall(), cursor.rowcount, cursor.lastrowid or 0)


def _insert(connection: sqlite3.Connection, statement: Statement) -> Result:
    changed = 0
    for first in range(0, len(statement.rows), ROWS_PER_INSERT_MAX):
        rows = statement.rows[first : first + ROWS_PER_INSERT_MAX]
        values = [value for row in rows for value in row]
        changed += connection.execute(_insert_of(statement.text, len(rows)), values).rowcount
    return Result((), changed)


@lru_cache(maxsize=256)
def _insert_of(text: str, count: int) -> str:
    """An INSERT of one row, for so many."""
    into, values = _prepared(text)[0].rsplit("VALUES", 1)
    return f"{into}VALUES {', '.join([values.strip()] * count)}"


@lru_cache(maxsize=512)
def _prepared(text: str) -> tuple[str, Values]:
    """One of our own statements as SQLite takes it, and what makes its values of its parameters."""
    ours = for_sqlite(text)
    bound = bind_positional(ours.text)
    if len(bound.names) > 1 and not ours.lists:
        return bound.statement, itemgetter(*bound.names)

    def values(parameters: Mapping[str, object]) -> tuple[object, ...]:
        return tuple(json.dumps(parameters[name]) if name in ours.lists else parameters[name] for name in bound.names)

    return bound.statement, values


def run_user_statement(
    connection: sqlite3.Connection, statement: str, parameters: Mapping[str, object]
) -> tuple[list[dict[str, object]], int]:
    """A statement of the user's own: its rows by column name, and how many it changed. Raises `UserSqlError`."""
    bound = bind_positional(statement)
    values = values_of(statement, bound, parameters)
    cursor = connection.execute(bound.statement, [_adapted(value) for value in values])
    names = [column[0] for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return rows, max(cursor.rowcount, 0)


def run_many(connection: sqlite3.Connection, statement: str, rows: Sequence[Mapping[str, object]]) -> None:
    """A statement of the user's own, for each of *rows*. Raises `UserSqlError`."""
    bound = bind_positional(statement)
    adapted = [
        values if _PLAIN.issuperset(map(type, values)) else [_adapted(value) for value in values]
        for values in all_values_of(statement, bound, rows)
    ]
    if len(rows) == 1 or not _CHANGES_ROWS.match(statement):  # executemany takes nothing else
        for values in adapted:
            connection.execute(bound.statement, values).fetchall()
    else:
        connection.executemany(bound.statement, adapted)


def _adapted(value: object) -> object:
    """What SQLite has no type for, as text: a time in ISO form, a Decimal digit by digit."""
    match value:
        case datetime():
            return value.isoformat()
        case Decimal():
            return str(value)
        case _:
            return value
