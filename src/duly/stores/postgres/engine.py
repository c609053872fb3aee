"""Runs scripts and changes on connections of a pool, and runs them again when others were in the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from duly.errors import StoreError
from duly.ports.change import Change, Conflict, Verdict
from duly.stores.postgres.address import Connection, checked_url, without_password
from duly.stores.postgres.arrays import AGAIN, COMMIT_UNIT, COMMIT_UNITS, Arguments, arguments_of, verdict_of
from duly.stores.postgres.failures import READ_ONLY, REFUSED, DriverError, code_of, is_lost, is_transient, store_error
from duly.stores.postgres.group_commit import GroupCommit, Outcome
from duly.stores.postgres.lost_commit import resolve
from duly.stores.postgres.pool import ConnectionPool
from duly.stores.postgres.running import ANSWER_SECONDS_MAX, run_script
from duly.stores.script import Script

T = TypeVar("T")

RETRIES_MAX: Final = 6
"""How often a unit runs again after a serialization failure or a deadlock."""
RETRY_WAIT_SECONDS: Final = 0.005
"""The longest wait before the first of them; it doubles."""
NUMBER_COMMITS: Final = "SELECT duly.number_commits($1)"

# Plans that were made while tables were small, and are kept, must not read whole tables later (ADR 0013): with these,
# rows are found by key, whatever the statistics say. In one round trip, and for this transaction alone.
BEGIN_WRITE: Final = (
    "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
)


class PostgresEngine:
    """One database."""

    def __init__(self, url: str, connections_max: int) -> None:
        self.url = without_password(checked_url(url))
        self.pool = ConnectionPool(url, self.url, connections_max)
        self._group = GroupCommit(self._commit_alone, self._commit_together)

    async def close(self) -> None:
        """Let what is being committed come to its end, and end all connections."""
        await self._group.close()
        await self.pool.close()

    async def read(self, make: Callable[[], Script[T]]) -> T:
        """Run a script of one statement on what was committed, in one round trip."""
        return await self.reading(lambda connection: run_script(connection, make()))

    async def read_together(self, make: Callable[[], Script[T]]) -> T:
        """Run a script of several statements that all see the same moment."""
        return await self.reading(
            lambda connection: in_transaction(
                connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", lambda: run_script(connection, make())
            )
        )

    async def reading(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run *work*, which only reads; once more when its connection is lost. Raises `StoreError`."""
        try:
            async with self.pool.lend() as connection:
                return await work(connection)
        except DriverError as error:
            if not is_lost(error) or isinstance(error, TimeoutError):
                raise store_error(error, self.url) from error
            self.pool.forget_idle()
        try:
            async with self.pool.lend() as connection:
                return await work(connection)
        except DriverError as error:
            raise store_error(error, self.url) from error

    async def write(self, make: Callable[[], Script[T]]) -> T:
        """Run a script and commit it, as often as it takes within bounds. Raises `StoreError`."""

        async def once() -> T:
            async with self.pool.lend() as connection:
                return await in_transaction(connection, BEGIN_WRITE, lambda: run_script(connection, make()))

        try:
            return await again_when_transient(once)
        except DriverError as error:
            raise self._store_error(error) from error

    async def commit(self, change: Change) -> Verdict:
        """Commit a change, together with others that wait at the same time. Raises `StoreError`."""
        self.pool.check_process()  # before it waits among those of another process
        return await self._group.commit(change)

    async def _commit_alone(self, change: Change) -> Verdict:
        """Commit a change in one round trip of its own. Raises `StoreError`."""
        arguments = arguments_of((change,))

        async def once() -> Verdict:
            async with self.pool.lend() as connection:
                return await commit_unit(connection, arguments)

        try:
            return await again_when_transient(once)
        except DriverError as error:
            if is_transient(error):
                return contended(change)
            if is_lost(error):
                return await self._resolved(change, error)
            raise self._store_error(error) from error

    async def _commit_together(self, changes: Sequence[Change]) -> list[Outcome]:
        """Commit several in one round trip: what has become of each; None for one that must go by itself."""
        arguments = arguments_of(changes)
        try:
            async with self.pool.lend() as connection:
                answers = await connection.fetchval(COMMIT_UNITS, *arguments, timeout=ANSWER_SECONDS_MAX)
        except DriverError as error:
            if is_lost(error):  # it may have been committed
                return await asyncio.gather(
                    *(self._resolved(change, error) for change in changes), return_exceptions=True
                )
            return [None] * len(changes)
        return [None if answer == AGAIN else verdict_of(answer) for answer in answers]

    async def _resolved(self, change: Change, lost: BaseException) -> Verdict:
        await resolve(self.pool, self.url, change.tenant, change.inbox, lost)
        return verdict_of(None)

    async def number_commits(self, commits_max: int) -> int:
        """Give positions to commits, in one round trip; to how many. Raises `StoreError`."""

        async def once() -> int:
            async with self.pool.lend() as connection:
                numbered: int = await connection.fetchval(NUMBER_COMMITS, commits_max, timeout=ANSWER_SECONDS_MAX)
                return numbered

        try:
            return await again_when_transient(once)
        except DriverError as error:
            raise self._store_error(error) from error

    def _store_error(self, error: BaseException) -> StoreError:
        if code_of(error) == READ_ONLY:
            self.pool.forget_idle()  # after a fail-over, the next connection may find the new primary
        return store_error(error, self.url)


async def commit_unit(connection: Connection, arguments: Arguments) -> Verdict:
    """Write a change, within a transaction if there is one, else as one. Raises asyncpg's errors."""
    try:
        return verdict_of(await connection.fetchval(COMMIT_UNIT, *arguments, timeout=ANSWER_SECONDS_MAX))
    except DriverError as error:
        if code_of(error) != REFUSED:
            raise
        return verdict_of(getattr(error, "detail", None))


async def in_transaction(connection: Connection, begin: str, work: Callable[[], Awaitable[T]]) -> T:
    """Run *work* between *begin* and COMMIT, or ROLLBACK when it fails. Raises asyncpg's errors."""
    await connection.execute(begin, timeout=ANSWER_SECONDS_MAX)
    try:
        result = await work()
    except Exception as error:
        if not (is_lost(error) or connection.is_closed()):
            await connection.execute("ROLLBACK", timeout=ANSWER_SECONDS_MAX)
        raise
    await connection.execute("COMMIT", timeout=ANSWER_SECONDS_MAX)
    return result


async def again_when_transient(once: Callable[[], Awaitable[T]]) -> T:
    """Call *once* until it succeeds, or fails for good, or too often; with full jitter between."""
    for attempt in range(RETRIES_MAX):
        try:
            return await once()
        except DriverError as error:
            if not is_transient(error):
                raise
        await asyncio.sleep(random.uniform(0, RETRY_WAIT_SECONDS * 2**attempt))
    return await once()


def contended(change: Change) -> Conflict:
    """The verdict on a change that others were in the way of every time."""
    keys = [(write.type, write.id) for write in change.documents] + [(check.type, check.id) for check in change.checks]
    return Conflict(*keys[0]) if keys else Conflict("command", change.inbox.id if change.inbox else "")
