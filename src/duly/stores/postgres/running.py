"""Scripts on a connection of asyncpg."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeVar, cast

from duly.stores.placeholders import bind_numbered
from duly.stores.postgres.address import Connection
from duly.stores.script import Result, Row, Script, Statement, for_postgres

T = TypeVar("T")

ANSWER_SECONDS_MAX: Final = 30
"""How long one statement of ours may take, its waits for locks included; then the connection counts as lost."""

_RETURNS_ROWS: Final = re.compile(r"\s*(?:SELECT|WITH)\b|.*\bRETURNING\b", re.DOTALL)


async def run_script(connection: Connection, script: Script[T]) -> T:
    """Run a script to its end, statement by statement; its result. Raises asyncpg's errors."""
    try:
        statement = next(script)
        while True:
            statement = script.send(await _execute(connection, statement))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        script.close()


async def _execute(connection: Connection, statement: Statement) -> Result:
    bound = bind_numbered(for_postgres(statement.text))
    values = [statement.parameters[name] for name in bound.names]
    if _returns_rows(statement.text):
        rows = await connection.fetch(bound.statement, *values, timeout=ANSWER_SECONDS_MAX)
        # A record is as good as a sequence: it has length, order and positions.
        return Result(cast("Sequence[Row]", rows), len(rows))
    status = await connection.execute(bound.statement, *values, timeout=ANSWER_SECONDS_MAX)
    return Result((), rows_changed(status))


@lru_cache(maxsize=512)
def _returns_rows(text: str) -> bool:
    return _RETURNS_ROWS.match(text) is not None


def rows_changed(status: str | None) -> int:
    """How many rows a command tag, like ``UPDATE 3``, says were changed; 0 for what changes none."""
    word, _, rest = (status or "").partition(" ")
    return int(rest.rpartition(" ")[2]) if word in ("INSERT", "UPDATE", "DELETE", "MERGE") else 0
