"""How long to wait after a failure."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.runtime.settings import Settings
from duly.states.retry import DELIVERY_RETRY, EFFECT_RETRY, LOOK_UP_RETRY, RetrySchedule, exponential, schedule_of

waits = st.timedeltas(timedelta(), timedelta(days=30))
schedules = st.lists(waits, max_size=10).map(lambda found: RetrySchedule(tuple(found)))
fractions = st.floats(0, 1)
MILLISECOND = timedelta(milliseconds=1)


@given(schedules, st.integers(1, 12), fractions)
def test_there_is_a_wait_while_attempts_are_left_and_none_after(
    retry: RetrySchedule, attempt: int, fraction: float
) -> None:
    assert (retry.wait_after(attempt, fraction) is None) == (attempt >= retry.attempts_max)


@given(schedules.filter(lambda retry: retry.waits), st.data(), fractions)
def test_a_wait_lies_between_zero_and_the_schedules_entry_in_whole_milliseconds(
    retry: RetrySchedule, data: st.DataObject, fraction: float
) -> None:
    attempt = data.draw(st.integers(1, len(retry.waits)))
    wait = retry.wait_after(attempt, fraction)
    assert wait is not None
    assert timedelta() <= wait <= retry.waits[attempt - 1]
    assert wait % MILLISECOND == timedelta()


@given(waits, fractions, fractions)
def test_a_larger_fraction_never_waits_shorter(longest: timedelta, one: float, other: float) -> None:
    retry = RetrySchedule((longest,))
    shorter, longer = (retry.wait_after(1, fraction) for fraction in sorted((one, other)))
    assert shorter is not None
    assert longer is not None
    assert shorter <= longer


@given(waits)
def test_the_whole_fraction_waits_the_whole_entry_and_none_waits_nothing(longest: timedelta) -> None:
    retry = RetrySchedule((longest,))
    assert retry.wait_after(1, 1.0) == longest - longest % MILLISECOND
    assert retry.wait_after(1, 0.0) == timedelta()


@given(schedules)
def test_one_attempt_follows_the_last_wait(retry: RetrySchedule) -> None:
    assert retry.attempts_max == len(retry.waits) + 1
    assert retry.longest == sum(retry.waits, timedelta())


@given(
    st.timedeltas(MILLISECOND, timedelta(minutes=1)), st.integers(1, 20), st.timedeltas(MILLISECOND, timedelta(days=1))
)
def test_an_exponential_schedule_doubles_up_to_its_cap(first: timedelta, attempts_max: int, cap: timedelta) -> None:
    retry = exponential(first, attempts_max=attempts_max, cap=cap)
    assert retry.attempts_max == attempts_max
    assert all(wait <= cap for wait in retry.waits)
    assert all(later == min(2 * earlier, cap) for earlier, later in pairwise(retry.waits))
    assert retry.waits[:1] == ((min(first, cap),) if attempts_max > 1 else ())


def test_a_schedule_is_written_in_seconds() -> None:
    assert schedule_of([0.5, 60]).waits == (timedelta(milliseconds=500), timedelta(minutes=1))
    assert schedule_of([]).attempts_max == 1


@pytest.mark.parametrize("retry", [DELIVERY_RETRY, EFFECT_RETRY], ids=["delivery", "effect"])
def test_the_default_schedules_wait_longer_from_time_to_time_and_end_before_ids_are_forgotten(
    retry: RetrySchedule,
) -> None:
    assert list(retry.waits) == sorted(retry.waits)
    assert retry.attempts_max > 5
    assert retry.longest < Settings().inbox_keep


def test_effects_are_tried_again_as_standard_webhooks_recommends() -> None:
    # https://www.standardwebhooks.com: now, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h later.
    assert [wait.total_seconds() for wait in EFFECT_RETRY.waits] == [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400]


def test_a_look_up_that_could_not_be_answered_is_made_again_within_a_day() -> None:
    assert [wait.total_seconds() for wait in LOOK_UP_RETRY.waits] == [30, 120, 600, 3_600, 21_600]


def test_a_failing_subscriber_is_tried_again_for_some_forty_minutes() -> None:
    assert DELIVERY_RETRY.attempts_max == 18
    assert DELIVERY_RETRY.waits[:3] == schedule_of([0.2, 0.4, 0.8]).waits
    assert DELIVERY_RETRY.waits[-1] == timedelta(minutes=5)
    assert timedelta(minutes=35) < DELIVERY_RETRY.longest < timedelta(minutes=45)
