"""What becomes of an outbox row whose handler failed."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from duly.states.outbox_row import AfterFailure, Park, Wait, after_failure
from duly.states.retry import RetrySchedule, schedule_of

waits = st.timedeltas(timedelta(), timedelta(days=2))
schedules = st.lists(waits, max_size=5).map(lambda found: RetrySchedule(tuple(found)))
fractions = st.floats(0, 1)
counts = st.integers(0, 8)


def test_a_failed_row_waits_or_is_parked_and_nothing_else() -> None:
    assert set(get_args(AfterFailure)) == {Wait, Park}


@given(counts, st.booleans(), schedules, fractions)
def test_rule_2_every_failure_counts_one_attempt(
    before: int, permanent: bool, retry: RetrySchedule, fraction: float
) -> None:
    assert after_failure(before, permanent=permanent, retry=retry, fraction=fraction).attempts == before + 1


@given(counts, schedules, fractions)
def test_rule_2_the_lane_waits_as_long_as_the_schedule_says(before: int, retry: RetrySchedule, fraction: float) -> None:
    decision = after_failure(before, permanent=False, retry=retry, fraction=fraction)
    wait = retry.wait_after(before + 1, fraction)
    assert decision == (Park(before + 1) if wait is None else Wait(before + 1, wait))


@given(schedules, fractions)
def test_rule_3_the_head_is_parked_after_the_last_attempt_and_not_before(retry: RetrySchedule, fraction: float) -> None:
    decisions = [
        after_failure(before, permanent=False, retry=retry, fraction=fraction) for before in range(retry.attempts_max)
    ]
    assert [type(decision) for decision in decisions] == [Wait] * len(retry.waits) + [Park]


@given(counts, schedules, fractions)
def test_rule_4_what_repeating_cannot_cure_is_parked_at_once(
    before: int, retry: RetrySchedule, fraction: float
) -> None:
    assert after_failure(before, permanent=True, retry=retry, fraction=fraction) == Park(before + 1)


def test_a_row_with_more_failures_than_the_schedule_has_entries_is_parked() -> None:
    # The schedule became shorter between two releases.
    assert after_failure(7, permanent=False, retry=schedule_of([1, 2]), fraction=0.5) == Park(8)
