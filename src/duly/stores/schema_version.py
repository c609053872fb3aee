"""Numbered migrations, and what the start says about the database's form."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import msgspec

from duly.errors import SchemaMissing, SchemaOutdated, SchemaTooNew


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
