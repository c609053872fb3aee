"""The schema ``duly`` of a database: which version it has, and how it comes to the newest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from duly.stores.postgres import user_sql
from duly.stores.postgres.address import Connection
from duly.stores.schema_version import NEWEST, check_version, migrations, table_digests, told

MIGRATION_LOCK_SECONDS_MAX: Final = 60
"""How long one migration waits for another one, or for a table that is in use."""
_LOCK: Final = 1685416057_0001


async def version_of(connection: Connection) -> int | None:
    """The schema's version, None without a schema. Raises asyncpg's errors."""
    try:
        version: int | None = await connection.fetchval("SELECT version FROM duly.schema")
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None
    return version


async def tables_run(connection: Connection) -> list[str]:
    """Digests of the modules' own statements that were run. Raises asyncpg's errors."""
    return [row[0] for row in await connection.fetch("SELECT digest FROM duly.module_table")]


async def migrate(connection: Connection, tables: Sequence[str], url: str) -> list[str]:
    """Bring the schema up to date, each step in one transaction, then run what is new of *tables*; what was done.

    One migration at a time: a second one waits, and finds nothing to do. Raises `StoreError`, asyncpg's errors.
    """
    await connection.execute(f"SET lock_timeout = '{MIGRATION_LOCK_SECONDS_MAX}s'")
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        present = await version_of(connection) or 0
        if present > NEWEST:
            check_version(present, url)
        done: list[str] = []
        for migration in migrations("postgres"):
            if migration.number > present:
                async with connection.transaction():
                    await connection.execute(migration.text)
                    await connection.execute("DELETE FROM duly.schema")
                    await connection.execute("INSERT INTO duly.schema (version) VALUES ($1)", migration.number)
                done.append(f"duly schema version {migration.number}")
        run_before = set(await tables_run(connection))
        async with connection.transaction():
            for digest, statement in table_digests(tables).items():
                if digest not in run_before:
                    await user_sql.execute(connection, statement, {}, url=url)
                    await connection.execute("INSERT INTO duly.module_table VALUES ($1, $2)", digest, statement)
                    done.append(told(statement))
        return done
    finally:
        if not connection.is_closed():
            await connection.reset()  # the lock and its time limit go
