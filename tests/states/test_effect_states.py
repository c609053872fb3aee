"""The dispatch of an effect: every pair of states."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest

from duly.states.effect import BEGINNINGS, FINAL, MOVES, WAITING, Dispatch, is_legal

# Written out by hand from the rules, row by row; columns in the order of the rows. x: legal.
TABLE: Final = """
                 req sup sch hel que att acc fai unk exp can
    requested     .   x   .   x   x   x   .   .   .   x   x
    suppressed    .   .   .   .   .   .   .   .   .   .   .
    scheduled     .   x   .   x   x   x   .   .   .   x   x
    held          .   x   .   .   x   x   x   .   .   x   x
    queued        .   x   .   x   .   x   .   .   .   x   x
    attempting    .   .   .   x   x   .   x   x   x   .   .
    accepted      .   .   .   .   .   .   .   .   .   .   .
    failed        .   .   .   .   .   .   .   .   .   .   .
    unknown       .   .   .   .   x   x   x   x   .   .   .
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
MAY_HAVE_GONE_THROUGH: Final = (Dispatch.ATTEMPTING, Dispatch.UNKNOWN)


def before(following: Dispatch) -> set[str]:
    """The states that lead to another."""
    return {state.value for state in Dispatch if is_legal(state, following)}


@pytest.mark.parametrize(("present", "following"), list(product(Dispatch, repeat=2)), ids=lambda state: state.value)
def test_a_move_is_legal_if_and_only_if_the_table_says_so(present: Dispatch, following: Dispatch) -> None:
    assert is_legal(present, following) is ((present, following) in LEGAL)


def test_every_state_has_its_row() -> None:
    assert set(MOVES) == set(Dispatch)
    assert len(TABLE.strip().splitlines()) == len(Dispatch) + 1


def test_the_final_states_are_those_without_a_move() -> None:
    assert {state.value for state in FINAL} == {"accepted", "failed", "suppressed", "expired", "cancelled"}
    assert all(not MOVES[state] for state in FINAL)


def test_nothing_is_under_way_in_the_waiting_states() -> None:
    assert {state.value for state in WAITING} == {"requested", "scheduled", "held", "queued"}
    assert WAITING | FINAL | set(MAY_HAVE_GONE_THROUGH) == set(Dispatch)
    assert not WAITING & FINAL


def test_every_state_is_a_beginning_or_reached_from_one_and_leads_to_an_end() -> None:
    reached = set(BEGINNINGS)
    while further := {following for state in reached for following in MOVES[state]} - reached:
        reached |= further
    assert reached == set(Dispatch)
    ending = set(FINAL)
    while further := {state for state in Dispatch if MOVES[state] & ending} - ending:
        ending |= further
    assert ending == set(Dispatch)


def test_rule_1_there_are_two_beginnings_and_no_way_back_to_them() -> None:
    assert {state.value for state in BEGINNINGS} == {"requested", "scheduled"}
    assert before(Dispatch.REQUESTED) == before(Dispatch.SCHEDULED) == set()


def test_rule_2_whatever_waits_is_attempted_once_its_time_has_come() -> None:
    assert before(Dispatch.ATTEMPTING) == {"requested", "scheduled", "queued", "held", "unknown"}


def test_rule_3_only_an_attempt_or_a_settlement_accepts_or_fails_and_only_an_attempt_is_unknown() -> None:
    assert before(Dispatch.FAILED) == {"attempting", "unknown"}
    # Held: back, for a person, because a receipt says that it was taken (rule 8).
    assert before(Dispatch.ACCEPTED) == {"attempting", "unknown", "held"}
    assert before(Dispatch.UNKNOWN) == {"attempting"}


def test_rule_7_the_only_way_from_unknown_back_to_waiting_is_queued() -> None:
    assert MOVES[Dispatch.UNKNOWN] & WAITING == {Dispatch.QUEUED}


def test_rule_9_what_may_have_gone_through_is_neither_suppressed_nor_expired_nor_cancelled() -> None:
    for end in (Dispatch.SUPPRESSED, Dispatch.EXPIRED, Dispatch.CANCELLED):
        assert before(end) == {state.value for state in WAITING}
