"""What a page of the event log costs, and a step of the sequencer: as much in a long log as in a short one.

PostgreSQL is asked how many pages of its buffers a statement touched, with statistics and without, for known values and
for any; SQLite for the plan, and how many instructions it ran.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from duly.stores.log_scripts import log_head_script, read_log_script
from duly.stores.postgres.address import Connection
from duly.stores.script import Script, Statement, for_sqlite
from duly.stores.sqlite import SqliteStore
from duly.stores.sqlite.connection import connect, run_script
from tests.contract.plans import NO_VACUUM
from tests.contract.test_view_plans import costs

COMMITS = 20_000
"""Of two events and a public one each; every fourth of none."""
NUMBERED = 15_000
EVENTS = NUMBERED // 4 * 6

# Words for both databases; N is a table of numbers.
FILL = (
    """
INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, handler, chain, body)
SELECT n, o, 'm-' || n || '-' || o, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END,
       CASE WHEN o < 2 AND n % 4 > 0 THEN 'event' ELSE 'public' END,
       CASE WHEN n % 100 = 1 THEN 'shop.Rare' ELSE 'shop.E' END,
       1, 'h', '[]', '{}'
  FROM N CROSS JOIN (SELECT 0 AS o UNION ALL SELECT 1 UNION ALL SELECT 2) AS ordinals
""",
    """
INSERT INTO duly.personal (message_id, tenant, subject, body)
SELECT 'm-' || n || '-0', CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, 's-' || (n / 40), '{}' FROM N
""",
)
# Three of four commits have two events: so many events come before commit n.
FIRST = "(n - 1) / 4 * 6 + (n - 1) % 4 * 2 + 1"
POSTGRES_COMMITS = f"""
INSERT INTO duly.commit_log (id, tenant, events, at_ms) OVERRIDING SYSTEM VALUE
SELECT n, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, CASE WHEN n % 4 = 0 THEN 0 ELSE 2 END, n
  FROM generate_series(1, {NUMBERED}) AS n;
DO $$ BEGIN WHILE duly.number_commits(100) > 0 LOOP END LOOP; END $$;
INSERT INTO duly.commit_log (id, tenant, events, at_ms) OVERRIDING SYSTEM VALUE
SELECT n, 'acme', 2, n FROM generate_series({NUMBERED + 1}, {COMMITS}) AS n WHERE n % 20 > 0;
"""
SQLITE_COMMITS = f"""
INSERT INTO duly.commit_log (id, tenant, events, first_position, at_ms)
SELECT n, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, CASE WHEN n % 4 = 0 THEN 0 ELSE 2 END,
       CASE WHEN n % 4 > 0 THEN {FIRST} END, n FROM N
"""


def page(after: int, positions_max: int = 100, **parts: Any) -> Callable[[], Script[object]]:
    fields: dict[str, Any] = {"names": None, "tenant": None, "through": None, **parts}
    return lambda: read_log_script(after, positions_max, **fields)


def calling(function: str, argument: int) -> Callable[[], Script[object]]:
    def script() -> Script[object]:
        found = yield Statement(f"SELECT duly.{function}(:argument)", {"argument": argument})
        return found.rows[0][0]

    return script


# Script, and how many pages of PostgreSQL's buffers it may touch. An event is found by some seven of them, index pages
# included; numbering a commit writes one more row and one more entry of two indexes.
COSTS: dict[str, tuple[Callable[[], Script[object]], int]] = {
    "head": (log_head_script, 5),
    "first page": (page(0), 800),
    "page in the middle": (page(EVENTS // 2), 800),
    "one event": (page(EVENTS // 2, 1), 30),
    "last page": (page(EVENTS - 50), 800),
    "nothing new": (page(EVENTS), 30),
    "page of some names": (page(EVENTS // 2, names=["shop.Rare", "shop.Other"]), 800),
    "page of a tenant": (page(EVENTS // 2, tenant="acme"), 800),
    "page of a name of a tenant": (page(EVENTS // 2, tenant="acme", names=["shop.Rare"]), 800),
    "big page": (page(EVENTS // 2, 1_000), 8_000),
}

# Functions of PostgreSQL, what it reads to plan their statements included. Numbering reads a hundred commits and
# writes two rows.
FUNCTIONS: dict[str, tuple[Callable[[], Script[object]], int]] = {
    "position": (calling("position_of", NUMBERED // 2 + 1), 100),
    "position without events": (calling("position_of", NUMBERED // 4 * 4), 100),
    "position of what is not numbered": (calling("position_of", COMMITS - 1), 100),
    "numbering": (calling("number_commits", 100), 200),
}


@pytest.fixture
async def filled(postgres_url: str) -> AsyncIterator[Connection]:
    """A database with a long log, of which PostgreSQL has no statistics yet."""
    connection: Connection = await asyncpg.connect(postgres_url)
    await connection.execute(NO_VACUUM)
    for statement in FILL:
        await connection.execute(statement.replace("FROM N", f"FROM generate_series(1, {COMMITS}) AS n"))
    await connection.execute(POSTGRES_COMMITS)
    yield connection
    await connection.close()


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("with_statistics", [False, True], ids=["without_statistics", "with_statistics"])
async def test_no_page_of_the_log_touches_more_of_postgresql_than_its_events(
    filled: Connection, mode: str, with_statistics: bool
) -> None:
    if with_statistics:
        await filled.execute("ANALYZE")
    await filled.execute(f"SET plan_cache_mode = {mode}")
    # As it would be in a log so long that a plan for several processes looks cheap.
    for cost in (
        "parallel_setup_cost",
        "parallel_tuple_cost",
        "min_parallel_table_scan_size",
        "min_parallel_index_scan_size",
    ):
        await filled.execute(f"SET {cost} = 0")
    wrong: list[str] = []
    for name, (make, pages_max) in {**COSTS, **FUNCTIONS}.items():
        async for pages, plan in costs(filled, make()):
            if pages > pages_max or pages == 0 or "Gather" in plan:
                wrong.append(f"{name} touches {pages} pages, more than {pages_max}:\n{plan}")
    assert not wrong, "\n\n".join(wrong)


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[sqlite3.Connection]:
    """A SQLite database with a long log."""
    path = str(tmp_path / "long.db")
    store = SqliteStore(path)
    await store.open()
    await store.migrate([])
    await store.close()
    opened = connect(path, read_only=False, clock_shift_ms=lambda: 0)
    numbers = f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {NUMBERED})"
    opened.execute("BEGIN")
    for statement in (*FILL, SQLITE_COMMITS):
        opened.execute((numbers + statement.replace("FROM N", "FROM numbers")).replace("duly.", "duly_"))
    opened.execute("COMMIT")
    yield opened
    opened.close()


@pytest.mark.parametrize("with_statistics", [False, True], ids=["without_statistics", "with_statistics"])
def test_no_page_of_the_log_takes_more_of_sqlite_than_its_events(
    connection: sqlite3.Connection, with_statistics: bool
) -> None:
    if with_statistics:
        connection.execute("ANALYZE")
    wrong: list[str] = []
    for name, (make, pages_max) in COSTS.items():
        # A page of PostgreSQL that may be touched is a dozen instructions.
        steps_max = 20 * pages_max + 1_000
        hundreds = 0

        def count() -> int:
            nonlocal hundreds
            hundreds += 1
            return 0

        connection.set_progress_handler(count, 100)
        run_script(connection, make())
        connection.set_progress_handler(None, 0)
        if 100 * hundreds > steps_max:
            wrong.append(f"{name} takes {100 * hundreds:,} steps, more than {steps_max:,}")
    assert not wrong, "\n".join(wrong)


def plan(connection: sqlite3.Connection, script: Script[object]) -> Iterator[str]:
    statement = next(script)
    text = for_sqlite(statement.text).text
    parameters = {name: "[]" if isinstance(value, list) else value for name, value in statement.parameters.items()}
    for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters):
        yield row[3]


@pytest.mark.parametrize("name", sorted(name for name in COSTS if "page" in name))
def test_sqlite_reads_the_log_over_its_index_and_its_messages_by_key(connection: sqlite3.Connection, name: str) -> None:
    steps = list(plan(connection, COSTS[name][0]()))
    assert (
        "SEARCH duly_commit_log USING INDEX duly_commit_log_position (first_position>? AND first_position<?)" in steps
    )
    assert [step for step in steps if step.startswith("SEARCH m USING PRIMARY KEY (commit_id>? AND commit_id<?")], steps
    assert "SEARCH p USING PRIMARY KEY (message_id=?)" in steps
