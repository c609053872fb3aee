"""What a tenant's page costs, and a batch of a sweep: as much with many effects of this tenant and of others.

PostgreSQL is asked how many pages of its buffers a statement touched, with statistics and without, for known values and
for any; SQLite how many instructions it ran.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from duly.ports.ledger_view import EffectFilter, Place
from duly.states.delivery import Delivery
from duly.states.effect import Dispatch
from duly.stores import erasing_scripts, retention_scripts, suppression_scripts, view_scripts
from duly.stores.placeholders import bind_numbered
from duly.stores.postgres.address import Connection
from duly.stores.script import Result, Script, for_postgres
from duly.stores.sqlite import SqliteStore
from duly.stores.sqlite.connection import connect, run_script
from tests.contract.plans import NO_VACUUM
from tests.contract.test_postgres_plans import PAGES

EFFECTS = 20_000
"""Of each of two tenants."""

# Words for both databases; N is a table of numbers.
FILL = (
    """
INSERT INTO duly.effect (id, tenant, type, channel, gateway, policy, key, digest, reference, correlation, state, hold,
                         handler, chain, requested_ms, changed_ms, due_ms, lease_ms)
SELECT 'e-' || n, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, 'duly.sms',
       CASE n % 3 WHEN 0 THEN 'email' ELSE 'sms' END, 'sms', 'at_most_once', 'k', 'd', 'r-' || (n / 8), 'c-' || (n / 4),
       CASE WHEN n % 100 < 2 THEN 'queued' WHEN n % 2500 < 4 THEN 'attempting' WHEN n % 50 < 4 THEN 'failed'
            WHEN n % 20 < 2 THEN 'held' ELSE 'accepted' END,
       CASE WHEN n % 20 < 2 THEN 'tenant' ELSE '' END, 'h', '[["command","shop.Place","c-' || (n / 4) || '",""]]', n, n,
       CASE WHEN n % 100 < 2 THEN n END, CASE WHEN n % 100 >= 2 AND n % 2500 < 4 THEN n END
  FROM N
""",
    """
INSERT INTO duly.effect_content (effect_id, tenant, channel, requested_ms, subject, recipient, recipient_hash, summary,
                                 content_type, body)
SELECT 'e-' || n, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, CASE n % 3 WHEN 0 THEN 'email' ELSE 'sms' END, n,
       's-' || (n / 40), 'r-' || (n / 40), 'h', 's', 'text/plain', '' FROM N
""",
    """
INSERT INTO duly.attempt (effect_id, number, owner, token, key, digest, origin, possible_duplicate, started_ms)
SELECT 'e-' || n, 1, 'o', 't', 'k', 'd', 'scheduled', 0, 0 FROM N
""",
    """
INSERT INTO duly.receipt (gateway, dedupe, effect_id, detail, suppresses, received_ms)
SELECT 'sms', 'd-' || n, 'e-' || n, 'seen', '', 0 FROM N
""",
    """
INSERT INTO duly.audit (tenant, effect_id, verb, by_whom, reason, at_ms)
SELECT 'acme', 'e-' || n, 'retry', 'anna', 'because', 0 FROM N
""",
    """
INSERT INTO duly.personal (message_id, tenant, subject, body)
SELECT 'm-' || n, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, 's-' || (n / 40), '{}' FROM N
""",
    """
INSERT INTO duly.suppression (tenant, channel, recipient_hash, reason, source, at_ms)
SELECT CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, 'sms', 'h-' || n, 'r', 's', 0 FROM N
""",
    "INSERT INTO duly.pause (tenant, reason, by_whom, at_ms) VALUES ('other', 'r', 'b', 0)",
)


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


def page(after: Place | None = None, **wanted: Any) -> Callable[[], Script[object]]:
    return lambda: view_scripts.page_script("acme", EffectFilter(**wanted), after, 50)


MIDDLE = Place(EFFECTS, EFFECTS)
NUMBERS = itertools.count()
ROWS = [f"e-{n}" for n in range(200, 300, 2)]
AGE = timedelta(seconds=1)

# Script, and how many pages of PostgreSQL's buffers each of its statements may touch. A page of the view holds 50
# effects. What is looked through on the way, 5,000 rows, costs more, but never more than that.
COSTS: dict[str, tuple[Callable[[], Script[object]], int]] = {
    "all": (page(), 250),
    "from the middle": (page(MIDDLE), 250),
    "time": (page(requested_from=moment(1_000), requested_to=moment(EFFECTS)), 250),
    "channel": (page(channel="email"), 250),
    "channel from the middle": (page(MIDDLE, channel="email"), 250),
    "an unknown channel": (page(channel="fax"), 20),
    "state": (page(states=(Dispatch.FAILED,)), 250),
    "what is being attempted": (page(states=(Dispatch.ATTEMPTING,)), 250),
    "what is being attempted or failed": (page(MIDDLE, states=(Dispatch.ATTEMPTING, Dispatch.FAILED)), 250),
    "an empty state": (page(states=(Dispatch.UNKNOWN,)), 20),
    "several states": (page(MIDDLE, states=(Dispatch.FAILED, Dispatch.UNKNOWN, Dispatch.QUEUED)), 400),
    "reference": (page(reference="r-700"), 80),
    "cause": (page(cause="c-700"), 80),
    "recipient": (page(recipient="r-100"), 250),
    "recipient and state": (page(recipient="r-100", states=(Dispatch.FAILED,)), 250),
    "nobody": (page(recipient="r"), 20),
    "accepted": (page(states=(Dispatch.ACCEPTED,)), 2_500),
    "an absent type": (page(type="duly.rare"), 2_500),
    "an absent gateway": (page(MIDDLE, gateway="rare"), 2_500),
    "an absent delivery": (page(delivery=Delivery.READ), 2_500),
    "an absent cause": (page(cause="rare"), 2_500),
    "state and an absent type": (page(states=(Dispatch.FAILED, Dispatch.QUEUED), type="duly.rare"), 2_500),
    "one": (lambda: view_scripts.effect_script("acme", "e-500"), 20),
    "anomalies": (lambda: view_scripts.anomalies_script("acme", 50), 20),
    "suppression": (lambda: suppression_scripts.suppression_script("acme", "sms", "h-500"), 10),
    "suppressions": (lambda: suppression_scripts.suppressions_script("acme", None, ("sms", "h-5"), 50), 150),
    "suppressions of a channel": (lambda: suppression_scripts.suppressions_script("acme", "sms", None, 50), 150),
    "release": (lambda: suppression_scripts.release_resumed_script(50, {}), 1_800),
    "pairs": (lambda: retention_scripts.kept_for_script(("", ""), 100), 20),
    "old contents": (lambda: retention_scripts.old_contents_script("acme", "sms", AGE, None, 50), 250),
    "old contents on": (lambda: retention_scripts.old_contents_script("acme", "sms", AGE, (EFFECTS, ""), 50), 250),
    "drop contents": (lambda: retention_scripts.drop_contents_script(ROWS), 1_800),
    "old effects": (lambda: retention_scripts.old_effects_script("acme", "sms", AGE, None, 50), 120),
    "old effects on": (lambda: retention_scripts.old_effects_script("acme", "sms", AGE, MIDDLE, 50), 120),
    "keep keys": (lambda: retention_scripts.keep_keys_script(ROWS), 800),
    "drop effects": (lambda: retention_scripts.drop_effects_script(ROWS), 1_800),
    "erase messages": (lambda: erasing_scripts.erase_messages_script("acme", "s-100", 500), 400),
    "erase effects": (lambda: erasing_scripts.erase_effects_script("acme", "s-100", 500, {}), 1_800),
}


@pytest.fixture
async def filled(postgres_url: str) -> AsyncIterator[Connection]:
    """A database with many effects, of which PostgreSQL has no statistics yet."""
    connection: Connection = await asyncpg.connect(postgres_url)
    await connection.execute(NO_VACUUM)
    for statement in FILL:
        await connection.execute(statement.replace("FROM N", f"FROM generate_series(1, {2 * EFFECTS}) AS n"))
    yield connection
    await connection.close()


def literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case list():
            return f"ARRAY[{', '.join(map(literal, value))}]::text[]"
        case int():
            return str(value)
        case _:
            return "'" + str(value).replace("'", "''") + "'"


async def costs(connection: Connection, script: Script[object]) -> AsyncIterator[tuple[int, str]]:
    """Run a script; of each of its statements the pages that it touched, and its plan."""
    result: Result | None = None
    while True:
        try:
            statement = next(script) if result is None else script.send(result)
        except StopIteration:
            return
        bound = bind_numbered(for_postgres(statement.text))
        # A new name each time: asyncpg remembers by the text what a statement gives.
        costly = f"costly_{next(NUMBERS)}"
        await connection.execute(f"PREPARE {costly} AS {bound.statement}")
        values = ", ".join(literal(statement.parameters[name]) for name in bound.names)
        call = f"EXECUTE {costly}{f'({values})' if values else ''}"
        # Once for its rows, taken back, then for its plan.
        inner = connection.transaction()
        await inner.start()
        rows = await connection.fetch(call)
        await inner.rollback()
        lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {call}")
        plan = "\n".join(line[0] for line in lines)
        touched = PAGES.search(plan)
        yield sum(int(pages) for pages in touched.groups() if pages) if touched else 0, plan
        result = Result([tuple(row) for row in rows], len(rows))


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_no_page_and_no_batch_touches_more_of_postgresql_than_its_rows(filled: Connection, mode: str) -> None:
    # What is looked at now and then has statistics by then; what runs all the time is examined without, too.
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


@pytest.fixture
async def connection(tmp_path: Any) -> AsyncIterator[sqlite3.Connection]:
    """A SQLite database with many effects."""
    path = str(tmp_path / "many.db")
    store = SqliteStore(path)
    await store.open()
    await store.migrate([])
    await store.close()
    opened = connect(path, read_only=False, clock_shift_ms=lambda: 0)
    numbers = f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {2 * EFFECTS})"
    opened.execute("BEGIN")
    for statement in FILL:
        if "FROM N" in statement:
            statement = numbers + statement.replace("FROM N", "FROM numbers")
        opened.execute(statement.replace("duly.", "duly_"))
    opened.execute("COMMIT")
    yield opened
    opened.close()


@pytest.mark.parametrize("with_statistics", [False, True], ids=["without_statistics", "with_statistics"])
def test_no_page_and_no_batch_takes_more_of_sqlite_than_its_rows(
    connection: sqlite3.Connection, with_statistics: bool
) -> None:
    if with_statistics:
        connection.execute("ANALYZE")
    wrong: list[str] = []
    for name, (make, pages_max) in COSTS.items():
        # A page that may be touched is some twenty rows, or a row of an index and the row that it leads to.
        steps_max = 150 * pages_max + 5_000
        hundreds = 0

        def count() -> int:
            nonlocal hundreds
            hundreds += 1
            return 0

        connection.execute("BEGIN")
        connection.set_progress_handler(count, 100)
        run_script(connection, make())
        connection.set_progress_handler(None, 0)
        connection.execute("ROLLBACK")
        if 100 * hundreds > steps_max:
            wrong.append(f"{name} takes {100 * hundreds:,} steps, more than {steps_max:,}")
    assert not wrong, "\n".join(wrong)
