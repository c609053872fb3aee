"""A log that is there: commits of two events each, written straight into duly's tables, and by hand into one table."""

from __future__ import annotations

from typing import Final

TENANT: Final = "acme"
EVENTS_PER_COMMIT: Final = 2
PAGE_EVENTS: Final = 1_000
COMMITS_PER_STEP: Final = 20
"""How many commits a sequencer finds at a time that keeps up with a thousand commands a second."""

BODY: Final = """'{"account":"account-' || n || '","amount":' || n || ',"note":"what was paid, and for what"}'"""
MESSAGES: Final = f"""
INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, subject, stream, stream_version, handler,
                          chain, body)
SELECT n, o, '9f86d081-884c-4d65-9a2f-' || n || '-' || o, '{TENANT}', 'event', 'Deposited', 1, 'Account/account-' || n,
       'Account/account-' || n, o + 1, 'accounts.fill',
       '[["command","Fill","0af76519-16cd-43dd-8448-eb211c80319c",""]]', {BODY}
  FROM numbers CROSS JOIN (SELECT 0 AS o UNION ALL SELECT 1) AS ordinals
"""
# By hand: everything in one row, the position as its key. Whoever reads a log needs the id of an event, to know it
# again, the version of its type, to decode it, and its personal fields, which lie apart from the body, so that erasing
# them changes no body. Causes, which ours has, are left out.
BY_HAND: Final = f"""
INSERT INTO events (position, id, tenant, stream, stream_version, name, version, body, at_ms)
SELECT n, '9f86d081-884c-4d65-9a2f-' || n, '{TENANT}', 'Account/account-' || n, 1, 'Deposited', 1, {BODY}, 1700000000000
  FROM numbers
"""
TABLE: Final = (
    "CREATE TABLE events (position BIGINT PRIMARY KEY, id TEXT NOT NULL, tenant TEXT NOT NULL, stream TEXT NOT NULL, "
    "stream_version INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, personal TEXT, "
    "at_ms BIGINT NOT NULL)"
)
BY_POSITION: Final = (
    "SELECT position, id, tenant, stream, stream_version, name, version, body, personal, at_ms FROM events "
    "WHERE position > {first} ORDER BY position LIMIT {many}"
)
SQLITE_COMMITS: Final = f"""
INSERT INTO duly.commit_log (id, tenant, events, first_position, at_ms)
SELECT n, '{TENANT}', {EVENTS_PER_COMMIT}, (n - 1) * {EVENTS_PER_COMMIT} + 1, 1700000000000 FROM numbers
"""
POSTGRES_COMMITS: Final = f"""
INSERT INTO duly.commit_log (id, tenant, events, at_ms) OVERRIDING SYSTEM VALUE
SELECT n, '{TENANT}', {EVENTS_PER_COMMIT}, 1700000000000 FROM numbers
"""
GOES_ON: Final = "SELECT setval(pg_get_serial_sequence('duly.commit_log', 'id'), (SELECT max(id) FROM duly.commit_log))"
"""The next commit gets the next id."""
NUMBER: Final = f"DO $$ BEGIN WHILE duly.number_commits({COMMITS_PER_STEP}) > 0 LOOP COMMIT; END LOOP; END $$"


def sqlite_numbers(rows: int) -> str:
    """The table ``numbers``, from 1 to *rows*, in front of a statement."""
    return f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}) "


def postgres_numbers(rows: int) -> str:
    """The table ``numbers``, from 1 to *rows*, in front of a statement."""
    return f"WITH numbers AS (SELECT n FROM generate_series(1, {rows}) AS n) "
