"""Tables and their shadows on PostgreSQL: names are exchanged in one transaction, which waits briefly for each lock."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from duly.clock import to_milliseconds
from duly.domain.projection import physical_table
from duly.ports.projections import Generation
from duly.stores.postgres.address import Connection
from duly.stores.postgres.running import ANSWER_SECONDS_MAX
from duly.stores.rebuild_scripts import SqlRebuilding

T = TypeVar("T")

PRESENT: Final = "SELECT name FROM unnest($1::text[]) AS t (name) WHERE to_regclass('\"' || name || '\"') IS NOT NULL"
# Views, foreign keys and functions know a table by its number, and would go on to mean the old one.
DEPENDENTS: Final = """
WITH mine AS (
    SELECT to_regclass('"' || name || '"')::oid AS oid FROM unnest($1::text[]) AS t (name)
)
SELECT DISTINCT kind || ' ' || name FROM (
    SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, r.ev_class::regclass::text
      FROM pg_depend AS d JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
      JOIN pg_class AS c ON c.oid = r.ev_class
     WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM mine)
       AND r.ev_class NOT IN (SELECT oid FROM mine WHERE oid IS NOT NULL)
    UNION ALL
    SELECT 'foreign key of table', k.conrelid::regclass::text FROM pg_constraint AS k
     WHERE k.contype = 'f' AND k.confrelid IN (SELECT oid FROM mine)
       AND k.conrelid NOT IN (SELECT oid FROM mine WHERE oid IS NOT NULL)
    UNION ALL
    SELECT 'table that inherits,', i.inhrelid::regclass::text FROM pg_inherits AS i
     WHERE i.inhparent IN (SELECT oid FROM mine)
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text
      FROM pg_depend AS d JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
     WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM mine)
) AS found (kind, name) ORDER BY 1
"""
# Indexes and sequences of a table are relations with names of their own; the names of constraints belong to the table.
RELATIONS: Final = """
SELECT c.relname, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END
  FROM pg_class AS c
 WHERE c.oid IN (SELECT i.indexrelid FROM pg_index AS i WHERE i.indrelid = to_regclass($1))
    OR c.oid IN (SELECT d.objid FROM pg_depend AS d
                  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                    AND d.refobjid = to_regclass($1) AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
 ORDER BY c.relname
"""
# Those of unique and primary keys are renamed with their indexes.
CONSTRAINTS: Final = """
SELECT conname FROM pg_constraint WHERE conrelid = to_regclass($1) AND (conindid = 0 OR contype = 'f') ORDER BY conname
"""


class PostgresTableSwap(SqlRebuilding):
    """The part of an open transaction that knows PostgreSQL's tables."""

    @abstractmethod
    async def _on_connection(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run *work* in this transaction."""

    async def wait_for_locks(self, at_most: timedelta) -> None:
        """From now on statements fail that wait longer for a lock."""
        statement = f"SET LOCAL lock_timeout = {to_milliseconds(at_most)}"
        await self._on_connection(lambda connection: connection.execute(statement, timeout=ANSWER_SECONDS_MAX))

    async def number_commits(self, commits_max: int) -> int:
        """Give positions to commits; to how many."""
        numbered: int = await self._on_connection(
            lambda connection: connection.fetchval(
                "SELECT duly.number_commits($1)", commits_max, timeout=ANSWER_SECONDS_MAX
            )
        )
        return numbered

    async def tables_present(self, tables: Collection[str]) -> list[str]:
        """Those of these names that are taken."""
        found = await self._on_connection(
            lambda connection: connection.fetch(PRESENT, sorted(tables), timeout=ANSWER_SECONDS_MAX)
        )
        return [row[0] for row in found]

    async def table_dependents(self, tables: Collection[str]) -> list[str]:
        """Views, foreign keys, functions and tables of others that know these tables."""
        found = await self._on_connection(
            lambda connection: connection.fetch(DEPENDENTS, sorted(tables), timeout=ANSWER_SECONDS_MAX)
        )
        return [row[0] for row in found]

    async def exchange_tables(self, *, live: Generation, shadow: Generation) -> None:
        """Give the live tables the names of their generation, and the shadow's tables the plain names."""

        async def work(connection: Connection) -> None:
            if live.tables:
                # All at once and in order, so that nobody who reads several of them meets us in the middle.
                names = ", ".join(f'"{table}"' for table in sorted(live.tables))
                await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE", timeout=ANSWER_SECONDS_MAX)
            for table in live.tables:
                await _rename(connection, table, physical_table(table, live.number))
            for table in shadow.tables:
                await _rename(connection, physical_table(table, shadow.number), table)

        await self._on_connection(work)

    async def drop_tables(self, tables: Sequence[str]) -> None:
        """Remove these tables, as far as they are there."""
        if not tables:
            return
        names = ", ".join(f'"{table}"' for table in tables)
        await self._on_connection(
            lambda connection: connection.execute(f"DROP TABLE IF EXISTS {names}", timeout=ANSWER_SECONDS_MAX)
        )


async def _rename(connection: Connection, old: str, new: str) -> None:
    """Rename a table and what bears its name: an upsert may name a constraint."""
    quoted = f'"{old}"'
    for name, kind in await connection.fetch(RELATIONS, quoted, timeout=ANSWER_SECONDS_MAX):
        if old in name:
            await connection.execute(
                f'ALTER {kind} "{name}" RENAME TO "{name.replace(old, new, 1)}"', timeout=ANSWER_SECONDS_MAX
            )
    for (name,) in await connection.fetch(CONSTRAINTS, quoted, timeout=ANSWER_SECONDS_MAX):
        if old in name:
            await connection.execute(
                f'ALTER TABLE {quoted} RENAME CONSTRAINT "{name}" TO "{name.replace(old, new, 1)}"',
                timeout=ANSWER_SECONDS_MAX,
            )
    await connection.execute(f'ALTER TABLE {quoted} RENAME TO "{new}"', timeout=ANSWER_SECONDS_MAX)
