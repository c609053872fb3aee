"""The plans that receipts count on: with statistics and without, for known values and for any."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from duly.stores import receipt_moves, receipt_scripts
from duly.stores.placeholders import bind_numbered
from duly.stores.postgres.address import Connection
from tests.contract.test_postgres_plans import FILL, PAGES

FILL_RECEIPTS = """
UPDATE duly.effect SET provider_id = 'SM' || no;
INSERT INTO duly.late_id (gateway, provider_id, effect_id)
SELECT 'sms', 'SM' || n, 'e-' || n FROM generate_series(1, 20000) AS n;
INSERT INTO duly.receipt (gateway, dedupe, effect_id, tenant, provider_id, detail, suppresses, received_ms, applied_ms,
                          due_ms)
SELECT 'sms', 'r-' || n, CASE WHEN n % 2 = 0 THEN 'e-' || n END, 'acme', 'SM' || n, '', '', n,
       CASE WHEN n % 2 = 0 THEN n END, CASE WHEN n % 2 = 1 THEN 9e12::bigint + n END
  FROM generate_series(1, 20000) AS n;
UPDATE duly.receipt SET due_ms = 1 WHERE dedupe = 'r-7';
"""

# Statement, its parameters in order as SQL, and how many pages it may touch with 20,000 rows in every table.
HOT: dict[str, tuple[str, str, int]] = {
    "by_id": (receipt_scripts.SELECT_BY_ID, "ARRAY['e-1', 'e-2'], 'sms'", 20),
    "by_provider_id": (receipt_scripts.SELECT_BY_PROVIDER_ID, "'sms', ARRAY['SM1', 'SM2']", 20),
    "by_late_id": (receipt_scripts.SELECT_BY_LATE_ID, "'sms', ARRAY['SM1', 'SM2']", 20),
    "has_due": (receipt_scripts.HAS_DUE, "", 10),
    "due": (receipt_scripts.SELECT_DUE, "500", 10),
    "waiting": (receipt_moves.SELECT_WAITING, "ARRAY['e-1', 'e-2']", 20),
    "reported": (receipt_moves.SELECT_REPORTED, "ARRAY['e-1', 'e-2']", 20),
    "wake": (receipt_moves.WAKE_RECEIPTS, "'SM1', 'e-1'", 40),
}


@pytest.fixture
async def filled(postgres_url: str) -> AsyncIterator[Connection]:
    """A connection to a database with many receipts, of which PostgreSQL has no statistics yet."""
    connection: Connection = await asyncpg.connect(postgres_url)
    await connection.execute(FILL)
    await connection.execute(FILL_RECEIPTS)
    yield connection
    await connection.close()


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("with_statistics", [False, True], ids=["without_statistics", "with_statistics"])
async def test_no_statement_about_receipts_touches_more_than_its_rows(
    filled: Connection, mode: str, with_statistics: bool
) -> None:
    if with_statistics:
        await filled.execute("ANALYZE")
    await filled.execute(f"SET plan_cache_mode = {mode}")
    wrong: list[str] = []
    for number, (name, (text, parameters, pages_max)) in enumerate(HOT.items()):
        values = f"({parameters})" if parameters else ""
        await filled.execute(f"PREPARE receipts_{number} AS {bind_numbered(text).statement}")
        rows = await filled.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) EXECUTE receipts_{number}{values}"
        )
        plan = "\n".join(row[0] for row in rows)
        pages = PAGES.search(plan)
        if pages is None or sum(map(int, filter(None, pages.groups()))) > pages_max:
            wrong.append(f"{name} touches more than {pages_max} pages:\n{plan}")
    assert not wrong, "\n\n".join(wrong)
