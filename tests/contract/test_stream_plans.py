"""The plans of reading streams: a stream costs its own events, however many others there are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from duly.stores import stream_scripts
from duly.stores.placeholders import bind_numbered, bind_positional
from duly.stores.postgres.address import Connection
from duly.stores.script import for_postgres, for_sqlite, json_rows
from duly.stores.sqlite import SqliteStore
from duly.stores.sqlite.connection import connect
from tests.contract.plans import NO_VACUUM

FILL = """
INSERT INTO duly.document (tenant, type, id, version, schema, body)
SELECT 'acme', 'Account', 'a-' || n, 20, 1, '' FROM generate_series(1, 2000) AS n;
INSERT INTO duly.snapshot (tenant, type, id, version, schema, body)
SELECT 'acme', 'Account', 'a-' || n, 10, 1, '{}' FROM generate_series(1, 2000) AS n;
INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, stream, stream_version, handler, chain,
                          body)
SELECT n, v, 'm-' || n || '-' || v, 'acme', 'event', 'E', 1, 'Account/a-' || n, v, 'h', '[]', '{}'
  FROM generate_series(1, 2000) AS n, generate_series(1, 20) AS v;
INSERT INTO duly.personal (message_id, tenant, subject, body)
SELECT 'm-' || n || '-1', 'acme', 's', '{}' FROM generate_series(1, 2000) AS n;
"""
PAGES = re.compile(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?")
THREE = json_rows([{"of_id": each, "stream": f"Account/{each}"} for each in ("a-7", "a-8", "a-9")])

ONE: dict[str, object] = {"tenant": "acme", "type": "Account", "id": "a-7", "stream": "Account/a-7"}
READABLE: dict[str, object] = {"oldest": 1, "newest": 1}

# Statement, its parameters, how many pages it may touch, and how many rows it gives.
STATEMENTS: dict[str, tuple[str, dict[str, object], int, int]] = {
    "whole": (stream_scripts.SELECT_STREAM[False, False], ONE, 50, 1),
    "whole, with personal fields": (stream_scripts.SELECT_STREAM[False, True], ONE, 120, 1),
    "from a snapshot": (stream_scripts.SELECT_STREAM[True, False], {**ONE, **READABLE}, 40, 1),
    "from a snapshot, with personal fields": (stream_scripts.SELECT_STREAM[True, True], {**ONE, **READABLE}, 80, 1),
    "several": (
        stream_scripts.SELECT_STREAMS,
        {"tenant": "acme", "type": "Account", "rows": THREE, **READABLE},
        300,
        36,
    ),
}


@pytest.fixture
async def filled(postgres_url: str) -> AsyncIterator[Connection]:
    connection: Connection = await asyncpg.connect(postgres_url)
    await connection.execute(NO_VACUUM)
    await connection.execute(FILL)
    yield connection
    await connection.close()


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("with_statistics", [False, True], ids=["without_statistics", "with_statistics"])
@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_stream_is_read_without_touching_others(
    filled: Connection, mode: str, with_statistics: bool, name: str
) -> None:
    text, parameters, pages_max, rows_expected = STATEMENTS[name]
    if with_statistics:
        await filled.execute("ANALYZE")
    await filled.execute(f"SET plan_cache_mode = {mode}")
    bound = bind_numbered(for_postgres(text))
    values = ", ".join(repr(parameters[name]) for name in bound.names)
    await filled.execute(f"PREPARE read_stream AS {bound.statement}")
    assert len(await filled.fetch(f"EXECUTE read_stream({values})")) == rows_expected
    rows = await filled.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) EXECUTE read_stream({values})")
    plan = "\n".join(row[0] for row in rows)
    pages = PAGES.search(plan)
    assert pages is not None
    assert sum(map(int, filter(None, pages.groups()))) <= pages_max, plan


@pytest.mark.parametrize("name", STATEMENTS)
async def test_sqlite_reads_a_stream_by_its_indexes(tmp_path: Path, name: str) -> None:
    store = SqliteStore(str(tmp_path / "plans.db"))
    await store.open()
    await store.migrate([])
    await store.close()
    text, parameters, _, _ = STATEMENTS[name]
    bound = bind_positional(for_sqlite(text).text)
    connection = connect(str(tmp_path / "plans.db"), read_only=False, clock_shift_ms=lambda: 0)
    try:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN {bound.statement}", [parameters[name] for name in bound.names]
        ).fetchall()
    finally:
        connection.close()
    steps = [step[3] for step in plan]
    assert any("USING INDEX duly_message_stream (tenant=? AND stream=?" in step for step in steps), steps
    scanned = [step for step in steps if step.startswith("SCAN") and "json_each" not in step and "VIRTUAL" not in step]
    assert all(step.split()[1] in ("d", "e", "o", "found") for step in scanned), steps
