"""A ledger with many finished effects, written straight into duly's tables, and what a tenant asks of it.

Effect number n was requested n seconds after `FIRST_MS`. Nine in ten are one tenant's, one in twenty has failed. A
reference and a recipient belong to 200 that follow each other. Ids lie in no order, as real ones do.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from duly import Dispatch, EffectFilter
from duly.clock import time_of

TENANT: Final = "acme"
PAGE_ROWS: Final = 50
FIRST_MS: Final = 1_700_000_000_000
BLOCK_ROWS: Final = 200
"""How many effects share a reference, or lie in a time range; nine in ten of them are on the tenant's pages."""
VARIANTS: Final = 8
"""How many references, recipients and time ranges are asked for in turn, all over the ledger."""

# In words that both databases understand. Each place of the statements has what differs: where numbers come from, how
# bytes are made of a text, and the order that the table is written fastest in.
EFFECTS: Final = """
{numbers}
INSERT INTO duly.effect
       (id, tenant, type, channel, gateway, policy, key, digest, reference, correlation, state, reason, provider_id,
        delivery, delivery_ms, handler, chain, counted, attempts, moves, first_attempt_ms, requested_ms, changed_ms)
SELECT id, CASE WHEN n % 10 < 9 THEN 'acme' ELSE 'tenant-' || (n % 97) END, 'notices.Notice',
       CASE WHEN n % 3 = 0 THEN 'sms' ELSE 'email' END, 'notices', 'at_most_once', id,
       '9f86d081884c7d659a2feaa0c55ad015', 'order-' || (n / 200), 'command-' || n,
       CASE WHEN n % 20 = 0 THEN 'failed' ELSE 'accepted' END, CASE WHEN n % 20 = 0 THEN 'HTTP 422' ELSE '' END,
       CASE WHEN n % 20 <> 0 THEN 'provider-' || n END, CASE WHEN n % 20 <> 0 THEN 'delivered' END,
       CASE WHEN n % 20 <> 0 THEN at_ms + 900 END, 'notices.notify',
       '[["command","notices.Notify","command-' || n || '",""]]', 1, 1, 3, at_ms + 50, at_ms, at_ms + 100
  FROM numbers ORDER BY n
"""
CONTENTS: Final = """
{numbers}
INSERT INTO duly.effect_content
       (effect_id, tenant, channel, requested_ms, subject, recipient, recipient_hash, summary, content_type, body)
SELECT id, CASE WHEN n % 10 < 9 THEN 'acme' ELSE 'tenant-' || (n % 97) END,
       CASE WHEN n % 3 = 0 THEN 'sms' ELSE 'email' END, at_ms, 'customer-' || (n / 200),
       'customer-' || (n / 200) || '@example.com', 'hash-of-customer-' || (n / 200),
       'We have your order ' || n || '.', 'application/json',
       {bytes}('{{"text":"We have your order ' || n || '.","to":"customer-' || (n / 200) || '@example.com"}}'{encoding})
  FROM numbers ORDER BY {order}
"""
ATTEMPTS: Final = """
{numbers}
INSERT INTO duly.attempt
       (effect_id, number, owner, token, key, digest, origin, possible_duplicate, started_ms, ended_ms, outcome,
        evidence, provider_id)
SELECT id, 1, 'worker-1', 'token-' || (n / 32), id, '9f86d081884c7d659a2feaa0c55ad015', 'scheduled', 0, at_ms + 50,
       at_ms + 100, CASE WHEN n % 20 = 0 THEN 'not sent' ELSE 'accepted' END,
       CASE WHEN n % 20 = 0 THEN 'HTTP 422' ELSE 'HTTP 201' END, CASE WHEN n % 20 <> 0 THEN 'provider-' || n END
  FROM numbers ORDER BY {order}
"""
TABLES: Final = {"effect": EFFECTS, "effect_content": CONTENTS, "attempt": ATTEMPTS}

SQLITE: Final = {
    "numbers": """
        WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {rows}),
             numbers AS (SELECT n, md5(n) AS id, {first} + n * 1000 AS at_ms FROM counted)""",
    "bytes": "CAST",
    "encoding": " AS BLOB",
    "order": "id",
}
POSTGRES: Final = {
    "numbers": """
        WITH numbers AS (SELECT n, md5(n::text) AS id, {first} + n * 1000 AS at_ms
                           FROM generate_series(1, {rows}::bigint) AS n)""",
    "bytes": "convert_to",
    "encoding": ", 'UTF8'",
    "order": "n",
}


def statements(dialect: dict[str, str], rows: int) -> list[str]:
    """What puts effects 1 to *rows* into the ledger, a statement for each table."""
    numbers = dialect["numbers"].format(rows=rows, first=FIRST_MS)
    return [statement.format(**{**dialect, "numbers": numbers}) for statement in TABLES.values()]


def asked(rows: int, variant: int) -> dict[str, EffectFilter]:
    """What is asked of a ledger of so many effects, by name. Everything has two full pages at least."""
    block = (variant % VARIANTS + 1) * rows // (VARIANTS + 2) // BLOCK_ROWS
    begun = time_of(FIRST_MS) + timedelta(seconds=block * BLOCK_ROWS)
    return {
        "all": EffectFilter(),
        "state": EffectFilter(states=(Dispatch.FAILED,)),
        "usual state": EffectFilter(states=(Dispatch.ACCEPTED,)),
        "channel": EffectFilter(channel="sms"),
        "reference": EffectFilter(reference=f"order-{block}"),
        "recipient": EffectFilter(recipient=f"customer-{block}@example.com"),
        "time range": EffectFilter(requested_from=begun, requested_to=begun + timedelta(seconds=BLOCK_ROWS)),
    }
