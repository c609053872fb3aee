"""Every benchmark runs, however briefly, and does at least the work of its floor. Nothing here looks at the clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.benchmark import OURS
from benchmarks.catalog import benchmarks
from benchmarks.flows.scale import Scale, ScaleSizes
from benchmarks.places.filling import execute_all
from benchmarks.places.postgres import PostgresPlace
from benchmarks.places.sqlite import SqlitePlace
from benchmarks.rounds import run_rounds
from benchmarks.scaling import curve_of
from benchmarks.sizes import Sizes

SMALL = Sizes(quick=True, operations=20, finished=4_000)
KNOWN = [(benchmark.key, benchmark.store) for benchmark in benchmarks(SMALL, SqlitePlace(), PostgresPlace())]


@pytest.fixture
def sqlite() -> Iterator[SqlitePlace]:
    place = SqlitePlace()
    yield place
    place.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresPlace]:
    place = PostgresPlace()
    yield place
    place.close()


@pytest.mark.parametrize("key", [key for key, store in KNOWN if store != "postgres"])
def test_it_runs_without_a_server(key: str, sqlite: SqlitePlace) -> None:
    run_small(key, sqlite, PostgresPlace())


@pytest.mark.parametrize("key", [key for key, store in KNOWN if store == "postgres"])
def test_it_runs_on_postgresql(key: str, sqlite: SqlitePlace, postgres: PostgresPlace) -> None:
    postgres.open()
    run_small(key, sqlite, postgres)


def test_what_scales_runs_on_postgresql(postgres: PostgresPlace) -> None:
    sizes = ScaleSizes(orders=200, tenants=20, commands=10, messages=40, seconds=0.1, processes=(1, 2))
    scale = Scale(key="scale_pg", place=postgres, fill=execute_all, sizes=sizes)
    scale.open()

    curves = {axis.name: curve_of(scale, axis, 1, lambda *_: None) for axis in scale.axes()}

    assert {name: [point.x for point in curve.points] for name, curve in curves.items()} == {
        "ordering": [1, 2],
        "delivering": [1, 2],
        "aggregates": [1, 2, 20, 200],
        "backlog": [1, 2, 20, 200],
        "log": [1, 4, 40, 400],
        "tenants": [1, 2, 20],
        "subscribers": [1, 10, 100],
    }
    for curve in curves.values():
        assert all(point.value > 0 and point.wal_bytes for point in curve.points)


def run_small(key: str, sqlite: SqlitePlace, postgres: PostgresPlace) -> None:
    (benchmark,) = (one for one in benchmarks(SMALL, sqlite, postgres) if one.key == key)

    (done,) = run_rounds(benchmark, 1, lambda *_: None)

    assert sum(done[OURS].rows.values()) >= done[OURS].operations
    assert all(comparison.figure.read(done[OURS]) >= 0 for comparison in benchmark.comparisons)
