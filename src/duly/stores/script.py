"""Several statements that belong together, apart from any driver.

A script is a generator: it yields statements, receives what each returned, and returns its result. Whoever has a
connection can run it, whole, in one transaction: a thread of ours, an asyncpg connection, or a user's own.

Statements are written once, in PostgreSQL's words. For SQLite the schema ``duly.`` becomes a prefix, row locks go
(there is one writer), and ``= ANY(:list)`` becomes a subquery over JSON.
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


class Result(msgspec.Struct, frozen=True):
    """The rows that a statement returned, and how many it changed."""

    rows: Sequence[Row]
    changed: int


Script: TypeAlias = Generator[Statement, Result, T]


_ANY: Final = re.compile(r"= ANY\(:(\w+)\)")
_ROW_LOCK: Final = re.compile(r"\bFOR (?:UPDATE|SHARE)(?: OF \w+)?(?: SKIP LOCKED)?")


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
    lists = frozenset(_ANY.findall(text))
    text = _ANY.sub(r"IN (SELECT value FROM json_each(:\1))", text)
    return SqliteText(_ROW_LOCK.sub("", text).replace("duly.", "duly_"), lists)
