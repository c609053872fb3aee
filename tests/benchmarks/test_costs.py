"""What an operation asks and spends is counted as it happens, and told per operation."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from benchmarks.benchmark import FLOOR, OURS
from benchmarks.counting import counted_postgres, counted_sqlite
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.postgres import PostgresPlace
from benchmarks.processor_time import of_family, of_processes
from benchmarks.progress import Lines
from benchmarks.report import report
from benchmarks.results import Result
from benchmarks.run import run_all
from benchmarks.series import Costs, costs_of
from benchmarks.spending import Spent, metered
from benchmarks.table import cost_rows
from tests.benchmarks.fakes import Fake


@pytest.fixture(scope="module")
def place() -> Iterator[PostgresPlace]:
    opened = PostgresPlace()
    opened.open()
    yield opened
    opened.close()


def spending(spent: Spent, *, operations: int = 10, seconds: float = 1.0) -> Measured:
    return Measured(operations=operations, seconds=seconds, cpu_seconds=0.5, rows={"rows": operations}, spent=spent)


def test_statements_of_sqlite_are_counted_while_a_stopwatch_runs(tmp_path: Path) -> None:
    with counted_sqlite() as tally, metered(tally):
        connection = sqlite3.connect(tmp_path / "counted.db", isolation_level=None)
        connection.execute("CREATE TABLE t (n INTEGER)")
        with Stopwatch() as watch:
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
            connection.execute("COMMIT")
        connection.execute("SELECT 1")
        connection.close()

    assert watch.spent == Spent(statements=4)


def test_statements_and_round_trips_of_postgresql_are_counted(place: PostgresPlace) -> None:
    url = place.create()

    async def ask() -> Stopwatch:
        connection = await asyncpg.connect(url)
        prepared = await connection.prepare("SELECT 1")
        with Stopwatch() as watch:
            await connection.execute("BEGIN; SET LOCAL enable_seqscan = off;")
            await connection.fetchval("SELECT 1")
            await prepared.fetch()
            await connection.execute("COMMIT")
        await connection.close()
        return watch

    with counted_postgres() as tally, metered(tally):
        watch = asyncio.run(ask())
    place.remove(url)

    assert watch.spent == Spent(statements=5, round_trips=4)
    # Nobody counts any more.
    assert asyncpg.Connection.execute.__qualname__ == "Connection.execute"


def test_what_a_server_writes_and_works_is_read_before_and_after(place: PostgresPlace) -> None:
    url = place.create()

    async def fill() -> Stopwatch:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE t (body text)")
        with Stopwatch() as watch:
            await connection.execute("INSERT INTO t SELECT repeat('x', 100) FROM generate_series(1, 20000)")
        await connection.close()
        return watch

    with place.metered(counting=False):
        watch = asyncio.run(fill())
    place.remove(url)

    assert watch.spent.statements is None
    assert watch.spent.wal_bytes is not None
    assert 20_000 * 100 < watch.spent.wal_bytes < 20_000 * 1_000
    assert watch.spent.server_cpu_seconds is not None
    assert watch.spent.server_cpu_seconds > 0


def test_costs_are_per_operation_and_of_the_rounds_that_were_timed() -> None:
    counted = {OURS: spending(Spent(statements=30, round_trips=20)), FLOOR: spending(Spent())}
    rounds = [
        {OURS: spending(Spent(wal_bytes=wal, server_cpu_seconds=cpu)), FLOOR: spending(Spent())}
        for wal, cpu in ((1_000, 0.0), (5_000, 0.0), (2_000, 0.003))
    ]

    ours = Costs(statements=3.0, round_trips=2.0, wal_bytes=200.0, client_cpu_us=50_000.0, server_cpu_us=100.0)
    assert costs_of(counted, rounds) == {OURS: ours}


def test_the_report_has_a_row_for_each_side_whose_costs_are_known() -> None:
    class Costly(Fake):
        def _side(self, name: str, seconds: float) -> Measured:
            return spending(Spent(statements=30, round_trips=20, wal_bytes=274_700), operations=100, seconds=seconds)

    records = run_all([Costly()], 2, Lines(), quick=True)

    assert isinstance(fake := records["fake"], Result)
    assert fake.costs[OURS].wal_bytes == 2_747
    assert ("fake", OURS, "0.3", "0.2", "2,747", "5,000", "") in list(cost_rows(records))
    assert "| fake | ours | 0.3 | 0.2 | 2,747 | 5,000 |  |" in report(records)


def test_processor_time_of_a_process_is_known() -> None:
    assert of_processes([os.getpid()]) > 0
    assert of_family(os.getpid())[os.getpid()] > 0
    assert of_family(2**22 + 1) == {}
