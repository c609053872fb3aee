"""What a report means in each state of dispatch; each test names the rule of states/report.py that it is about."""

from __future__ import annotations

import pytest

from duly.states.effect import FINAL, WAITING, Dispatch, is_legal
from duly.states.report import MEANINGS, Meaning


@pytest.mark.parametrize("state", Dispatch)
def test_a_report_means_something_in_every_state(state: Dispatch) -> None:
    expected = {
        Dispatch.UNKNOWN: Meaning.SETTLES,  # rule 1
        Dispatch.ATTEMPTING: Meaning.WAITS,  # rule 2
        Dispatch.ACCEPTED: Meaning.AGREES,  # rule 5
    }
    if state in WAITING:
        expected[state] = Meaning.HOLDS_BACK  # rule 3
    elif state in FINAL - {Dispatch.ACCEPTED}:
        expected[state] = Meaning.CONTRADICTS  # rule 4
    assert MEANINGS[state] is expected[state]


def test_what_a_report_does_is_a_legal_move() -> None:
    assert is_legal(Dispatch.UNKNOWN, Dispatch.ACCEPTED)
    for state, meaning in MEANINGS.items():
        if meaning is Meaning.HOLDS_BACK and state is not Dispatch.HELD:
            assert is_legal(state, Dispatch.HELD)
