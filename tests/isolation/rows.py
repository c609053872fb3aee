"""Reads the database by the drivers alone, when nobody else is at it any more."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Final, TypeAlias

import asyncpg

from tests.isolation.history import Document, Logged, Rows

Select: TypeAlias = Callable[[str], Sequence[Sequence[Any]]]

LIFE: Final = 2**32
"""Versions of documents count below this."""
STATEMENTS: Final = {
    "documents": "SELECT type, id, version, body FROM duly.document ORDER BY type, id",
    "log": (
        "SELECT c.first_position + m.ordinal, m.stream_version, m.body FROM duly.log_commit AS c "
        "JOIN duly.message AS m ON m.commit_id = c.commit_id AND m.ordinal < c.events ORDER BY 1"
    ),
    "unnumbered": "SELECT count(*) FROM duly.unnumbered",
    "inbox": "SELECT id FROM duly.inbox WHERE is_tombstone = 0",
    "names": "SELECT value, id FROM duly.entry WHERE field = 'name'",
    "jotted": "SELECT operation FROM jotting",
    "texted": "SELECT reference FROM duly.effect",
    "outbox": "SELECT (SELECT count(*) FROM duly.outbox), (SELECT count(*) FROM duly.parked)",
}


async def read_rows(url: str) -> Rows:
    """Everything that the checker looks at in the database *url*."""
    if not url.startswith("postgres"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            found = {name: file.execute(text.replace("duly.", "duly_")).fetchall() for name, text in STATEMENTS.items()}
        return _rows(found)
    session: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url)
    try:
        while await session.fetchval("SELECT duly.number_commits(10000)"):
            pass  # the application has gone before all of its events had positions
        return _rows({name: [tuple(row) for row in await session.fetch(text)] for name, text in STATEMENTS.items()})
    finally:
        await session.close()


def _rows(found: dict[str, list[tuple[Any, ...]]]) -> Rows:
    log = [_logged(*row) for row in found["log"]]
    streams: dict[str, list[int]] = defaultdict(list)
    for one in log:
        streams[one.key].append(one.number)
    documents: list[Document] = []
    heard: list[tuple[str, tuple[int, ...]]] = []
    for type_name, key, version, body in found["documents"]:
        version %= LIFE  # the rest is the business of whoever checks versions
        match type_name:
            case "isolation.Account":
                fields = json.loads(body)
                documents.append(Document(key, version, tuple(fields["numbers"]), fields.get("name")))
            case "isolation.Journal":
                documents.append(Document(key, version, tuple(streams[key])))
            case _:
                heard.append((key, tuple(json.loads(body)["numbers"])))
    ((unnumbered,),) = found["unnumbered"]
    ((undelivered, parked),) = found["outbox"]
    assert unnumbered == 0, f"{unnumbered} commits have no position"
    return Rows(
        documents=tuple(documents),
        log=tuple(log),
        inbox=tuple(row[0] for row in found["inbox"]),
        names=tuple((value, key) for value, key in found["names"]),
        jotted=tuple(row[0] for row in found["jotted"]),
        texted=tuple(row[0] for row in found["texted"]),
        heard=tuple(heard),
        undelivered=undelivered,
        parked=parked,
    )


def _logged(position: int, version: int, body: str) -> Logged:
    fields = json.loads(body)
    return Logged(position, fields["key"], version, fields["number"], fields.get("removes", False))
