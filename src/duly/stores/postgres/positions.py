"""What is asked about positions of PostgreSQL alone, and of who may keep commits waiting for theirs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from duly.clock import time_of, to_milliseconds
from duly.ports.log import OldTransaction
from duly.stores.script import Script, Statement

# Names of users and the like are truncated by the server; statements of others are only shown to who may see them.
SELECT_OLD: Final = """
SELECT holder, CAST(extract(epoch FROM since) * 1000 AS bigint), doing
  FROM (SELECT 'process ' || a.pid AS holder, a.xact_start AS since,
               concat_ws(', ', a.usename, nullif(a.application_name, ''), a.state, a.query) AS doing
          FROM pg_stat_activity AS a
         WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
         UNION ALL
        SELECT 'prepared transaction ' || p.gid, p.prepared, p.owner
          FROM pg_prepared_xacts AS p WHERE p.database = current_database()) AS t
 WHERE since < clock_timestamp() - CAST(:age_ms AS bigint) * interval '1 millisecond'
 ORDER BY since LIMIT 10
"""
DOING_CHARACTERS_MAX: Final = 300

_QUOTED: Final = re.compile(r"'(?:[^']|'')*'?|\$(\w*)\$.*?(?:\$\1\$|$)", re.DOTALL)
"""Constants of text: they may be anything, personal data too."""


def position_of_script(commit: int) -> Script[int | None]:
    """The position of the last event of a commit; None until it is numbered."""
    found = yield Statement("SELECT duly.position_of(:commit_id)", {"commit_id": commit})
    position: int | None = found.rows[0][0]
    return position


def old_transactions_script(age: timedelta) -> Script[list[OldTransaction]]:
    """Transactions that have been open for longer than *age*, the oldest first."""
    found = yield Statement(SELECT_OLD, {"age_ms": to_milliseconds(age)})
    return [
        OldTransaction(holder=holder, since=time_of(since_ms), doing=_QUOTED.sub("'…'", doing)[:DOING_CHARACTERS_MAX])
        for holder, since_ms, doing in found.rows
    ]
