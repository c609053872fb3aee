"""Numbered migrations, and what the start says about the database's form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Final

import msgspec

from duly.errors import SchemaMissing, SchemaOutdated, SchemaTooNew
from duly.messages.identity import digest_of

STATEMENT_CHARACTERS_SHOWN: Final = 80


class Migration(msgspec.Struct, frozen=True):
    """One numbered step, in a database's own words."""

    number: int
    text: str


def migrations(database: str) -> tuple[Migration, ...]:
    """All steps for ``sqlite`` or ``postgres``, in order."""
    folder = files("duly.stores").joinpath("schema")
    found = [
        Migration(int(entry.name.removesuffix(".sql").rpartition("_")[2]), entry.read_text())
        for entry in folder.iterdir()
        if entry.name.startswith(f"{database}_") and entry.name.endswith(".sql")
    ]
    return tuple(sorted(found, key=lambda migration: migration.number))


NEWEST: Final = max(migration.number for migration in migrations("sqlite"))
"""The version that this code works with; both databases have the same numbers (a test says so)."""


def table_digests(tables: Sequence[str]) -> dict[str, str]:
    """The statements of modules' own tables, by digest: how a database knows which of them were run."""
    return {digest_of(statement): statement for statement in tables}


def told(statement: str) -> str:
    """A statement as one line, cut to what a person needs to recognise it."""
    line = " ".join(statement.split())
    return line if len(line) <= STATEMENT_CHARACTERS_SHOWN else line[: STATEMENT_CHARACTERS_SHOWN - 1] + "…"


def check_tables(known: Iterable[str], tables: Sequence[str], url: str) -> None:
    """Raises `SchemaOutdated` unless each of *tables* was run; *known* holds the digests of those that were."""
    present = set(known)
    missing = [statement for digest, statement in table_digests(tables).items() if digest not in present]
    if missing:
        raise SchemaOutdated(
            f"The database {url} lacks tables that modules declare: {'; '.join(map(told, missing))}. "
            "Run: duly migrate module:application"
        )


def check_version(present: int | None, url: str) -> None:
    """Raises unless *present* (None: no schema at all) is what the code works with."""
    if present is None:
        raise SchemaMissing(f"The database {url} has no duly schema. Run: duly migrate {url}")
    if present < NEWEST:
        raise SchemaOutdated(
            f"The database {url} has schema version {present}; this code needs {NEWEST}. Run: duly migrate {url}"
        )
    if present > NEWEST:
        raise SchemaTooNew(
            f"The database {url} has schema version {present}; this code knows {NEWEST}. Deploy the newer duly; a "
            "database is never migrated back."
        )
