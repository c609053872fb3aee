"""The one connection that writes. Everything here runs in the writer's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from duly.stores.sqlite.file_lock import FileLock, held
from duly.stores.sqlite.unit import Unit

Units: TypeAlias = Sequence[Unit[Any]]


class Writer:
    """Begins and ends transactions, each under the lock of the file; in memory there is none."""

    def __init__(self, connection: sqlite3.Connection, lock: FileLock | None) -> None:
        self.connection = connection
        self._lock = lock

    def begin(self) -> None:
        """Begin a transaction. Raises `sqlite3.Error`."""
        if self._lock is not None:
            self._lock.acquire()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._release()
            raise

    def end(self, *, keep: bool) -> None:
        """Commit or roll back. Raises `sqlite3.Error` when it could not be committed, and was rolled back."""
        try:
            if keep:
                self.connection.execute("COMMIT")
        finally:
            try:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
            finally:
                self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def commit(self, units: Units) -> None:
        """Run units of work and commit them: in one transaction, or each in its own where that does not stand.

        A savepoint for each would add a third to the work, so they come into play when one of the units has to be
        taken back (docs/adr/0025). Nothing is raised: each unit has its own outcome.
        """
        if len(units) > 1 and (self._together(units, self._plain) or self._together(units, self._guarded)):
            return
        for unit in units:
            self._alone(unit)

    def _together(self, units: Units, run: Callable[[Unit[Any]], bool]) -> bool:
        """Whether one transaction has settled them. If not, nothing of it stands."""
        try:
            self.begin()
        except BaseException as error:
            for unit in units:
                unit.failure = error
            return True
        stands = False
        try:
            try:
                stands = all(map(run, units))
            finally:
                self.end(keep=stands)
        except BaseException:
            return False
        return stands

    def _plain(self, unit: Unit[Any]) -> bool:
        """Run it with nothing to go back to; whether there is no need to, and the transaction is still there."""
        changed = self.connection.total_changes
        try:
            keep = unit.run(self.connection)
        except BaseException:
            return False
        return self.connection.in_transaction and (keep or self.connection.total_changes == changed)

    def _guarded(self, unit: Unit[Any]) -> bool:
        """Run it under a savepoint; whether the transaction is still there.

        Some errors end it, with all that the others did (lang_transaction.html, section 3.1).
        """
        self.connection.execute("SAVEPOINT duly_unit")
        keep = False
        try:
            keep = unit.run(self.connection)
        except BaseException as error:
            unit.failure = error
        if not self.connection.in_transaction:
            return False
        if not keep:
            self.connection.execute("ROLLBACK TO duly_unit")
        self.connection.execute("RELEASE duly_unit")
        return True

    def _alone(self, unit: Unit[Any]) -> None:
        unit.failure = None
        try:
            self.begin()
            keep = False
            try:
                keep = unit.run(self.connection)
            finally:
                self.end(keep=keep)
        except BaseException as error:
            unit.failure = error

    def close(self, *, before: Sequence[sqlite3.Connection]) -> None:
        """Close the connections *before*, then this one, under the lock."""
        with held(self._lock):
            for connection in (*before, self.connection):
                connection.close()
        if self._lock is not None:
            self._lock.close()
