"""The dispatch of an effect: every pair of states, and every outcome of an attempt."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.effect import FINAL, MOVES, WAITING, Dispatch, Settled, after_attempt, is_legal
from duly.states.retry import RetrySchedule, schedule_of

# Written out by hand from the rules, row by row; columns in the order of the rows. x: legal.
TABLE: Final = """
                 req sup sch hel que att acc fai unk exp can
    requested     .   x   x   x   x   x   .   .   .   x   x
    suppressed    .   .   .   .   .   .   .   .   .   .   .
    scheduled     .   x   .   x   x   .   .   .   .   x   x
    held          .   x   .   .   x   x   .   .   .   x   x
    queued        .   x   .   x   .   x   .   .   .   x   x
    attempting    .   .   .   x   x   .   x   x   x   .   .
    accepted      .   .   .   .   .   .   .   .   .   .   .
    failed        .   .   .   .   .   .   .   .   .   .   .
    unknown       .   .   .   .   .   x   x   x   .   .   .
    expired       .   .   .   .   .   .   .   .   .   .   .
    cancelled     .   .   .   .   .   .   .   .   .   .   .
"""


def legal_pairs() -> set[tuple[Dispatch, Dispatch]]:
    """The pairs that the table permits."""
    rows = [line.split() for line in TABLE.strip().splitlines()[1:]]
    order = [Dispatch(row[0]) for row in rows]
    return {
        (present, following)
        for present, row in zip(order, rows, strict=True)
        for following, mark in zip(order, row[1:], strict=True)
        if mark == "x"
    }


LEGAL: Final = legal_pairs()
HOLD: Final = timedelta(minutes=1)
WAIT_MAX: Final = timedelta(hours=1)
RETRY: Final = schedule_of([5, 300, 1_800])

texts = st.text(max_size=20)
waits = st.timedeltas(timedelta(), timedelta(days=2))
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Accepted, provider_id=texts, evidence=texts),
    st.builds(
        NotSent,
        reason=texts,
        permanent=st.booleans(),
        fault=st.sampled_from(Fault),
        retry_after=st.none() | waits,
    ),
    st.builds(Unknown, evidence=texts),
)
schedules = st.lists(waits, max_size=5).map(lambda found: RetrySchedule(tuple(found)))
fractions = st.floats(0, 1)


def settle(outcome: Outcome, *, attempts: int = 1, fraction: float = 0.5, retry: RetrySchedule = RETRY) -> Settled:
    return after_attempt(outcome, attempts=attempts, retry=retry, hold=HOLD, wait_max=WAIT_MAX, fraction=fraction)


# The table.


@pytest.mark.parametrize(("present", "following"), list(product(Dispatch, repeat=2)), ids=lambda state: state.value)
def test_a_move_is_legal_if_and_only_if_the_table_says_so(present: Dispatch, following: Dispatch) -> None:
    assert is_legal(present, following) == ((present, following) in LEGAL)


def test_every_state_has_its_row() -> None:
    assert set(MOVES) == set(Dispatch)
    assert len(TABLE.strip().splitlines()) == len(Dispatch) + 1


def test_the_final_states_are_those_without_a_move() -> None:
    assert {state.value for state in FINAL} == {"accepted", "failed", "suppressed", "expired", "cancelled"}
    assert all(not MOVES[state] for state in FINAL)


def test_nothing_is_under_way_in_the_waiting_states() -> None:
    assert {state.value for state in WAITING} == {"requested", "scheduled", "held", "queued"}
    assert WAITING | FINAL | {Dispatch.ATTEMPTING, Dispatch.UNKNOWN} == set(Dispatch)
    assert not WAITING & FINAL


def test_every_state_is_reached_from_requested_and_leads_to_an_end() -> None:
    reached = {Dispatch.REQUESTED}
    while further := {following for state in reached for following in MOVES[state]} - reached:
        reached |= further
    assert reached == set(Dispatch)
    ending = set(FINAL)
    while further := {state for state in Dispatch if MOVES[state] & ending} - ending:
        ending |= further
    assert ending == set(Dispatch)


def test_rule_1_an_effect_that_has_left_requested_never_returns() -> None:
    assert not [state for state in Dispatch if is_legal(state, Dispatch.REQUESTED)]


def test_rule_2_a_scheduled_effect_is_never_attempted_directly() -> None:
    assert not is_legal(Dispatch.SCHEDULED, Dispatch.ATTEMPTING)
    assert is_legal(Dispatch.SCHEDULED, Dispatch.QUEUED)


def test_rule_4_only_an_attempt_or_a_settlement_accepts_or_fails() -> None:
    for end in (Dispatch.ACCEPTED, Dispatch.FAILED):
        assert {state for state in Dispatch if is_legal(state, end)} == {Dispatch.ATTEMPTING, Dispatch.UNKNOWN}
    assert {state for state in Dispatch if is_legal(state, Dispatch.UNKNOWN)} == {Dispatch.ATTEMPTING}


def test_rule_8_what_may_have_gone_through_neither_expires_nor_is_withdrawn_nor_waits_again() -> None:
    for present in (Dispatch.ATTEMPTING, Dispatch.UNKNOWN):
        for following in (Dispatch.EXPIRED, Dispatch.CANCELLED, Dispatch.SUPPRESSED, Dispatch.SCHEDULED):
            assert not is_legal(present, following)
    assert not {Dispatch.QUEUED, Dispatch.HELD} & MOVES[Dispatch.UNKNOWN]


# After an attempt.


def test_there_are_three_outcomes_and_no_fourth() -> None:
    assert set(get_args(Outcome)) == {Accepted, NotSent, Unknown}


@given(outcomes, st.integers(1, 8), schedules, fractions)
def test_whatever_comes_of_an_attempt_is_a_legal_move(
    outcome: Outcome, attempts: int, retry: RetrySchedule, fraction: float
) -> None:
    settled = settle(outcome, attempts=attempts, retry=retry, fraction=fraction)
    assert is_legal(Dispatch.ATTEMPTING, settled.state)
    assert (settled.wait is not None) == (settled.state in (Dispatch.QUEUED, Dispatch.HELD))
    assert settled.wait is None or settled.wait >= timedelta()


@given(st.builds(Accepted, provider_id=texts), st.integers(1, 8), schedules, fractions)
def test_accepted_stays_accepted_however_many_attempts_there_were(
    outcome: Accepted, attempts: int, retry: RetrySchedule, fraction: float
) -> None:
    settled = settle(outcome, attempts=attempts, retry=retry, fraction=fraction)
    assert settled == Settled(state=Dispatch.ACCEPTED, reason="")


@given(texts, st.integers(1, 8), schedules, fractions)
def test_rule_7_unknown_stays_unknown_even_when_no_attempt_is_left(
    evidence: str, attempts: int, retry: RetrySchedule, fraction: float
) -> None:
    settled = settle(Unknown(evidence=evidence), attempts=attempts, retry=retry, fraction=fraction)
    assert settled == Settled(state=Dispatch.UNKNOWN, reason=evidence)


@given(st.booleans(), st.none() | waits, st.integers(1, 8), schedules, fractions)
def test_rule_6_a_fault_of_the_gateway_holds_the_effect_and_burns_no_attempt(
    permanent: bool, wish: timedelta | None, attempts: int, retry: RetrySchedule, fraction: float
) -> None:
    outcome = NotSent(reason="wrong password", permanent=permanent, fault=Fault.GATEWAY, retry_after=wish)
    settled = settle(outcome, attempts=attempts, retry=retry, fraction=fraction)
    assert settled == Settled(state=Dispatch.HELD, reason="wrong password", wait=HOLD, counts=False)


@pytest.mark.parametrize("fault", [Fault.MESSAGE, Fault.PROVIDER])
@pytest.mark.parametrize("attempts", range(1, 6))
def test_rule_5_a_permanent_refusal_fails_at_once(fault: Fault, attempts: int) -> None:
    settled = settle(NotSent(reason="no such number", permanent=True, fault=fault), attempts=attempts)
    assert settled == Settled(state=Dispatch.FAILED, reason="no such number")


@pytest.mark.parametrize("fault", [Fault.MESSAGE, Fault.PROVIDER])
@pytest.mark.parametrize(("attempts", "seconds"), [(1, 5), (2, 300), (3, 1_800), (4, None), (5, None)])
def test_rule_5_a_passing_failure_is_tried_again_while_attempts_are_left(
    fault: Fault, attempts: int, seconds: int | None
) -> None:
    settled = settle(NotSent(reason="busy", permanent=False, fault=fault), attempts=attempts, fraction=1.0)
    if seconds is None:
        assert settled == Settled(state=Dispatch.FAILED, reason="no attempt is left: busy")
    else:
        assert settled == Settled(state=Dispatch.QUEUED, reason="busy", wait=timedelta(seconds=seconds))


@given(waits, st.integers(1, 3), fractions)
def test_a_providers_wish_only_makes_the_wait_longer_and_is_bounded(
    wish: timedelta, attempts: int, fraction: float
) -> None:
    without = settle(NotSent(reason="", permanent=False), attempts=attempts, fraction=fraction)
    with_wish = settle(NotSent(reason="", permanent=False, retry_after=wish), attempts=attempts, fraction=fraction)
    assert without.wait is not None
    assert with_wish.wait == max(without.wait, min(wish, WAIT_MAX))


def test_a_providers_wish_buys_no_further_attempt() -> None:
    settled = settle(NotSent(reason="busy", permanent=False, retry_after=timedelta(seconds=1)), attempts=4)
    assert settled.state is Dispatch.FAILED


@given(outcomes, st.integers(1, 8))
def test_only_a_fault_of_the_gateway_does_not_count(outcome: Outcome, attempts: int) -> None:
    is_gateways = isinstance(outcome, NotSent) and outcome.fault is Fault.GATEWAY
    assert settle(outcome, attempts=attempts).counts is not is_gateways
