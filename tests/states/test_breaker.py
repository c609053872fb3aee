"""When a breaker opens: against a reference that remembers every call."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.states.breaker import BreakerTerms, Tally, observed, trips

Call: TypeAlias = tuple[timedelta, bool]

TERMS: Final = BreakerTerms()
MINUTE: Final = timedelta(minutes=1)
SECOND: Final = timedelta(seconds=1)

all_terms = st.builds(
    BreakerTerms,
    window=st.timedeltas(timedelta(milliseconds=20), timedelta(minutes=10)),
    slices=st.integers(1, 12),
    calls_min=st.integers(1, 12),
    failures_percent=st.integers(1, 100),
)
gaps = st.one_of(
    st.just(timedelta()), st.timedeltas(timedelta(), SECOND), st.timedeltas(-MINUTE, timedelta(minutes=12))
)
histories = st.lists(st.tuples(gaps, st.booleans()), max_size=60)


def tallied(calls: list[Call], terms: BreakerTerms = TERMS) -> Tally:
    tally = Tally()
    for at, failed in calls:
        tally = observed(tally, at, failed, terms)
    return tally


def calls_of(history: list[tuple[timedelta, bool]], beginning: timedelta) -> list[Call]:
    """Calls from the gaps between them; the clock may go back."""
    at = beginning
    calls = []
    for gap, failed in history:
        at = max(at + gap, timedelta())
        calls.append((at, failed))
    return calls


def should_trip(calls: list[Call], at: timedelta, terms: BreakerTerms) -> bool:
    """The rules, word by word, over every call that there ever was."""
    length = terms.window / terms.slices
    latest = timedelta()
    counted = []
    for ended, failed in calls:
        latest = max(latest, ended)
        counted.append((latest // length, failed))
    now = max(latest, at) // length
    window = [failed for number, failed in counted if now - number < terms.slices]
    return len(window) >= terms.calls_min and sum(window) / len(window) >= terms.failures_percent / 100


@given(histories, st.timedeltas(timedelta(), timedelta(days=9)), all_terms, st.timedeltas(timedelta(), MINUTE * 12))
def test_the_tally_trips_exactly_when_every_call_of_its_slices_says_so(
    history: list[tuple[timedelta, bool]], beginning: timedelta, terms: BreakerTerms, rest: timedelta
) -> None:
    terms = BreakerTerms(
        window=terms.window // terms.slices * terms.slices,  # so that the reference may divide
        slices=terms.slices,
        calls_min=terms.calls_min,
        failures_percent=terms.failures_percent,
    )
    calls = calls_of(history, beginning)
    tally = tallied(calls, terms)
    for at in (calls[-1][0] if calls else beginning, beginning + rest):
        assert trips(tally, at, terms) is should_trip(calls, at, terms)


@given(histories, all_terms)
def test_rule_1_the_tally_is_bounded_however_many_calls_there_are(
    history: list[tuple[timedelta, bool]], terms: BreakerTerms
) -> None:
    tally = Tally()
    for at, failed in calls_of(history, MINUTE):
        tally = observed(tally, at, failed, terms)
        assert len(tally.slices) <= terms.slices
        numbers = [each.number for each in tally.slices]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] - numbers[0] < terms.slices


def test_the_terms_are_those_of_the_specification() -> None:
    assert TERMS.window == timedelta(minutes=5)
    assert TERMS.calls_min == 10
    assert TERMS.failures_percent == 70
    assert TERMS.half_open_after == timedelta(seconds=30)
    assert TERMS.slice == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("failures", "successes", "opens"), [(10, 0, True), (9, 0, False), (7, 3, True), (6, 4, False)]
)
def test_rule_2_it_opens_at_ten_calls_of_which_seven_failed(failures: int, successes: int, opens: bool) -> None:
    calls = [(MINUTE, True)] * failures + [(MINUTE, False)] * successes
    assert trips(tallied(calls), MINUTE, TERMS) is opens


def test_rule_2_it_opens_at_seventy_percent_and_not_below() -> None:
    assert trips(tallied([(MINUTE, True)] * 700 + [(MINUTE, False)] * 300), MINUTE, TERMS)
    assert not trips(tallied([(MINUTE, True)] * 699 + [(MINUTE, False)] * 301), MINUTE, TERMS)


def test_nothing_trips_a_breaker_that_has_seen_no_call() -> None:
    assert not trips(Tally(), timedelta(), BreakerTerms(calls_min=1))


def test_rule_1_a_call_is_forgotten_when_the_window_has_passed_and_not_a_slice_earlier() -> None:
    tally = tallied([(MINUTE, True)] * 10)
    assert trips(tally, MINUTE + TERMS.window - TERMS.slice - SECOND, TERMS)
    assert trips(tally, MINUTE + TERMS.window - SECOND, TERMS)
    assert not trips(tally, MINUTE + TERMS.window, TERMS)


def test_rule_1_every_slice_of_the_window_counts_until_it_is_forgotten() -> None:
    minutes = (1, 1, 2, 2, 3, 3, 4, 4, 5, 5)
    tally = tallied([(MINUTE * minute, True) for minute in minutes])
    assert [(each.number, each.calls, each.failures) for each in tally.slices] == [
        (2, 2, 2),
        (4, 2, 2),
        (6, 2, 2),
        (8, 2, 2),
        (10, 2, 2),
    ]
    assert trips(tally, MINUTE * 5, TERMS)
    assert not trips(tally, MINUTE * 6, TERMS)
    later = observed(tally, MINUTE * 7, False, TERMS)
    assert [each.number for each in later.slices] == [6, 8, 10, 14]


def test_old_calls_neither_help_nor_harm_when_new_ones_come() -> None:
    well = [(SECOND * number, False) for number in range(60)]
    badly = [(MINUTE * 7, True)] * 10
    tally = tallied(well + badly)
    assert trips(tally, MINUTE * 7, TERMS)
    assert sum(each.calls for each in tally.slices) == 10


def test_rule_4_a_time_that_goes_back_counts_as_the_latest() -> None:
    tally = tallied([(MINUTE * 2, True), (MINUTE * 3, True)] + [(MINUTE * 4, True)] * 7 + [(MINUTE, True)])
    assert trips(tally, timedelta(), TERMS)
    assert [(each.number, each.calls, each.failures) for each in tally.slices] == [(4, 1, 1), (6, 1, 1), (8, 8, 8)]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: BreakerTerms(slices=0), "A breaker's window of 0:05:00 cannot have 0 slices: give it a longer one."),
        (
            lambda: BreakerTerms(window=timedelta(microseconds=9)),
            "A breaker's window of 0:00:00.000009 cannot have 10 slices: give it a longer one.",
        ),
        (
            lambda: BreakerTerms(calls_min=0),
            "A breaker needs a call to judge by: calls_min is 0, let it be 1 or more.",
        ),
        (
            lambda: BreakerTerms(failures_percent=0),
            "A breaker opens at a share of failures: failures_percent is 0, let it be 1 to 100.",
        ),
        (
            lambda: BreakerTerms(failures_percent=101),
            "A breaker opens at a share of failures: failures_percent is 101, let it be 1 to 100.",
        ),
    ],
)
def test_terms_that_make_no_sense_are_refused_with_their_cure(make: object, text: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        make()
    assert str(refused.value) == text


def test_the_smallest_and_the_largest_terms_that_make_sense_are_taken() -> None:
    least = BreakerTerms(window=timedelta(microseconds=1), slices=1, calls_min=1, failures_percent=1)
    assert trips(observed(Tally(), SECOND, True, least), SECOND, least)
    most = BreakerTerms(failures_percent=100)
    assert trips(tallied([(MINUTE, True)] * 10, most), MINUTE, most)
    assert not trips(tallied([(MINUTE, True)] * 10 + [(MINUTE, False)], most), MINUTE, most)
