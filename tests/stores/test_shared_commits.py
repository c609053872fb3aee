"""SQLite's writer commits what has gathered, and each unit of work has an outcome of its own."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from duly.errors import StoreBusy, StoreError, StoreUnavailable
from duly.stores.sqlite.engine import UNITS_PER_COMMIT_MAX, SqliteEngine

Outcome = tuple[str, bool]
"""What a caller is told, and whether its row is there."""

TABLES = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
    "CREATE TABLE row (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
)


class Failed(Exception):
    """What a unit of work raises."""


def kept(connection: sqlite3.Connection, number: int) -> tuple[str, bool]:
    connection.execute("INSERT INTO row (id) VALUES (?)", (number,))
    return "kept", True


def refused(connection: sqlite3.Connection, number: int) -> tuple[str, bool]:
    connection.execute("INSERT INTO row (id) VALUES (?)", (number,))
    return "refused", False


def refused_before_it_wrote(connection: sqlite3.Connection, number: int) -> tuple[str, bool]:
    return "refused before", False


def failing(connection: sqlite3.Connection, number: int) -> tuple[str, bool]:
    connection.execute("INSERT INTO row (id) VALUES (?)", (number,))
    raise Failed


def failing_as_sql(connection: sqlite3.Connection, number: int) -> tuple[str, bool]:
    connection.execute("INSERT INTO row (id) VALUES (?)", (number,))
    connection.execute("INSERT INTO row (id) VALUES (?)", (number,))
    return "never", True


def ending_the_transaction(connection: sqlite3.Connection, number: int) -> tuple[str, bool]:
    """lang_conflict.html: ROLLBACK ends the transaction, and takes back what others did in it."""
    connection.execute("INSERT INTO row (id) VALUES (?)", (number,))
    connection.execute("INSERT OR ROLLBACK INTO row (id) VALUES (?)", (number,))
    return "never", True


def ending_the_transaction_in_silence(connection: sqlite3.Connection, number: int) -> tuple[str, bool]:
    with suppress(sqlite3.IntegrityError):
        ending_the_transaction(connection, number)
    return "never", True


def refused_by_the_commit(connection: sqlite3.Connection, number: int) -> tuple[str, bool]:
    """foreignkeys.html, section 4.2: a deferred constraint is looked at by COMMIT."""
    connection.execute("INSERT INTO row (id, parent) VALUES (?, 7)", (number,))
    return "never", True


UNITS: dict[Callable[[sqlite3.Connection, int], tuple[str, bool]], Outcome] = {
    kept: ("kept", True),
    refused: ("refused", False),
    refused_before_it_wrote: ("refused before", False),
    failing: ("Failed", False),
    failing_as_sql: ("StoreError", False),
    ending_the_transaction: ("StoreError", False),
    ending_the_transaction_in_silence: ("StoreError", False),
    refused_by_the_commit: ("StoreError", False),
}


async def opened(path: str) -> SqliteEngine:
    """A database with the tables."""
    engine = SqliteEngine(path)
    await engine.open()
    await engine.transact(lambda connection: ([connection.execute(table) for table in TABLES], True))
    return engine


@pytest.fixture(params=["memory", "file"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteEngine]:
    """An open database, with a table."""
    engine = await opened(":memory:" if request.param == "memory" else str(tmp_path / "shared.db"))
    yield engine
    await engine.close()


@pytest.fixture
async def heard(engine: SqliteEngine) -> list[str]:
    """What the writer is asked from now on."""
    statements: list[str] = []
    await engine.in_writer(lambda: engine.writer.set_trace_callback(statements.append))
    return statements


def commits(heard: list[str]) -> int:
    return heard.count("COMMIT")


async def rows(engine: SqliteEngine) -> set[int]:
    return await engine.in_reader(lambda connection: {row[0] for row in connection.execute("SELECT id FROM row")})


async def told(answer: Awaitable[str]) -> str:
    try:
        return await answer
    except (Failed, StoreError) as error:
        return type(error).__name__


def unit(
    engine: SqliteEngine, number: int, what: Callable[[sqlite3.Connection, int], tuple[str, bool]] = kept
) -> Awaitable[str]:
    return engine.transact(lambda connection: what(connection, number))


async def test_units_that_wait_at_the_same_time_share_a_commit(engine: SqliteEngine, heard: list[str]) -> None:
    assert await asyncio.gather(*(unit(engine, number) for number in range(10))) == ["kept"] * 10
    assert (heard.count("BEGIN IMMEDIATE"), commits(heard)) == (1, 1)
    assert not any("SAVEPOINT" in statement for statement in heard)
    assert await rows(engine) == set(range(10))


async def test_a_lone_unit_is_a_transaction_and_nothing_else(engine: SqliteEngine, heard: list[str]) -> None:
    await unit(engine, 1)
    assert heard == ["BEGIN IMMEDIATE", "INSERT INTO row (id) VALUES (1)", "COMMIT"]


async def test_no_more_than_the_limit_share_a_commit(engine: SqliteEngine, heard: list[str]) -> None:
    count = 2 * UNITS_PER_COMMIT_MAX + 1
    await asyncio.gather(*(unit(engine, number) for number in range(count)))
    assert commits(heard) == 3
    assert len(await rows(engine)) == count


async def test_each_unit_has_the_outcome_that_it_would_have_alone(engine: SqliteEngine) -> None:
    for first in range(0, len(UNITS) ** 3 * 3, 3):
        neighbours = tuple(itertools.product(UNITS, repeat=3))[first // 3]
        answers = await asyncio.gather(
            *(told(unit(engine, first + place, what)) for place, what in enumerate(neighbours))
        )
        there = await rows(engine)
        outcomes = [(answer, first + place in there) for place, answer in enumerate(answers)]
        assert outcomes == [UNITS[what] for what in neighbours], [what.__name__ for what in neighbours]


async def test_what_failed_because_of_a_neighbour_who_did_not_commit_is_done(engine: SqliteEngine) -> None:
    answers = (told(unit(engine, 1, what)) for what in (refused_by_the_commit, kept))
    assert list(await asyncio.gather(*answers)) == ["StoreError", "kept"]
    assert await rows(engine) == {1}


async def test_the_writer_is_woken_when_everybody_who_is_ready_has_asked(
    engine: SqliteEngine, heard: list[str]
) -> None:
    """Else it takes one, and then fights with the loop for Python's lock."""
    threads = engine._writer_thread
    assert threads is not None
    first = asyncio.ensure_future(unit(engine, 1))
    ready: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    async def last_in_this_turn() -> None:
        ready.set_result(await threads.run(heard.copy))

    await asyncio.gather(first, last_in_this_turn())
    assert await ready == []


async def test_what_is_refused_before_it_wrote_costs_its_neighbours_nothing(
    engine: SqliteEngine, heard: list[str]
) -> None:
    whats = [refused_before_it_wrote, kept] * 5
    await asyncio.gather(*(unit(engine, number, what) for number, what in enumerate(whats)))
    assert (commits(heard), "ROLLBACK" in heard) == (1, False)


async def test_what_is_taken_back_costs_one_more_transaction_and_not_one_for_each(
    engine: SqliteEngine, heard: list[str]
) -> None:
    whats = [refused, kept, failing, kept]
    await asyncio.gather(*(told(unit(engine, number, what)) for number, what in enumerate(whats)))
    assert (heard.count("BEGIN IMMEDIATE"), commits(heard)) == (2, 1)


async def test_a_unit_sees_what_the_units_before_it_did(engine: SqliteEngine) -> None:
    def counted(connection: sqlite3.Connection) -> tuple[int, bool]:
        (number,) = connection.execute("SELECT count(*) FROM row").fetchone()
        connection.execute("INSERT INTO row (id) VALUES (?)", (number,))
        return number, True

    assert await asyncio.gather(*(engine.transact(counted) for _ in range(20))) == list(range(20))


class Held:
    """A unit of work that has begun and goes on when it is told to."""

    def __init__(self, engine: SqliteEngine, number: int) -> None:
        self._begun, self._go_on = threading.Event(), threading.Event()

        def work(connection: sqlite3.Connection) -> tuple[str, bool]:
            self._begun.set()
            self._go_on.wait()
            return kept(connection, number)

        self.task = asyncio.create_task(engine.transact(work))

    async def begun(self) -> None:
        await asyncio.to_thread(self._begun.wait)

    def go_on(self) -> None:
        self._go_on.set()


async def asked(task: asyncio.Future[Any]) -> None:
    """Return when a new task waits."""
    await asyncio.sleep(0)
    assert not task.done()


async def test_what_is_cancelled_before_the_writer_has_begun_with_it_does_not_run(engine: SqliteEngine) -> None:
    held = Held(engine, 1)
    await held.begun()
    waiting = [asyncio.ensure_future(unit(engine, number)) for number in (2, 3, 4)]
    for task in waiting:
        await asked(task)
    waiting[1].cancel()
    held.go_on()
    with pytest.raises(asyncio.CancelledError):
        await waiting[1]
    assert [await task for task in (waiting[0], waiting[2], held.task)] == ["kept"] * 3
    assert await rows(engine) == {1, 2, 4}


async def test_what_is_cancelled_later_is_finished_and_so_are_its_neighbours(engine: SqliteEngine) -> None:
    held = Held(engine, 1)
    neighbour = asyncio.ensure_future(unit(engine, 2))
    await held.begun()
    held.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held.task
    held.go_on()
    assert await neighbour == "kept"
    assert await rows(engine) == {1, 2}


async def test_all_of_them_may_be_cancelled(engine: SqliteEngine) -> None:
    held = Held(engine, 1)
    await held.begun()
    waiting = [asyncio.ensure_future(unit(engine, number)) for number in (2, 3)]
    for task in waiting:
        await asked(task)
        task.cancel()
    held.go_on()
    await held.task
    assert await unit(engine, 4) == "kept"
    assert await rows(engine) == {1, 4}


async def test_closing_waits_for_what_is_under_way_and_what_comes_later_is_told_so(tmp_path: Path) -> None:
    engine = await opened(str(tmp_path / "closed.db"))
    held = Held(engine, 1)
    before = asyncio.ensure_future(unit(engine, 2))
    await held.begun()
    closing = asyncio.create_task(engine.close())
    await asked(closing)
    after = asyncio.ensure_future(unit(engine, 3))
    held.go_on()
    assert [await held.task, await before] == ["kept", "kept"]
    await closing
    with pytest.raises(StoreUnavailable, match="is closed"):
        await after
    with pytest.raises(StoreUnavailable, match="is closed"):
        await unit(engine, 4)
    await engine.open()
    assert await rows(engine) == {1, 2}
    await engine.close()


async def test_nobody_may_begin_and_everybody_is_told_and_later_all_goes_on(tmp_path: Path) -> None:
    engine = await opened(str(tmp_path / "locked.db"))
    await engine.in_writer(lambda: engine.writer.execute("PRAGMA busy_timeout = 0"))
    heard: list[str] = []
    await engine.in_writer(lambda: engine.writer.set_trace_callback(heard.append))
    stranger = sqlite3.connect(engine.path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    answers = await asyncio.gather(*(unit(engine, number) for number in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreBusy] * 3
    assert heard == ["BEGIN IMMEDIATE"]  # the wait is not repeated for each
    stranger.execute("ROLLBACK")
    assert await asyncio.gather(*(unit(engine, number) for number in range(3))) == ["kept"] * 3
    stranger.close()
    await engine.close()


@pytest.mark.parametrize("what", [refused, failing, ending_the_transaction, refused_by_the_commit])
async def test_the_lock_of_the_file_is_free_again_whatever_happened(
    tmp_path: Path, what: Callable[[sqlite3.Connection, int], tuple[str, bool]]
) -> None:
    one = await opened(str(tmp_path / "two.db"))
    other = SqliteEngine(one.path)
    await other.open()
    await asyncio.gather(*(told(unit(one, number, how)) for number, how in enumerate([kept, what, kept])))
    assert await unit(other, 10) == "kept"
    assert await rows(other) == {0, 2, 10}
    await one.close()
    await other.close()


who: ContextVar[str] = ContextVar("who", default="nobody")


async def test_no_unit_sees_the_context_of_a_caller(engine: SqliteEngine) -> None:
    async def ask(name: str) -> str:
        who.set(name)
        return await engine.transact(lambda connection: (who.get(), True))

    assert list(await asyncio.gather(ask("a"), ask("b"))) == ["nobody", "nobody"]


async def test_a_reader_sees_no_unit_that_was_not_committed(engine: SqliteEngine) -> None:
    """In memory there is one connection for both."""
    answers = asyncio.gather(*(told(unit(engine, number, refused_by_the_commit)) for number in range(5)))
    seen = [await rows(engine) for _ in range(10)]
    assert await answers == ["StoreError"] * 5
    assert seen == [set()] * 10
