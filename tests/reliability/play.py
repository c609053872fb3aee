"""Plays scenarios: with a fresh database each, from a seed, with or without a bug."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from duly.testing.postgres_server import PostgresServer
from tests.reliability.bugs import put_back
from tests.reliability.scenario import NewDatabase, Run, Scenario, Told


class Databases:
    """New databases of one kind, in a folder or on a server."""

    def __init__(self, folder: Path, server: PostgresServer | None) -> None:
        self._folder = folder
        self._server = server
        self._numbers = count(1)

    def __call__(self) -> str:
        """The URL of a new, empty one."""
        if self._server is None:
            return f"sqlite:///{self._folder / f'shop-{next(self._numbers)}.db'}"
        return self._server.create_database()


async def play(
    scenario: Scenario, store: str, counts: Mapping[str, int], seed: int, server: PostgresServer | None, bug: str = ""
) -> Told:
    """Play *scenario* once; what it has shown. With *bug* put back, what raises counts as a violation, too."""
    folder = Path(tempfile.mkdtemp(prefix=f"duly-{scenario.id}-"))
    new_database: NewDatabase = Databases(folder, server if store == "postgres" else None)
    run = Run(store=store, new_database=new_database, folder=folder, seed=seed, counts=counts, bug=bug)
    try:
        with put_back(bug):
            told = await scenario.scene(run)
    except Exception as error:
        if not bug:
            raise
        return Told(faults=1, figures={}, violations=(f"it raised {type(error).__name__}: {error}",))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return told
