"""Counts at the driver what is said to a database. It takes time: only the round that does not count is counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

from benchmarks.spending import Spent

ASKING: Final = ("execute", "executemany", "fetch", "fetchmany", "fetchrow", "fetchval")
"""The methods of asyncpg's connections and prepared statements that say something and wait for the answer."""


class Tally:
    """What was said so far."""

    def __init__(self) -> None:
        self.statements = 0
        self.round_trips: int | None = None
        """None where there are none."""
        self._begun = Spent()

    def begin(self) -> None:
        """A block begins."""
        self._begun = Spent(statements=self.statements, round_trips=self.round_trips)

    def end(self) -> Spent:
        """What was said in the block."""
        begun = self._begun
        assert begun.statements is not None
        waited = None if self.round_trips is None else self.round_trips - (begun.round_trips or 0)
        return Spent(statements=self.statements - begun.statements, round_trips=waited)


@contextmanager
def counted_sqlite() -> Iterator[Tally]:
    """Counts the statements of every connection of the standard library that is made in the block."""
    tally, connect = Tally(), sqlite3.connect

    def count(statement: str) -> None:
        # Triggers and the inside of functions are told as comments.
        tally.statements += not statement.startswith("--")

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(count)
        return connection

    with patch.object(sqlite3, "connect", connected):
        yield tally


@contextmanager
def counted_postgres() -> Iterator[Tally]:
    """Counts what asyncpg says in the block: a call is a round trip, and has as many statements as semicolons part."""
    import asyncpg
    from asyncpg.prepared_stmt import PreparedStatement

    tally = Tally()
    tally.round_trips = 0

    def counts(method: Callable[..., Any], *, prepared: bool) -> Callable[..., Any]:
        def counting(self: Any, *arguments: Any, **options: Any) -> Any:
            parts = 1 if prepared else sum(1 for part in arguments[0].split(";") if part.strip())
            tally.statements += parts
            assert tally.round_trips is not None
            tally.round_trips += 1
            return method(self, *arguments, **options)

        return counting

    with ExitStack() as stack:
        for cls, prepared in ((asyncpg.Connection, False), (PreparedStatement, True)):
            for name in ASKING:
                if hasattr(cls, name):
                    replaced = counts(getattr(cls, name), prepared=prepared)
                    stack.enter_context(patch.object(cls, name, replaced))
        yield tally
