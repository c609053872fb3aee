"""Figures, medians and spreads are computed as the report says."""

from __future__ import annotations

import pytest

from benchmarks.benchmark import FLOOR, OURS, Comparison
from benchmarks.figures import latency, milliseconds_each, quantile_of, rate, rate_of_every
from benchmarks.measured import Measured
from benchmarks.series import compared, median_cpu_us, spread_of
from benchmarks.targets import at_least, at_most, within
from tests.benchmarks.fakes import measured

# Our seconds and the floor's for 10 operations in each round.
ROUNDS = [
    {OURS: measured(seconds=ours), FLOOR: measured(seconds=floor)}
    for ours, floor in ((2.0, 1.0), (4.0, 1.0), (1.0, 0.8), (10.0, 2.0), (10.0, 6.0))
]


def test_the_ratio_is_the_median_of_each_rounds_own_ratio() -> None:
    seen = compared(Comparison(figure=rate("x/s"), target=at_least(0.4)), ROUNDS)

    # Per round: 0.5, 0.25, 0.8, 0.2, 0.6. The medians of the two sides would give 0.25.
    assert seen.ratio == pytest.approx(0.5)
    assert seen.ours == pytest.approx(2.5)
    assert seen.floor == pytest.approx(10.0)
    assert seen.unit == "x/s"
    assert seen.met
    assert seen.score == pytest.approx(1.25)


def test_the_spread_has_both_ends_and_the_quartiles() -> None:
    seen = compared(Comparison(figure=rate("x/s"), target=at_least(0.4)), ROUNDS).spread

    assert [seen.min, seen.q1, seen.q3, seen.max] == pytest.approx([0.2, 0.25, 0.6, 0.8])
    assert seen.iqr == pytest.approx(0.35)


def test_rounds_that_do_not_agree_about_the_target_are_not_settled() -> None:
    assert not compared(Comparison(figure=rate("x/s"), target=at_least(0.4)), ROUNDS).settled
    assert compared(Comparison(figure=rate("x/s"), target=at_least(0.2)), ROUNDS).settled
    assert compared(Comparison(figure=rate("x/s"), target=at_least(0.9)), ROUNDS).settled


def test_one_round_has_no_spread() -> None:
    assert spread_of([0.3]).iqr == 0.0


def test_a_time_is_better_the_smaller_it_is() -> None:
    seen = compared(Comparison(figure=milliseconds_each(), target=at_most(3)), ROUNDS)

    assert seen.ours == pytest.approx(400)
    assert seen.ratio == pytest.approx(2.0)
    assert seen.met
    assert not compared(Comparison(figure=milliseconds_each(), target=at_most(1.5)), ROUNDS).met


def test_a_limit_looks_at_our_own_figure_alone() -> None:
    assert compared(Comparison(figure=milliseconds_each(), target=within(400, "ms")), ROUNDS).met
    assert not compared(Comparison(figure=milliseconds_each(), target=within(399, "ms")), ROUNDS).met


def test_latencies_are_read_by_nearest_rank_in_milliseconds() -> None:
    waits = tuple(n / 1000 for n in range(100, 0, -1))
    seen = Measured(operations=100, seconds=1, cpu_seconds=1, latencies=waits)

    assert latency(0.5).read(seen) == pytest.approx(51)
    assert latency(0.99).read(seen) == pytest.approx(100)
    with pytest.raises(ValueError, match="no samples"):
        quantile_of((), 0.5)


def test_the_rate_of_one_kind_is_that_of_its_places_in_each_cycle() -> None:
    # Kinds a, a, b, b, b in turn, twice; the second cycle broke off.
    seen = Measured(operations=8, seconds=1, cpu_seconds=1, latencies=(0.1, 0.3, 1, 2, 3, 0.2, 0.2, 6))

    assert rate_of_every("pages/s", 5, range(2)).read(seen) == pytest.approx(4 / 0.8)
    assert rate_of_every("pages/s", 5, range(2, 5)).read(seen) == pytest.approx(4 / 12)
    assert rate_of_every("rows/s", 5, range(2), each=50).read(seen) == pytest.approx(50 * 4 / 0.8)


def test_cpu_is_told_per_operation() -> None:
    assert measured(operations=10, seconds=1.0).cpu_us == pytest.approx(50_000)
    assert median_cpu_us(ROUNDS, OURS) == pytest.approx(200_000)
