"""What becomes of an unknown effect that was looked up at its provider."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.states.effect import Dispatch, Settled, Standing, Step, Terms, after_look_up, is_legal
from duly.states.look_up import Found, LookUpAnswer, NotThere, Unclear
from duly.states.policy import Keeps, LookUp, Policy
from duly.states.retry import LOOK_UP_RETRY, RetrySchedule, schedule_of

LOOK_UP: Final = LookUp(settle=timedelta(seconds=40), lag=timedelta(seconds=50))
RETRY: Final = schedule_of([5, 300])
FOUND: Final = Found(provider_id="p-1")
UNCLEAR: Final = Unclear(evidence="timeout")
QUEUED: Final = Settled(state=Dispatch.QUEUED, reason="it was looked up and is not there", wait=timedelta(seconds=300))
FAILED: Final = Settled(state=Dispatch.FAILED, reason="no attempt is left: it was looked up and is not there")
CONFIRM: Final = Settled(
    state=Dispatch.UNKNOWN,
    reason="not there when it was looked up; to be confirmed",
    wait=timedelta(seconds=50),
    step=Step.CONFIRM,
)
TOLD: Final = "could not be looked up: timeout"
ACCEPTED: Final = Settled(state=Dispatch.ACCEPTED, reason="")
PERSON: Final = Settled(state=Dispatch.UNKNOWN, reason=TOLD, alarm=TOLD)
NO_MORE: Final = "not there when it was looked up, and it can be looked up no more"

steps = st.sampled_from([Step.LOOK_UP, Step.CONFIRM])
policies = st.sampled_from(Policy)


def standing(*, attempts: int = 2, look_ups: int = 1, policy: Policy = Policy.RECONCILE) -> Standing:
    return Standing(policy=policy, attempts=attempts, unsettled=1, look_ups=look_ups)


def terms(keeps: Keeps = Keeps(look_up=LOOK_UP), look_up_retry: RetrySchedule = LOOK_UP_RETRY) -> Terms:  # noqa: B008
    return Terms(
        keeps=keeps,
        retry=RETRY,
        hold=timedelta(minutes=1),
        wait_max=timedelta(hours=1),
        probe_wait=timedelta(seconds=30),
        look_up_retry=look_up_retry,
    )


def later(seconds: float, step: Step) -> Settled:
    return Settled(state=Dispatch.UNKNOWN, reason=TOLD, wait=timedelta(seconds=seconds), step=step)


# Written out by hand from the rules of policy and dispatch.
@pytest.mark.parametrize("policy", Policy, ids=lambda policy: policy.value)
@pytest.mark.parametrize(
    ("answer", "step", "attempts", "look_ups", "expected"),
    [
        (FOUND, Step.LOOK_UP, 2, 1, ACCEPTED),
        (FOUND, Step.CONFIRM, 3, 7, ACCEPTED),
        (NotThere(), Step.LOOK_UP, 2, 1, CONFIRM),
        (NotThere(), Step.LOOK_UP, 3, 7, CONFIRM),
        (NotThere(), Step.CONFIRM, 2, 2, QUEUED),
        (NotThere(), Step.CONFIRM, 3, 2, FAILED),
        (UNCLEAR, Step.LOOK_UP, 2, 1, later(30, Step.LOOK_UP)),
        (UNCLEAR, Step.CONFIRM, 2, 2, later(120, Step.CONFIRM)),
        (UNCLEAR, Step.CONFIRM, 3, 5, later(21_600, Step.CONFIRM)),
        (UNCLEAR, Step.LOOK_UP, 2, 6, PERSON),
        (UNCLEAR, Step.CONFIRM, 2, 6, PERSON),
    ],
)
def test_every_answer_leads_where_the_rules_say(
    policy: Policy, answer: LookUpAnswer, step: Step, attempts: int, look_ups: int, expected: Settled
) -> None:
    stands = standing(attempts=attempts, look_ups=look_ups, policy=policy)
    assert after_look_up(answer, step, stands, terms(), fraction=1.0) == expected


def test_there_are_three_answers_and_no_fourth() -> None:
    assert set(get_args(LookUpAnswer)) == {Found, NotThere, Unclear}


def test_not_there_at_a_gateway_that_cannot_confirm_it_any_more_is_left_to_a_person() -> None:
    settled = after_look_up(NotThere(), Step.LOOK_UP, standing(), terms(Keeps()), fraction=1.0)
    assert settled == Settled(state=Dispatch.UNKNOWN, reason=NO_MORE, alarm=NO_MORE)


answers: st.SearchStrategy[LookUpAnswer] = st.one_of(
    st.builds(Found, provider_id=st.text(max_size=9)),
    st.builds(NotThere),
    st.builds(Unclear, evidence=st.text(max_size=9)),
)
counts = st.integers(1, 8)
fractions = st.floats(0, 1)


@given(answers, steps, counts, counts, policies, st.booleans(), fractions)
def test_whatever_comes_of_a_look_up_is_a_legal_move_or_none(
    answer: LookUpAnswer, step: Step, attempts: int, look_ups: int, policy: Policy, can: bool, fraction: float
) -> None:
    stands = standing(attempts=attempts, look_ups=look_ups, policy=policy)
    settled = after_look_up(answer, step, stands, terms(Keeps(look_up=LOOK_UP if can else None)), fraction=fraction)
    assert settled.state is Dispatch.UNKNOWN or is_legal(Dispatch.UNKNOWN, settled.state)
    if settled.state is Dispatch.UNKNOWN:
        assert (settled.wait is None) == bool(settled.alarm)
        assert settled.wait is None or settled.step is not Step.ATTEMPT
    else:
        assert not settled.alarm
        assert (settled.wait is not None) == (settled.state is Dispatch.QUEUED)
    assert settled.wait is None or settled.wait >= timedelta()
    assert settled.counts


@given(answers, steps, counts, policies, st.booleans(), fractions)
def test_rule_7_only_a_confirmed_not_there_settles_an_effect_as_not_sent(
    answer: LookUpAnswer, step: Step, attempts: int, policy: Policy, can: bool, fraction: float
) -> None:
    keeps = Keeps(look_up=LOOK_UP if can else None)
    settled = after_look_up(answer, step, standing(attempts=attempts, policy=policy), terms(keeps), fraction=fraction)
    is_not_sent = settled.state in (Dispatch.QUEUED, Dispatch.FAILED)
    assert is_not_sent == (isinstance(answer, NotThere) and step is Step.CONFIRM)


@given(st.lists(st.timedeltas(timedelta(), timedelta(days=1)), max_size=5), counts, steps)
def test_what_could_not_be_looked_up_is_looked_up_again_until_the_schedule_ends(
    found: list[timedelta], look_ups: int, step: Step
) -> None:
    retry = RetrySchedule(tuple(found))
    settled = after_look_up(UNCLEAR, step, standing(look_ups=look_ups), terms(look_up_retry=retry), fraction=0.5)
    assert settled.wait == retry.wait_after(look_ups, 0.5)
