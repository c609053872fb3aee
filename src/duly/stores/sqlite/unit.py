"""One unit of work on its way through the writer: what is to be done, and what came of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

Work: TypeAlias = Callable[[sqlite3.Connection], tuple[T, bool]]
"""Runs in a transaction; its result, and whether what it did is to be kept. What did not stand, may run again."""


class Unit(Generic[T]):
    """The loop makes it, the writer's thread fills it in, and the loop tells the caller."""

    __slots__ = ("_outcome", "failure", "future", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.failure: BaseException | None = None
        self._outcome: T

    @property
    def is_withdrawn(self) -> bool:
        """Whether its caller was cancelled. Once the writer has begun with it, that changes nothing."""
        return self.future.cancelled()

    def run(self, connection: sqlite3.Connection) -> bool:
        """Do the work, in the writer's thread; whether it is to be kept. Raises what the work raises."""
        self._outcome, keep = self.work(connection)
        return keep

    def settle(self) -> None:
        """Tell the caller, in the loop's thread. One that was cancelled learns it by the command's id."""
        failure, self.failure = self.failure, None
        if self.future.done():
            return
        if failure is None:
            self.future.set_result(self._outcome)
        else:
            self.future.set_exception(failure)
