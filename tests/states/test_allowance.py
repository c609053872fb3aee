"""How many calls may be made now: against a reference that counts in fractions."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.states.allowance import BURST_MAX, PARTS_PER_TOKEN, Allowance, Rate, Reserved, Taken, reserve, take

SECOND: Final = timedelta(seconds=1)
START_MS: Final = 1_700_000_000_000
PERIODS_OF_A_DAY: Final = [
    timedelta(milliseconds=ms) for ms in (1, 20, 100, 1_000, 30_000, 60_000, 3_600_000, 86_400_000)
]

bursts = st.none() | st.integers(1, 50)
counts = st.integers(1, 500)
rates = st.builds(Rate, calls=counts, per=st.timedeltas(timedelta(milliseconds=1), timedelta(days=40)), burst=bursts)
exact_rates = st.builds(Rate, calls=counts, per=st.sampled_from(PERIODS_OF_A_DAY), burst=bursts)
gaps_ms = st.one_of(st.integers(0, 50), st.integers(0, 5_000), st.integers(-5_000, 10_000_000))
looks = st.lists(st.tuples(gaps_ms, st.integers(-2, 60)), max_size=40)


def taken(rate: Rate, looked: list[tuple[int, int]]) -> list[tuple[int, int, Taken]]:
    """What comes of looks, each so long after the one before: when it was, what was wanted, what came."""
    allowance, now_ms, found = None, START_MS, []
    for gap_ms, wanted in looked:
        now_ms += gap_ms
        came = take(allowance, rate, now_ms, wanted)
        allowance = came.allowance
        found.append((now_ms, wanted, came))
    return found


class Bucket:
    """The rules, word by word, in fractions of a token."""

    def __init__(self, rate: Rate, now_ms: int) -> None:
        self.rate, self.tokens, self.at_ms = rate, Fraction(rate.burst or rate.calls), now_ms

    def take(self, now_ms: int, wanted: int) -> int:
        elapsed_ms = max(now_ms - self.at_ms, 0)
        self.at_ms += elapsed_ms
        earned = Fraction(elapsed_ms * self.rate.calls, self.rate.per // timedelta(milliseconds=1))
        self.tokens = min(Fraction(self.rate.burst or self.rate.calls), self.tokens + earned)
        granted = min(max(wanted, 0), int(self.tokens))
        self.tokens -= granted
        return granted


@given(exact_rates, looks)
def test_with_a_period_that_divides_a_day_it_grants_what_fractions_would(
    rate: Rate, looked: list[tuple[int, int]]
) -> None:
    bucket = Bucket(rate, START_MS + looked[0][0] if looked else 0)
    for now_ms, wanted, came in taken(rate, looked):
        assert came.granted == bucket.take(now_ms, wanted)
        assert came.allowance == Allowance(int(bucket.tokens * PARTS_PER_TOKEN), bucket.at_ms)


@given(rates, looks)
def test_rule_3_in_no_stretch_of_time_are_there_more_calls_than_burst_and_rate_allow(
    rate: Rate, looked: list[tuple[int, int]]
) -> None:
    latest_ms, calls = START_MS - 10_000, []
    for now_ms, _, came in taken(rate, looked):
        latest_ms = max(latest_ms, now_ms)
        calls.append((latest_ms, came.granted))
    for number, (begin_ms, _) in enumerate(calls):
        for until, (end_ms, _) in enumerate(calls[number:], start=number + 1):
            made = sum(granted for _, granted in calls[number:until])
            earned = Fraction((end_ms - begin_ms) * rate.calls, rate.per // timedelta(milliseconds=1))
            assert made <= rate.capacity + earned


@given(rates, looks)
def test_the_wait_is_the_first_moment_at_which_a_token_is_there(rate: Rate, looked: list[tuple[int, int]]) -> None:
    for now_ms, _, came in taken(rate, looked):
        assert came.wait_ms >= 0
        assert take(came.allowance, rate, now_ms + came.wait_ms, 1).granted == 1
        if came.wait_ms:
            assert take(came.allowance, rate, now_ms + came.wait_ms - 1, 1).granted == 0


@given(rates, looks)
def test_no_more_is_granted_than_wanted_and_the_bucket_is_never_below_empty_or_above_full(
    rate: Rate, looked: list[tuple[int, int]]
) -> None:
    for _, wanted, came in taken(rate, looked):
        assert 0 <= came.granted <= max(wanted, 0)
        assert 0 <= came.allowance.tokens <= rate.capacity * PARTS_PER_TOKEN
        assert came.granted == max(wanted, 0) or came.allowance.tokens < PARTS_PER_TOKEN


@given(rates, looks, st.integers(1, 10_000))
def test_rule_4_a_clock_that_goes_back_and_comes_again_gives_nothing_extra(
    rate: Rate, looked: list[tuple[int, int]], back_ms: int
) -> None:
    for now_ms, _, came in taken(rate, looked):
        before = take(came.allowance, rate, now_ms, 10**9)
        back = take(before.allowance, rate, now_ms - back_ms, 10**9)
        assert back.granted == 0
        assert take(back.allowance, rate, now_ms, 10**9).granted == 0


def test_rule_1_a_bucket_begins_full_and_does_not_fill_above_the_burst() -> None:
    rate = Rate(10, SECOND, burst=3)
    first = take(None, rate, START_MS, 5)
    assert first == Taken(granted=3, allowance=Allowance(0, START_MS), wait_ms=100)
    rested = take(first.allowance, rate, START_MS + 3_600_000, 2)
    assert rested == Taken(granted=2, allowance=Allowance(PARTS_PER_TOKEN, START_MS + 3_600_000), wait_ms=0)


def test_without_a_burst_the_calls_of_a_period_may_be_made_at_once() -> None:
    assert take(None, Rate(7, SECOND), START_MS, 100).granted == 7


def test_rule_2_tokens_come_part_by_part() -> None:
    rate = Rate(1, SECOND)
    allowance = take(None, rate, START_MS, 1).allowance
    for elapsed_ms in range(1, 1_000):
        came = take(allowance, rate, START_MS + elapsed_ms, 1)
        assert (came.granted, came.wait_ms) == (0, 1_000 - elapsed_ms)
        allowance = came.allowance
    assert take(allowance, rate, START_MS + 1_000, 1).granted == 1


def test_nothing_drifts_over_a_day_of_looks() -> None:
    rate = Rate(7, timedelta(minutes=1), burst=2)
    allowance, granted = Allowance(0, START_MS), 0
    for now_ms in range(START_MS + 37, START_MS + 86_400_000 + 1, 1_000):
        came = take(allowance, rate, now_ms, 1)
        allowance, granted = came.allowance, granted + came.granted
    assert granted == 7 * 60 * 24 - 1  # the last look is a second before the day's end


def test_one_call_in_forty_days_comes_in_time_however_often_one_looks() -> None:
    rate = Rate(1, timedelta(days=40))
    allowance = Allowance(PARTS_PER_TOKEN - 100 * 25, START_MS)
    for elapsed_ms in range(1, 101):
        allowance = take(allowance, rate, START_MS + elapsed_ms, 0).allowance
    assert allowance.tokens == PARTS_PER_TOKEN


def test_rule_4_when_the_clock_went_back_the_wait_reaches_beyond_the_latest_time() -> None:
    rate = Rate(1, SECOND)
    came = take(Allowance(0, START_MS), rate, START_MS - 5_000, 1)
    assert came == Taken(granted=0, allowance=Allowance(0, START_MS), wait_ms=6_000)


def test_there_is_no_wait_when_exactly_one_token_is_left_even_if_the_clock_went_back() -> None:
    assert take(Allowance(PARTS_PER_TOKEN, START_MS), Rate(1, SECOND), START_MS - 5_000, 0).wait_ms == 0


def test_a_token_that_lacks_its_last_part_is_there_a_millisecond_later() -> None:
    came = take(Allowance(PARTS_PER_TOKEN - 1, START_MS), Rate(1, SECOND), START_MS, 1)
    assert (came.granted, came.wait_ms) == (0, 1)


def test_rule_6_what_a_bucket_holds_survives_a_change_of_its_rate() -> None:
    left = take(None, Rate(100, timedelta(minutes=1)), START_MS, 96).allowance
    assert take(left, Rate(5, SECOND, burst=50), START_MS, 50).granted == 4
    assert take(left, Rate(5, SECOND, burst=3), START_MS, 50).granted == 3


def test_a_full_bucket_fits_into_64_bits() -> None:
    full = take(None, Rate(1, SECOND, burst=BURST_MAX), START_MS, 0).allowance
    assert full.tokens == BURST_MAX * PARTS_PER_TOKEN < 2**63


@pytest.mark.parametrize(
    ("calls", "per", "burst", "begins"),
    [
        (0, SECOND, 1, "A rate of 0 per 0:00:01, at most 1 at once, cannot be kept."),
        (1, SECOND, 0, "A rate of 1 per 0:00:01, at most 0 at once, cannot be kept."),
        (1, timedelta(microseconds=999), None, "A rate of 1 per 0:00:00.000999, at most 1 at once, cannot be kept."),
        (1, SECOND, 1_000_001, "A rate of 1 per 0:00:01, at most 1000001 at once, cannot be kept."),
        (1_000_001, SECOND, None, "A rate of 1000001 per 0:00:01, at most 1000001 at once, cannot be kept."),
    ],
)
def test_a_rate_that_cannot_be_kept_is_refused_with_its_cure(
    calls: int, per: timedelta, burst: int | None, begins: str
) -> None:
    cure = " Let calls be 1 or more, burst (without one: calls) 1 to 1,000,000, per a millisecond or more."
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        Rate(calls, per, burst)
    assert str(refused.value) == begins + cure


def test_the_smallest_and_the_largest_rate_that_can_be_kept_are_taken() -> None:
    assert take(None, Rate(1, timedelta(milliseconds=1), 1), START_MS, 2).granted == 1
    assert take(None, Rate(2_000_000, SECOND, BURST_MAX), START_MS, 2 * BURST_MAX).granted == BURST_MAX


# Reserving.


def test_rule_5_what_is_reserved_at_one_moment_comes_one_after_the_other() -> None:
    rate, allowance, waits_ms = Rate(3, SECOND, burst=2), None, []
    for _ in range(6):
        reserved = reserve(allowance, rate, START_MS)
        allowance = reserved.allowance
        waits_ms.append(reserved.wait_ms)
    assert waits_ms == [0, 0, 334, 667, 1_000, 1_334]
    assert allowance == Allowance(-4 * PARTS_PER_TOKEN, START_MS)


def test_rule_5_nothing_is_granted_while_reservations_are_owed() -> None:
    rate = Rate(1, SECOND)
    owed = Allowance(-2 * PARTS_PER_TOKEN, START_MS)
    assert take(owed, rate, START_MS, 5) == Taken(granted=0, allowance=owed, wait_ms=3_000)
    assert take(owed, rate, START_MS + 3_000, 5).granted == 1


def test_a_reservation_waits_beyond_the_latest_time_when_the_clock_went_back() -> None:
    came = reserve(Allowance(0, START_MS), Rate(1, SECOND), START_MS - 5_000)
    assert came == Reserved(allowance=Allowance(-PARTS_PER_TOKEN, START_MS), wait_ms=6_000)
    last = reserve(Allowance(PARTS_PER_TOKEN, START_MS), Rate(1, SECOND), START_MS - 5_000)
    assert last == Reserved(allowance=Allowance(0, START_MS), wait_ms=0)
    nearly = reserve(Allowance(PARTS_PER_TOKEN - 1, START_MS), Rate(1, SECOND), START_MS)
    assert nearly == Reserved(allowance=Allowance(-1, START_MS), wait_ms=1)


@given(rates, st.lists(gaps_ms, max_size=30))
def test_rule_3_holds_for_what_is_reserved(rate: Rate, looked: list[int]) -> None:
    allowance, now_ms, latest_ms, due_ms = None, START_MS, START_MS - 10_000, list[int]()
    for gap_ms in looked:
        now_ms += gap_ms
        reserved = reserve(allowance, rate, now_ms)
        allowance = reserved.allowance
        latest_ms = max(latest_ms, now_ms)
        due_ms.append(max(latest_ms, now_ms + reserved.wait_ms))
    assert due_ms == sorted(due_ms)
    for number, begin_ms in enumerate(due_ms):
        for until, end_ms in enumerate(due_ms[number:], start=1):
            # A wait is in whole milliseconds: what came before may have waited up to one too long.
            earned = Fraction((end_ms - begin_ms + 1) * rate.calls, rate.per // timedelta(milliseconds=1))
            assert until <= rate.capacity + earned
