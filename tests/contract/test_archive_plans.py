"""What times, sweeps and the archive cost: as much in a big database as in a small one.

PostgreSQL is asked how many pages of its buffers a statement touched, with statistics and without, for known values and
for any; SQLite how many instructions it ran.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from duly.stores import archive_scripts, history_scripts, housekeeping_scripts, later_scripts
from duly.stores.archived_events import SELECT_ARCHIVED_IN, SELECT_ARCHIVED_STREAM, SELECT_ARCHIVES
from duly.stores.archived_past import SELECT_ARCHIVED_PAST, SELECT_PLACES
from duly.stores.placeholders import bind_numbered
from duly.stores.postgres.address import Connection
from duly.stores.script import for_postgres, for_sqlite, json_rows
from duly.stores.sqlite import SqliteStore
from duly.stores.sqlite.connection import connect
from tests.contract.plans import NO_VACUUM
from tests.contract.test_stream_plans import PAGES

ROWS = 20_000

# Words for both databases; N is a table of numbers. Every commit has one event; those up to 10,000 are archived, ten in
# a row; every tenth of the others has a promise.
FILL = (
    "INSERT INTO duly.inbox (tenant, id, name, digest, token, result, expires_ms) "
    "SELECT 'acme', 'c-' || n, 'shop.Place', 'd', 't', 'null', n FROM N",
    "INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, stream, stream_version, handler, "
    "chain, body) SELECT n, o, 'm-' || n || '-' || o, 'acme', CASE WHEN o = 0 THEN 'event' ELSE 'public' END, "
    "'shop.E', 1, 'shop.Order/o-' || (n / 10), n % 10 + 1, 'h', '[]', '{}' "
    "FROM N CROSS JOIN (SELECT 0 AS o UNION ALL SELECT 1) AS ordinals WHERE n > 10000 OR o = 1",
    "INSERT INTO duly.personal (message_id, tenant, subject, body) SELECT 'm-' || n || '-0', 'acme', 's', '{}' FROM N",
    "INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal) "
    "SELECT 1, n % 32, 'acme/' || n, n, 0 FROM N WHERE n % 500 = 0",
    "INSERT INTO duly.later (tenant, id, due_ms, subscriber_no, bucket, lane, commit_id, ordinal) "
    "SELECT CASE WHEN n % 20 = 0 THEN 'acme' ELSE 'other' END, 'l-' || n, 9000000000000 + n, 1, 1, 'acme/' || n, n, 0 "
    "FROM N WHERE n % 2 = 0",
    "INSERT INTO duly.process_step (tenant, process, id, number, message_id, kind, name, version, body, decision, "
    "at_ms) SELECT 'acme', 'shop.Welcome', 'p-' || (n / 4), n % 4 + 1, 'm', 'event', 'shop.E', 1, '{}', '{}', n FROM N",
    "INSERT INTO duly.document (tenant, type, id, version, schema, body) "
    "SELECT 'acme', 'duly.process.shop.Welcome', 'p-' || n, 1, 1, '{\"is_ended\":true}' FROM N",
    "INSERT INTO duly.archived_event (commit_id, ordinal, place, archive_id) "
    "SELECT n, 0, (n - 1) % 10, (n - 1) / 10 + 1 FROM N WHERE n <= 10000",
)
ARCHIVES = """
INSERT INTO duly.archived_stream (tenant, stream, first_position, last_position, first_version, last_version, events,
                                  body, at_ms, by_whom, reason)
SELECT 'acme', 'shop.Order/o-' || n, n * 10 - 9, n * 10, 1, 10, 10, BODY, n, 'anna', 'done' FROM N WHERE n <= 1000
"""
POSTGRES_COMMITS = f"""
INSERT INTO duly.commit_log (id, tenant, events, at_ms) OVERRIDING SYSTEM VALUE
SELECT n, 'acme', 1, n FROM generate_series(1, {ROWS}) AS n;
DO $$ BEGIN WHILE duly.number_commits(100) > 0 LOOP END LOOP; END $$;
"""
SQLITE_COMMITS = (
    "INSERT INTO duly.commit_log (id, tenant, events, first_position, at_ms) SELECT n, 'acme', 1, n, n FROM N"
)

TEN = json_rows([{"of_tenant": "acme", "of_id": f"c-{n}"} for n in range(10)])
TEN_MESSAGES = json_rows([{"of_commit": 15_000 + n, "of_ordinal": 1} for n in range(10)])
TEN_EVENTS = json_rows([{"of_commit": 15_000 + n, "of_ordinal": 0} for n in range(10)])
TEN_PLACES = json_rows([{"of_commit": 5_000 + n, "number": 0} for n in range(10)])
TEN_COMMITS = [15_000 + n for n in range(10)]
TEN_LATER = json_rows([{"of_tenant": "acme", "of_id": f"l-{20 * n}"} for n in range(1, 11)])
HISTORY = json_rows([{"of_tenant": "acme", "of_process": "shop.Welcome", "of_id": f"p-{n}"} for n in range(10, 20)])
PLACE = {"tenant": "acme", "stream": "shop.Order/o-1500"}
PAST = {"tenant": "acme", "since_ms": 0, "until_ms": 2**62, "heard_ms": 2**62, "backfilled": 1, "own": ""}

# Statement, its parameters, and how many pages it may touch with 20,000 rows in every table. A page of the hundred rows
# that a step looks at is read row by row where it is ordered by another index than the table.
COSTS: dict[str, tuple[str, dict[str, Any], int]] = {
    "next due": (later_scripts.SELECT_NEXT_DUE, {}, 8),
    "due now": (later_scripts.SELECT_DUE_NOW, {"rows_max": 100}, 8),
    "promoted": (
        later_scripts.DELETE_PROMOTED,
        {"tenants": ["acme"], "ids": [f"l-{20 * n}" for n in range(1, 11)], "rows": TEN_LATER},
        120,
    ),
    "expired ids": (housekeeping_scripts.SELECT_IDS, {"tenant": "acme", "id": "c-5", "rows_max": 100}, 130),
    "ids go": (
        housekeeping_scripts.DELETE_IDS,
        {"tenants": ["acme"], "ids": [f"c-{n}" for n in range(10)], "rows": TEN},
        120,
    ),
    "commits": (housekeeping_scripts.SELECT_COMMITS, {"after": 15_000, "age_ms": 0, "rows_max": 100}, 20),
    "unheard": (housekeeping_scripts.SELECT_UNHEARD, {"low": 15_000, "high": 15_100}, 120),
    "promised": (housekeeping_scripts.SELECT_PROMISED, {"low": 15_000, "high": 15_100}, 600),
    "left rows go": (housekeeping_scripts.DELETE_LEFT_ROWS, {"commits": TEN_COMMITS, "rows": TEN_MESSAGES}, 60),
    "messages go": (housekeeping_scripts.DELETE_MESSAGES, {"commits": TEN_COMMITS, "rows": TEN_MESSAGES}, 120),
    "personal goes": (housekeeping_scripts.DELETE_PERSONAL, {"ids": ["m-15000-1", "m-15001-1"]}, 30),
    "histories": (
        history_scripts.SELECT_HISTORIES,
        {
            "age_ms": 0,
            "prefix": "duly.process.",
            "tenant": "acme",
            "process": "shop.Welcome",
            "id": "p-5",
            "rows_max": 50,
        },
        1_500,
    ),
    "histories go": (
        history_scripts.DELETE_HISTORIES,
        {
            "tenants": ["acme"],
            "processes": ["shop.Welcome"],
            "ids": [f"p-{n}" for n in range(10, 20)],
            "rows": HISTORY,
        },
        250,
    ),
    "events of a stream": (archive_scripts.SELECT_EVENTS, {**PLACE, "rows_max": 50}, 800),
    "promised events": (archive_scripts.SELECT_PROMISED, {"low": 15_000, "high": 15_100}, 600),
    "archived events go": (archive_scripts.DELETE_EVENTS, {"commits": TEN_COMMITS, "rows": TEN_EVENTS}, 150),
    "archived in a stretch": (SELECT_ARCHIVED_IN, {"first": 5_000, "last": 5_100}, 500),
    "no archive in a stretch": (SELECT_ARCHIVED_IN, {"first": 15_000, "last": 15_100}, 500),
    "archives": (SELECT_ARCHIVES, {"ids": [500, 501, 502]}, 20),
    "archived stream": (
        SELECT_ARCHIVED_STREAM,
        {"tenant": "acme", "stream": "shop.Order/o-500", "after": 0},
        12,
    ),
    "archived past": (
        SELECT_ARCHIVED_PAST,
        {
            **PAST,
            "after_commit": 5_000,
            "after_ordinal": 0,
            "last_commit": 2**62,
            "last_ordinal": 9,
            "archived_max": 100,
        },
        1_200,
    ),
    "places": (SELECT_PLACES, {"rows": TEN_PLACES}, 60),
}


@pytest.fixture
async def filled(postgres_url: str) -> AsyncIterator[Connection]:
    """A database with much in it, of which PostgreSQL has no statistics yet."""
    connection: Connection = await asyncpg.connect(postgres_url)
    await connection.execute(NO_VACUUM)
    numbers = f"FROM generate_series(1, {ROWS}) AS n"
    for statement in FILL:
        await connection.execute(statement.replace("FROM N", numbers))
    await connection.execute(
        ARCHIVES.replace("FROM N", numbers).replace("BODY", "CAST('\\x' || repeat('ab', 600) AS bytea)")
    )
    await connection.execute(POSTGRES_COMMITS)
    yield connection
    await connection.close()


def literal(value: object) -> str:
    """A value as SQL."""
    match value:
        case list():
            return f"ARRAY[{', '.join(map(literal, value))}]"
        case str():
            return f"'{value}'"
        case _:
            return str(value)


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("with_statistics", [False, True], ids=["without_statistics", "with_statistics"])
async def test_no_statement_touches_more_of_postgresql_than_its_rows(
    filled: Connection, mode: str, with_statistics: bool
) -> None:
    if with_statistics:
        await filled.execute("ANALYZE")
    await filled.execute(f"SET plan_cache_mode = {mode}")
    await filled.fetchval("SELECT duly.now_ms()")  # a function is read from the catalog once
    wrong: list[str] = []
    for number, (name, (text, parameters, pages_max)) in enumerate(COSTS.items()):
        bound = bind_numbered(for_postgres(text))
        values = ", ".join(literal(parameters[name]) for name in bound.names)
        await filled.execute(f"PREPARE costs_{number} AS {bound.statement}")
        execute = f"EXECUTE costs_{number}({values})" if values else f"EXECUTE costs_{number}"
        await filled.execute("BEGIN")
        rows = await filled.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {execute}")
        await filled.execute("ROLLBACK")
        plan = "\n".join(row[0] for row in rows)
        pages = PAGES.search(plan)
        if pages is None or sum(map(int, filter(None, pages.groups()))) > pages_max:
            wrong.append(f"{name} touches more than {pages_max} pages:\n{plan}")
    assert not wrong, "\n\n".join(wrong)


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[sqlite3.Connection]:
    """A SQLite database with much in it."""
    path = str(tmp_path / "long.db")
    store = SqliteStore(path)
    await store.open()
    await store.migrate([])
    await store.close()
    opened = connect(path, read_only=False, clock_shift_ms=lambda: 0)
    numbers = f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS}) "
    opened.execute("BEGIN")
    for statement in (*FILL, SQLITE_COMMITS, ARCHIVES.replace("BODY", "zeroblob(600)")):
        opened.execute((numbers + statement.replace("FROM N", "FROM numbers")).replace("duly.", "duly_"))
    opened.execute("COMMIT")
    yield opened
    opened.close()


@pytest.mark.parametrize("with_statistics", [False, True], ids=["without_statistics", "with_statistics"])
def test_no_statement_takes_more_of_sqlite_than_its_rows(connection: sqlite3.Connection, with_statistics: bool) -> None:
    if with_statistics:
        connection.execute("ANALYZE")
    wrong: list[str] = []
    for name, (text, parameters, pages_max) in COSTS.items():
        # A page of PostgreSQL that may be touched is a dozen instructions.
        steps_max = 20 * pages_max + 1_000
        hundreds = 0

        def count() -> int:
            nonlocal hundreds
            hundreds += 1
            return 0

        given = {name: json.dumps(value) if isinstance(value, list) else value for name, value in parameters.items()}
        connection.execute("BEGIN")
        connection.set_progress_handler(count, 100)
        connection.execute(for_sqlite(text).text, given).fetchall()
        connection.set_progress_handler(None, 0)
        connection.execute("ROLLBACK")
        if 100 * hundreds > steps_max:
            wrong.append(f"{name} takes {100 * hundreds:,} steps, more than {steps_max:,}")
    assert not wrong, "\n".join(wrong)
