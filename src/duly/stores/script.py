"""Several statements that belong together, apart from any driver.

A script is a generator: it yields statements, receives what each returned, and returns its result. Whoever has a
connection can run it, whole, in one transaction: a thread of ours, an asyncpg connection, or a user's own.

Statements are written once, in PostgreSQL's words. For SQLite the schema ``duly.`` becomes a prefix, row locks go
(there is one writer), and ``= ANY(:list)`` becomes a subquery over JSON. ``JSON_ROWS(:rows, id text, number bigint)``
stands in both for a table of records that come in as one parameter, a JSON text made by `json_rows`. ``string_agg``
makes one text of many. The few statements that one of them plans badly are there twice: ``ON_POSTGRES`` stands between
them, and what comes after it is for PostgreSQL.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")
Row: TypeAlias = Sequence[Any]


class Statement(msgspec.Struct, frozen=True):
    """SQL with ``:name`` parameters."""

    text: str
    parameters: Mapping[str, object] = {}
    rows: Sequence[Row] = ()
    """Instead of parameters, on SQLite: several rows for an INSERT, their values in the order of the names."""


class Result(msgspec.Struct, frozen=True):
    """The rows that a statement returned, and how many it changed."""

    rows: Sequence[Row]
    changed: int
    row_id: int = 0
    """On SQLite, of the row that was inserted: RETURNING takes as long as half an INSERT."""


Script: TypeAlias = Generator[Statement, Result, T]

ON_POSTGRES: Final = "\n-- On PostgreSQL instead:\n"

_JSON_ROWS: Final = re.compile(r"JSON_ROWS\(:(\w+), ([^)]*)\)\s+AS (\w+)")
_ANY: Final = re.compile(r"= ANY\(:(\w+)\)")
_ROW_LOCK: Final = re.compile(r"\bFOR (?:UPDATE|SHARE)(?: OF \w+)?(?: SKIP LOCKED)?")
_records: Final = msgspec.json.Encoder()


def json_rows(rows: Sequence[Mapping[str, object]]) -> str:
    """Records as the parameter of ``JSON_ROWS``; the values are text, whole numbers or None."""
    return _records.encode(rows).decode()


def storable(text: str) -> str:
    """*text* as every database can hold it: NUL and lone surrogates go. For the words of errors and providers."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


class SqliteText(msgspec.Struct, frozen=True):
    """A statement in SQLite's words, and which of its parameters are lists."""

    text: str
    lists: frozenset[str]


@lru_cache(maxsize=512)
def for_sqlite(text: str) -> SqliteText:
    """A statement in SQLite's words."""
    text = _JSON_ROWS.sub(_json_each, text.partition(ON_POSTGRES)[0])
    lists = frozenset(_ANY.findall(text))
    text = _ANY.sub(r"IN (SELECT value FROM json_each(:\1))", text)
    text = _ROW_LOCK.sub("", text).replace("string_agg(", "group_concat(")
    return SqliteText(text.replace("duly.", "duly_"), lists)


@lru_cache(maxsize=512)
def for_postgres(text: str) -> str:
    """A statement in PostgreSQL's words."""
    return _JSON_ROWS.sub(r"jsonb_to_recordset(CAST(:\1 AS jsonb)) AS \3 (\2)", text.rpartition(ON_POSTGRES)[2])


def _json_each(match: re.Match[str]) -> str:
    names = [column.split()[0] for column in match[2].split(",")]
    columns = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names)
    return f"(SELECT {columns} FROM json_each(:{match[1]})) AS {match[3]}"
