"""An outbox on PostgreSQL that is filled again and again while workers run, and how long they take to drain it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, NamedTuple, Self

import asyncpg

from benchmarks.loop import new_runner
from benchmarks.measured import Stopwatch
from duly.messages.identity import BUCKETS

POLL_SECONDS: Final = 0.01
SECONDS_MAX: Final = 120
SET_ASIDE: Final = """
CREATE TABLE waiting AS SELECT id, subscriber_no, bucket, lane, commit_id, ordinal FROM duly.outbox;
CREATE INDEX ON waiting (id);
DELETE FROM duly.outbox;
"""
PUT_BACK: Final = """
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
SELECT subscriber_no, bucket, lane, commit_id, ordinal FROM waiting ORDER BY id LIMIT $1
"""
FORGET: Final = "DELETE FROM duly.document WHERE type = 'Parcel'"
TIDY: Final = "VACUUM duly.document, duly.outbox"
"""What the round before has left dead. Autovacuum comes at times of its own: in one round, and not in the next."""
IS_DRAINED: Final = "SELECT NOT EXISTS (SELECT 1 FROM duly.outbox)"
IS_SHARED: Final = """
SELECT count(*) = $1 AND sum(owned) = $2 AND max(owned) <= ceil($2::numeric / $1)
  FROM (SELECT count(*) AS owned FROM duly.bucket WHERE owner IS NOT NULL AND until_ms > duly.now_ms() GROUP BY owner)
       AS owners
"""


class Drained(NamedTuple):
    """A backlog that workers have worked off."""

    watch: Stopwatch
    left: int
    documents: int


class Backlog:
    """One database, over a connection of its own."""

    def __init__(self, url: str) -> None:
        self._runner = new_runner()
        self._connection: asyncpg.Connection[asyncpg.Record] = self._runner.run(asyncpg.connect(url))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def set_aside(self) -> None:
        """Take what waits out of the outbox, once, before workers run."""
        self._runner.run(self._connection.execute(SET_ASIDE))

    def until_shared(self, workers: int) -> None:
        """Wait until so many workers have all buckets, in equal shares."""
        self._until(IS_SHARED, workers, BUCKETS)

    def drain(self, messages: int) -> Drained:
        """Put so many messages into the outbox in one commit; how long it takes until all of them are delivered."""
        self._runner.run(self._connection.execute(FORGET))
        self._runner.run(self._connection.execute(TIDY))
        self._runner.run(self._connection.execute("BEGIN"))
        self._runner.run(self._connection.execute(PUT_BACK, messages))
        with Stopwatch() as watch:
            # Before, no worker sees anything, however quick it is.
            self._runner.run(self._connection.execute("COMMIT"))
            self._until(IS_DRAINED)
        return Drained(
            watch,
            left=self._number("SELECT count(*) FROM duly.outbox"),
            documents=self._number("SELECT count(*) FROM duly.document WHERE type = 'Parcel'"),
        )

    def close(self) -> None:
        """End the connection."""
        self._runner.run(self._connection.close())
        self._runner.close()

    def _until(self, question: str, *parameters: int) -> None:
        deadline = time.perf_counter() + SECONDS_MAX
        while not self._runner.run(self._connection.fetchval(question, *parameters)):
            if time.perf_counter() > deadline:
                raise TimeoutError(f"Still not so after {SECONDS_MAX} s: {' '.join(question.split())} {parameters}")
            time.sleep(POLL_SECONDS)

    def _number(self, question: str) -> int:
        return int(self._runner.run(self._connection.fetchval(question)))
