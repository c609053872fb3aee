"""The harness itself: nothing passes without a fault, no bug is forgotten, no line is left out."""

from __future__ import annotations

import pytest

from tests.reliability.bugs import BUGS, put_back
from tests.reliability.scenario import Told
from tests.reliability.scenarios import NOT_RUN, SCENARIOS
from tests.reliability.scorecard import page


def test_a_run_without_a_fault_shows_nothing() -> None:
    assert Told(faults=0, figures={}, violations=()).failures
    assert Told(faults=1, figures={}, violations=()).failures == ()


def test_every_scenario_has_a_bug_that_must_make_it_fail() -> None:
    assert all(scenario.bugs for scenario in SCENARIOS)
    assert {bug for scenario in SCENARIOS for bug in scenario.bugs} == set(BUGS)


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_can_be_put_back_into_the_code_as_it_is(bug: str) -> None:
    with put_back(bug):
        pass


def test_every_line_is_a_scenario_or_says_why_it_is_not_run() -> None:
    lines = {f"R{number:02}" for number in range(1, 39)} | {f"S{number:02}" for number in range(1, 18)}
    run = {scenario.id for scenario in SCENARIOS}
    assert run | NOT_RUN.keys() == lines
    assert not run & NOT_RUN.keys()


def test_the_scorecard_says_of_a_scenario_without_a_result_that_it_was_not_run() -> None:
    assert page({}).count("| not run |") == sum(len(scenario.stores) for scenario in SCENARIOS)
