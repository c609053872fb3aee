"""The tasks of a worker that see to positions, on a store that does what a test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import pytest

from duly.delivery import sequencer as delivery_sequencer
from duly.delivery.old_transactions import OldTransactionWatch
from duly.delivery.sequencer import NUMBERED_PER_STEP_MAX, Sequencer
from duly.errors import StoreUnavailable
from duly.ports.log import LogPage, OldTransaction

LONG = timedelta(hours=1)
MOMENT = timedelta(milliseconds=1)


class Log:
    """A log with commits that wait for their positions."""

    def __init__(self, waiting: int = 0, *, numbers_at_commit: bool = False, failures: int = 0) -> None:
        self.waiting = waiting
        self.numbers_at_commit = numbers_at_commit
        self.failures = failures
        self.steps = 0
        self.old: list[OldTransaction] = []
        self.stepped = asyncio.Event()

    async def number_commits(self, commits_max: int) -> int:
        self.steps += 1
        self.stepped.set()
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("The database is away.")
        numbered = min(self.waiting, commits_max)
        self.waiting -= numbered
        return numbered

    async def old_transactions(self, age: timedelta) -> list[OldTransaction]:
        return self.old

    async def log_head(self) -> int:
        raise NotImplementedError

    async def position_of(self, commit: int) -> int | None:
        raise NotImplementedError

    async def read_log(
        self,
        after: int,
        positions_max: int,
        *,
        names: Collection[str] | None = None,
        tenant: str | None = None,
        through: int | None = None,
    ) -> LogPage:
        raise NotImplementedError


async def until(true: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + 10
    while not true():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.001)


def running(log: Log, interval: timedelta = LONG) -> tuple[Sequencer, asyncio.Task[None], list[int]]:
    told: list[int] = []
    sequencer = Sequencer(log, interval=interval, on_numbered=lambda: told.append(log.waiting))
    return sequencer, asyncio.create_task(sequencer.run()), told


async def stop(sequencer: Sequencer, task: asyncio.Task[None]) -> None:
    sequencer.stop()
    async with asyncio.timeout(10):
        await task


async def test_what_was_committed_before_it_began_is_numbered_step_by_step_without_waiting() -> None:
    log = Log(2 * NUMBERED_PER_STEP_MAX + 1)
    sequencer, task, told = running(log)
    await until(lambda: log.waiting == 0)
    assert told == [NUMBERED_PER_STEP_MAX + 1, 1, 0]
    await stop(sequencer, task)
    assert log.steps == 3


async def test_a_commit_wakes_it_from_its_rest() -> None:
    log = Log()
    sequencer, task, told = running(log)
    await log.stepped.wait()
    log.waiting = 1
    sequencer.wake()
    await until(lambda: told == [0])
    await stop(sequencer, task)


async def test_after_a_step_it_lets_commits_gather_however_often_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_sequencer, "GATHER_SECONDS", 3600)
    log = Log(1)
    sequencer, task, _ = running(log)
    await until(lambda: log.waiting == 0)
    log.waiting = 5
    for _ in range(20):
        sequencer.wake()
        await asyncio.sleep(0)
    assert (log.steps, log.waiting) == (1, 5)
    await stop(sequencer, task)


async def test_the_rest_after_a_step_is_short_however_long_it_would_wait_without_a_wake_up() -> None:
    log = Log(1)
    sequencer, task, _ = running(log)
    for _ in range(3):
        await until(lambda: log.waiting == 0)
        log.waiting = 1
        sequencer.wake()
    await until(lambda: log.waiting == 0)
    await stop(sequencer, task)


async def test_without_a_wake_up_it_looks_once_per_interval() -> None:
    log = Log()
    sequencer, task, told = running(log, MOMENT)
    await log.stepped.wait()
    log.waiting = 1
    await until(lambda: told == [0])
    await stop(sequencer, task)


async def test_a_database_that_is_away_is_logged_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(1, failures=2)
    sequencer, task, _ = running(log, MOMENT)
    await until(lambda: log.waiting == 0)
    await stop(sequencer, task)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR]
    assert "projections wait" in caplog.text


async def test_a_store_that_numbers_at_commit_has_no_work_for_it() -> None:
    log = Log(1, numbers_at_commit=True)
    _, task, _ = running(log)
    await task
    assert log.steps == 0


async def test_an_old_transaction_is_named_once_and_again_when_it_is_another(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    watch = OldTransactionWatch(log, after=timedelta(minutes=1))
    since = datetime(2026, 1, 1, tzinfo=UTC)
    log.old = [OldTransaction(holder="process 42", since=since, doing="anna, psql, idle in transaction, SELECT 1")]
    await watch.look()
    await watch.look()
    assert len(caplog.records) == 1
    assert "process 42 since 2026-01-01T00:00:00+00:00 (anna, psql, idle in transaction, SELECT 1)" in caplog.text
    log.old = [OldTransaction(holder="process 42", since=since + LONG, doing="anna")]
    await watch.look()
    assert len(caplog.records) == 2
