"""Tables and their shadows on SQLite: names are exchanged inside of the one write transaction."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from duly.domain.projection import physical_table
from duly.ports.projections import Generation
from duly.stores.rebuild_scripts import SqlRebuilding

T = TypeVar("T")

# A foreign key would follow the old table to its new name (lang_altertable.html, ALTER TABLE RENAME).
FOREIGN_KEYS: Final = """
SELECT DISTINCT m.name FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f
 WHERE m.type = 'table' AND lower(f."table") IN ({tables}) AND lower(m.name) NOT IN ({tables}) ORDER BY m.name
"""


class SqliteTableSwap(SqlRebuilding):
    """The part of an open transaction that knows SQLite's tables."""

    @abstractmethod
    async def _on_writer(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run *work* in this transaction."""

    async def wait_for_locks(self, at_most: timedelta) -> None:
        """Nothing: this transaction is the only writer already, and readers are in nobody's way."""

    async def number_commits(self, commits_max: int) -> int:
        """0: the writer has numbered them."""
        return 0

    async def tables_present(self, tables: Collection[str]) -> list[str]:
        """Those of these names that are taken."""

        def work(connection: sqlite3.Connection) -> list[str]:
            marks = ", ".join("?" * len(tables))
            found = connection.execute(f"SELECT name FROM sqlite_schema WHERE name IN ({marks})", sorted(tables))
            return sorted(row[0] for row in found)

        return await self._on_writer(work)

    async def table_dependents(self, tables: Collection[str]) -> list[str]:
        """Tables of others that refer to these. Views name them, and go on to do so."""

        def work(connection: sqlite3.Connection) -> list[str]:
            names = sorted(tables)
            statement = FOREIGN_KEYS.format(tables=", ".join("?" * len(names)))
            return [f"foreign key of table {row[0]}" for row in connection.execute(statement, [*names, *names])]

        return await self._on_writer(work)

    async def exchange_tables(self, *, live: Generation, shadow: Generation) -> None:
        """Give the live tables the names of their generation, and the shadow's tables the plain names."""

        def work(connection: sqlite3.Connection) -> None:
            # Views and triggers keep the names that they were written with (pragma.html#pragma_legacy_alter_table).
            connection.execute("PRAGMA legacy_alter_table = ON")
            try:
                for table in live.tables:
                    connection.execute(f'ALTER TABLE "{table}" RENAME TO "{physical_table(table, live.number)}"')
                for table in shadow.tables:
                    connection.execute(f'ALTER TABLE "{physical_table(table, shadow.number)}" RENAME TO "{table}"')
            finally:
                connection.execute("PRAGMA legacy_alter_table = OFF")

        await self._on_writer(work)

    async def drop_tables(self, tables: Sequence[str]) -> None:
        """Remove these tables, as far as they are there."""

        def work(connection: sqlite3.Connection) -> None:
            # Children first, or their parents' rows are looked after one by one.
            for table in reversed(tables):
                connection.execute(f'DROP TABLE IF EXISTS "{table}"')

        await self._on_writer(work)
