"""The plans that the hot statements count on: with statistics and without, for known values and for any."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from duly.messages.identity import BUCKETS
from duly.stores import (
    attempt_ends,
    claim_standing,
    ledger_scripts,
    look_up_scripts,
    outbox_looks,
    sql_store,
    turn_script,
)
from duly.stores.commit_script import SELECT_INBOX
from duly.stores.effect_moves import EFFECT_COLUMNS
from duly.stores.placeholders import bind_numbered
from duly.stores.postgres.address import Connection
from duly.stores.postgres.engine import BEGIN_WRITE
from duly.stores.script import for_postgres
from tests.contract.plans import NO_VACUUM

FILL = """
INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, handler, chain, body)
SELECT n, 0, 'm-' || n, 'acme', 'event', 'shop.E', 1, 'h', '[]', '{}' FROM generate_series(1, 20000) AS n;
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
SELECT n % 5, n % 32, 'acme/' || n, n, 0 FROM generate_series(1, 20000) AS n;
INSERT INTO duly.document (tenant, type, id, version, schema, body)
SELECT 'acme', 'shop.Order', 'o-' || n, 1, 1, '{}' FROM generate_series(1, 20000) AS n;
INSERT INTO duly.entry (tenant, type, field, value, slot, id)
SELECT 'acme', 'shop.Order', 'city', 'c-' || n % 2000, 'o-' || n, 'o-' || n FROM generate_series(1, 20000) AS n;
INSERT INTO duly.inbox (tenant, id, name, digest, token, result, expires_ms)
SELECT 'acme', 'c-' || n, 'shop.Place', 'd', 't', 'null', 9e12::bigint FROM generate_series(1, 20000) AS n;
INSERT INTO duly.effect (id, tenant, type, channel, gateway, policy, key, digest, correlation, state, handler, chain,
                         requested_ms, changed_ms, due_ms, lease_ms, token)
SELECT 'e-' || n, 'acme', 'duly.sms', 'sms', 'sms', 'at_most_once', 'k', 'd', 'c-' || n, s.state, 'h', '[]', n, n,
       CASE WHEN s.state = 'queued' THEN duly.now_ms() - n END, CASE WHEN s.state = 'attempting' THEN n END,
       CASE WHEN s.state = 'attempting' THEN 't' END
  FROM generate_series(1, 20000) AS n,
       LATERAL (SELECT CASE WHEN n % 100 = 0 THEN 'queued' WHEN n % 1000 = 1 THEN 'attempting' ELSE 'accepted' END)
               AS s (state);
INSERT INTO duly.effect_content (effect_id, tenant, channel, requested_ms, subject, recipient, recipient_hash, summary,
                                 content_type, body)
SELECT 'e-' || n, 'acme', 'sms', n, 's', 'r', 'h', 's', 'text/plain', '' FROM generate_series(1, 20000) AS n;
INSERT INTO duly.attempt (effect_id, number, owner, token, key, digest, origin, possible_duplicate, started_ms)
SELECT 'e-' || n, 1, 'o', 't', 'k', 'd', 'scheduled', 0, 0 FROM generate_series(1, 20000) AS n;
"""

PAGES = re.compile(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?")

DUE = turn_script.DUE.format(columns=EFFECT_COLUMNS, n=0)
CANDIDATES = turn_script.CANDIDATES.format(due=DUE)

BUCKET_LIST = f"ARRAY{list(range(BUCKETS))}"

ENDED_EFFECTS = """[{"effect_id": "e-1001", "held_token": "t", "next_state": "accepted", "why": "", "held_by": "",
 "next_step": "attempt", "their_id": "p-1", "uncounted": 0, "unknown": 0, "wait_ms": null, "confirm_ms": null}]"""
ENDED_ATTEMPTS = """[{"of_effect": "e-1001", "its_number": 1, "how": "accepted", "seen": "", "their_id": "p-1"}]"""

# What runs in our write transactions only; all the rest is examined with every way to a row open.
WRITES = {"end_effects", "end_attempts", "abandoned"}

# Statement, its parameters in order as SQL, and how many pages it may touch with 20,000 rows in every table.
HOT: dict[str, tuple[str, str, int]] = {
    "document": (sql_store.SELECT_DOCUMENT, "'acme', 'shop.Order', 'o-7'", 10),
    "documents_by": (sql_store.SELECT_DOCUMENTS_BY, "'acme', 'shop.Order', 'city', 'c-7', 100", 100),
    "inbox_row": (SELECT_INBOX, "'acme', 'c-7'", 10),
    "look": (outbox_looks.LOOK, f"0, 1, 0, {BUCKET_LIST}, ARRAY[1, 2], ARRAY['1 a', '2 b'], '{{}}', 500", 4_000),
    "quick_look": (
        outbox_looks.LOOK,
        f"0, 0, 19990, {BUCKET_LIST}, ARRAY[0, 1, 2, 3, 4], '{{}}', ARRAY[19995], 500",
        130,
    ),
    "empty_look": (outbox_looks.LOOK, f"0, 0, 20000, {BUCKET_LIST}, ARRAY[0, 1, 2, 3, 4], '{{}}', '{{}}', 500", 10),
    "standing": (claim_standing.SELECT_STANDING, "'sms', 64, ''", 60),
    "candidates": (CANDIDATES, "'sms', 0, 'acme', 10", 90),
    "contents": (look_up_scripts.SELECT_CONTENTS, "ARRAY['e-1', 'e-2']", 30),
    "end_effects": (attempt_ends.END_EFFECTS, f"'{ENDED_EFFECTS}'", 60),
    "end_attempts": (attempt_ends.END_ATTEMPTS, f"NULL, '{ENDED_ATTEMPTS}'", 30),
    "abandoned": (attempt_ends.SELECT_ABANDONED, "'t'", 100),
    "look_ups": (look_up_scripts.SELECT_LOOK_UPS, "'sms', 10", 60),
    "lost": (attempt_ends.SELECT_LOST, "500", 50),
    "has_lost_attempts": (attempt_ends.HAS_LOST, "", 10),
    "expired": (look_up_scripts.SELECT_EXPIRED, "500", 20),
    "unconfirmed": (look_up_scripts.SELECT_UNCONFIRMED, "500", 20),
    "due_gateways": (ledger_scripts.SELECT_DUE_GATEWAYS, "", 400),
}


@pytest.fixture
async def empty(postgres_url: str) -> AsyncIterator[Connection]:
    """A connection to a database in which nothing is, and of which PostgreSQL gathers no statistics by itself."""
    connection: Connection = await asyncpg.connect(postgres_url)
    await connection.execute(NO_VACUUM)
    yield connection
    await connection.close()


@pytest.fixture
async def filled(empty: Connection) -> Connection:
    """A connection to a database with a backlog, of which PostgreSQL has no statistics yet."""
    await empty.execute(FILL)
    return empty


async def prepare(connection: Connection, name: str) -> str:
    """Have a hot statement prepared; the call of it."""
    text, parameters, _ = HOT[name]
    await connection.execute(f"PREPARE hot_{name} AS {bind_numbered(for_postgres(text)).statement}")
    return f"EXECUTE hot_{name}{f'({parameters})' if parameters else ''}"


async def told_if_costly(connection: Connection, name: str, call: str) -> list[str]:
    """Run a prepared hot statement as the store does, and take it back; its plan when it touches too much."""
    pages_max = HOT[name][2]
    await connection.execute(BEGIN_WRITE if name in WRITES else "BEGIN")
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {call}")
    await connection.execute("ROLLBACK")
    plan = "\n".join(row[0] for row in rows)
    pages = PAGES.search(plan)
    if pages is None or sum(map(int, filter(None, pages.groups()))) > pages_max:
        return [f"{name} touches more than {pages_max} pages:\n{plan}"]
    return []


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("with_statistics", [False, True], ids=["without_statistics", "with_statistics"])
async def test_no_hot_statement_touches_more_than_its_rows(
    filled: Connection, mode: str, with_statistics: bool
) -> None:
    if with_statistics:
        await filled.execute("ANALYZE")
    await filled.execute(f"SET plan_cache_mode = {mode}")
    wrong: list[str] = []
    for name in HOT:
        wrong += await told_if_costly(filled, name, await prepare(filled, name))
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("name", ["end_effects", "end_attempts"])
@pytest.mark.parametrize("rows", [0, 60, 600])
async def test_a_plan_that_was_made_while_tables_were_small_reads_no_whole_table_later(
    empty: Connection, name: str, rows: int
) -> None:
    if rows:
        await empty.execute(FILL.replace("20000", str(rows)))
        await empty.execute("ANALYZE")
    await empty.execute("SET plan_cache_mode = force_generic_plan")
    call = await prepare(empty, name)
    await empty.execute(f"{BEGIN_WRITE}; {call}; COMMIT")
    await empty.execute(FILL.replace("generate_series(1,", f"generate_series({rows + 1},"))

    assert not await told_if_costly(empty, name, call)
