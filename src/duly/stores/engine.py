"""What runs the scripts of a SQL store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from duly.stores.script import Script

T = TypeVar("T")


class Engine(Protocol):
    """Runs scripts, each in one transaction of its own. A script runs once: *make* makes a new one for each try."""

    async def read(self, make: Callable[[], Script[T]]) -> T:
        """Run a script of one statement on what was committed."""

    async def read_together(self, make: Callable[[], Script[T]]) -> T:
        """Run a script of several statements on what was committed, all of them at the same moment."""

    async def write(self, make: Callable[[], Script[T]]) -> T:
        """Run a script and commit it."""
