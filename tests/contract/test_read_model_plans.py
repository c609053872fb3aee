"""What documents of read models cost PostgreSQL: as much among many as among few, with statistics and without."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import asyncpg
import pytest

from duly.ports.projections import Advance, ReadModelPlace, ReadModelRange, ReadModelWrite
from duly.stores.postgres.address import Connection
from duly.stores.projection_scripts import advance_script, claim_script, generations_script, unprojected_script
from duly.stores.read_model_scripts import read_models_in_script, read_models_script, write_read_models_script
from duly.stores.script import Script
from tests.contract.plans import NO_VACUUM
from tests.contract.test_view_plans import costs

DOCUMENTS = 20_000
FILL = f"""
INSERT INTO duly.projection (name, generation, state, digest, tables, position, started_ms, changed_ms)
VALUES ('orders', 1, 'live', 'd', '', 0, 0, 0), ('orders', 2, 'building', 'd', '', 0, 0, 0);
INSERT INTO duly.read_model (model, generation, tenant, id, schema, body)
SELECT 'Line', 1 + g, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, 'l-' || n, 1, '{{}}'
  FROM generate_series(1, {DOCUMENTS}) AS n CROSS JOIN generate_series(0, 1) AS g;
INSERT INTO duly.read_entry (model, generation, tenant, field, value, id)
SELECT 'Line', 1 + g, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, 'customer', 'c-' || n % 3, 'l-' || n
  FROM generate_series(1, {DOCUMENTS}) AS n CROSS JOIN generate_series(0, 1) AS g;
"""
LIVE = ReadModelPlace(projection="orders", model="Line")
SHADOW = ReadModelPlace(projection="orders", model="Line", generation=2)
MOVE = Advance(projection="orders", generation=1, begins=0, ends=5, owner="me", lease=timedelta(1))
KEYS = [("acme", f"l-{number}") for number in range(2, 202, 2)]


def put(number: int) -> ReadModelWrite:
    """A document that is there, with another value."""
    return ReadModelWrite(
        model="Line",
        tenant="acme",
        id=f"l-{number}",
        schema=1,
        body="{}" if number % 4 else None,
        entries_removed=(("customer", f"c-{number % 3}"),),
        entries_added=(("customer", "c-9"),) if number % 4 else (),
    )


def stretch(**parts: str) -> ReadModelRange:
    """Twenty documents in the middle."""
    return ReadModelRange(tenant="acme", rows_max=20, after="l-5", **parts)


COSTS: dict[str, tuple[Callable[[], Script[object]], int]] = {
    "100 documents": (lambda: read_models_script(SHADOW, KEYS), 500),
    "100 live documents": (lambda: read_models_script(LIVE, KEYS), 500),
    "page": (lambda: read_models_in_script(LIVE, stretch()), 60),
    "page by a field": (lambda: read_models_in_script(LIVE, stretch(field="customer", value="c-1")), 250),
    "writing 100": (lambda: write_read_models_script(2, [put(number) for number in range(2, 202, 2)]), 3_000),
    "checkpoint": (lambda: advance_script(MOVE), 30),
    "claim": (lambda: claim_script("orders", 1, "me", timedelta(1)), 30),
    "all": (lambda: generations_script(None), 30),
    "behind": (lambda: unprojected_script(["d"], timedelta(1)), 30),
}


@pytest.fixture
async def filled(postgres_url: str) -> AsyncIterator[Connection]:
    """A database with many documents, of which PostgreSQL has no statistics yet."""
    connection: Connection = await asyncpg.connect(postgres_url)
    await connection.execute(NO_VACUUM)
    await connection.execute(FILL)
    yield connection
    await connection.close()


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("with_statistics", [False, True], ids=["without_statistics", "with_statistics"])
async def test_no_batch_of_documents_touches_more_of_postgresql_than_its_rows(
    filled: Connection, mode: str, with_statistics: bool
) -> None:
    if with_statistics:
        await filled.execute("ANALYZE")
    await filled.execute(f"SET plan_cache_mode = {mode}")
    wrong: list[str] = []
    for name, (make, pages_max) in COSTS.items():
        transaction = filled.transaction()
        await transaction.start()
        async for pages, plan in costs(filled, make()):
            if pages > pages_max:
                wrong.append(f"{name} touches {pages} pages, more than {pages_max}:\n{plan}")
        await transaction.rollback()
    assert not wrong, "\n\n".join(wrong)
