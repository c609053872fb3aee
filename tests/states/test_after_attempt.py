"""What becomes of an effect after an attempt: every outcome under every policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.effect import (
    MOVES,
    Dispatch,
    Settled,
    Standing,
    Step,
    Terms,
    after_attempt,
    is_legal,
    when_key_has_gone,
)
from duly.states.policy import KEY_MARGIN, IdempotencyKey, Keeps, LookUp, Policy, is_key_good
from duly.states.retry import RetrySchedule, schedule_of

HOLD: Final = timedelta(minutes=1)
PROBE: Final = timedelta(seconds=30)
WAIT_MAX: Final = timedelta(hours=1)
RETRY: Final = schedule_of([5, 300])
KEY: Final = IdempotencyKey(lifetime=timedelta(hours=24))
LOOK_UP: Final = LookUp(settle=timedelta(seconds=40), lag=timedelta(seconds=50))
OLD: Final = timedelta(hours=25)


@dataclass(frozen=True)
class Column:
    """A gateway and a policy that is asked of it."""

    policy: Policy
    keeps: Keeps
    key_age: timedelta = timedelta()


# k: keyed, +: its gateway can look up too, gone: the key's lifetime has passed; r: reconcile, -: no look-up (any more).
COLUMNS: Final = {
    "k": Column(Policy.KEYED, Keeps(key=KEY)),
    "k+": Column(Policy.KEYED, Keeps(key=KEY, look_up=LOOK_UP)),
    "k-gone": Column(Policy.KEYED, Keeps(key=KEY), OLD),
    "k+gone": Column(Policy.KEYED, Keeps(key=KEY, look_up=LOOK_UP), OLD),
    "r": Column(Policy.RECONCILE, Keeps(look_up=LOOK_UP)),
    "r-": Column(Policy.RECONCILE, Keeps()),
    "most": Column(Policy.AT_MOST_ONCE, Keeps()),
    "least": Column(Policy.AT_LEAST_ONCE, Keeps()),
}

OUTCOMES: Final[dict[str, Outcome]] = {
    "accepted": Accepted(provider_id="p-1"),
    "unknown": Unknown(evidence="seen"),
    "message": NotSent(reason="seen", permanent=False),
    "provider": NotSent(reason="seen", permanent=False, fault=Fault.PROVIDER),
    "refused": NotSent(reason="seen", permanent=True),
    "shut": NotSent(reason="seen", permanent=True, fault=Fault.PROVIDER),
    "gateway": NotSent(reason="seen", permanent=False, fault=Fault.GATEWAY),
    "revoked": NotSent(reason="seen", permanent=True, fault=Fault.GATEWAY),
}

# Written out by hand from the rules. "earlier": an earlier attempt may have gone through; "left": attempts are left;
# "probe": the provider was known to be away. "*": both.
#
# queued: in 300 s. held: for HOLD, in rows of the provider for PROBE. Otherwise the effect is unknown and
# again: is tried again in 300 s; after: is tried again after HOLD or PROBE; look: is looked up when it has settled;
# rests: nothing more; person: nothing more, and a person is told.
TABLE: Final = """
    outcome   earlier left  probe   k       k+      k-gone  k+gone  r       r-      most    least

    accepted  *       *     *       accept  accept  accept  accept  accept  accept  accept  accept
    unknown   *       yes   *       again   again   person  look    look    person  rests   again
    unknown   *       no    *       person  look    person  look    look    person  rests   person
    message   no      yes   *       queued  queued  queued  queued  queued  queued  queued  queued
    message   no      no    *       failed  failed  failed  failed  failed  failed  failed  failed
    message   yes     yes   *       again   again   person  look    look    person  rests   again
    message   yes     no    *       person  look    person  look    look    person  rests   person
    provider  no      yes   no      queued  queued  queued  queued  queued  queued  queued  queued
    provider  no      no    no      failed  failed  failed  failed  failed  failed  failed  failed
    provider  yes     yes   no      again   again   person  look    look    person  rests   again
    provider  yes     no    no      person  look    person  look    look    person  rests   person
    provider  no      *     yes     held    held    held    held    held    held    held    held
    provider  yes     *     yes     after   after   after   after   look    person  rests   after
    refused   no      *     *       failed  failed  failed  failed  failed  failed  failed  failed
    refused   yes     *     *       person  person  person  person  person  person  person  person
    shut      no      *     *       failed  failed  failed  failed  failed  failed  failed  failed
    shut      yes     *     *       person  person  person  person  person  person  person  person
    gateway   no      *     *       held    held    held    held    held    held    held    held
    gateway   yes     *     *       after   after   after   after   look    person  rests   after
    revoked   no      *     *       held    held    held    held    held    held    held    held
    revoked   yes     *     *       after   after   after   after   look    person  rests   after
"""
CHOICES: Final = {"yes": (True,), "no": (False,), "*": (False, True)}


@dataclass(frozen=True)
class Case:
    """One cell of the table, for one choice of what is left open."""

    outcome: str
    earlier: bool
    left: bool
    probe: bool
    column: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.outcome}-{self.column}-earlier={self.earlier}-left={self.left}-probe={self.probe}"

    @property
    def standing(self) -> Standing:
        column = COLUMNS[self.column]
        return Standing(
            policy=column.policy,
            attempts=2 if self.left else 3,
            unsettled=int(self.earlier),
            key_age=column.key_age,
            is_probe=self.probe,
        )

    @property
    def terms(self) -> Terms:
        keeps = COLUMNS[self.column].keeps
        return Terms(keeps=keeps, retry=RETRY, hold=HOLD, wait_max=WAIT_MAX, probe_wait=PROBE)


def cases() -> list[Case]:
    """Every cell of the table."""
    head, *rows = [line.split() for line in TABLE.strip().splitlines() if line.strip()]
    assert head[4:] == list(COLUMNS)
    return [
        Case(row[0], earlier, left, probe, column, becomes)
        for row in rows
        for earlier, left, probe in product(*(CHOICES[mark] for mark in row[1:4]))
        for column, becomes in zip(head[4:], row[4:], strict=True)
    ]


CASES: Final = cases()


def expected(case: Case) -> Settled:
    """The whole decision that a word of the table stands for."""
    is_passing_by = case.outcome in ("gateway", "revoked") or (case.outcome == "provider" and case.probe)
    hold = PROBE if case.outcome == "provider" else HOLD
    counts = not is_passing_by
    reason = "seen"
    match case.becomes:
        case "accept":
            return Settled(state=Dispatch.ACCEPTED, reason="")
        case "failed":
            is_refused = case.outcome in ("refused", "shut")
            return Settled(state=Dispatch.FAILED, reason=reason if is_refused else f"no attempt is left: {reason}")
        case "queued":
            return Settled(state=Dispatch.QUEUED, reason=reason, wait=timedelta(seconds=300))
        case "held":
            return Settled(state=Dispatch.HELD, reason=reason, wait=hold, counts=False)
        case "again":
            return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=timedelta(seconds=300))
        case "after":
            return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=hold, counts=False)
        case "look":
            wait = LOOK_UP.settle
            return Settled(state=Dispatch.UNKNOWN, reason=reason, wait=wait, step=Step.LOOK_UP, counts=counts)
        case "rests":
            return Settled(state=Dispatch.UNKNOWN, reason=reason, counts=counts)
        case "person":
            reason = why_a_person(case)
            return Settled(state=Dispatch.UNKNOWN, reason=reason, alarm=reason, counts=counts)
        case word:
            raise AssertionError(word)


def why_a_person(case: Case) -> str:
    """The reason with which an effect is left to a person."""
    if case.outcome in ("refused", "shut"):
        return "refused when it was tried again: seen"
    if case.column.startswith("k"):
        return "no attempt is left under the same key: seen"
    return "no attempt is left: seen" if case.column == "least" else "cannot be looked up: seen"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_outcome_under_every_policy_leads_where_the_table_says(case: Case) -> None:
    assert after_attempt(OUTCOMES[case.outcome], case.standing, case.terms, fraction=1.0) == expected(case)


def test_the_table_has_every_case_once() -> None:
    assert len(CASES) == len(set(map(str, CASES))) == len(OUTCOMES) * len(COLUMNS) * 8


def test_there_are_three_outcomes_and_no_fourth() -> None:
    assert set(get_args(Outcome)) == {Accepted, NotSent, Unknown}


def test_an_effect_stands_well_unless_something_else_is_said() -> None:
    assert Standing(policy=Policy.KEYED, attempts=1) == Standing(
        policy=Policy.KEYED, attempts=1, unsettled=0, key_age=timedelta(), look_ups=0, is_probe=False
    )


def test_there_are_three_steps() -> None:
    assert {step.value for step in Step} == {"attempt", "look up", "confirm"}


# The key's lifetime, to the moment.


def keyed(key_age: timedelta, *, unsettled: int = 1, policy: Policy = Policy.KEYED) -> Standing:
    return Standing(policy=policy, attempts=2, unsettled=unsettled, key_age=key_age)


def terms(keeps: Keeps, retry: RetrySchedule = RETRY) -> Terms:
    return Terms(keeps=keeps, retry=retry, hold=HOLD, wait_max=WAIT_MAX, probe_wait=PROBE)


def test_a_repeat_under_a_key_is_planned_only_while_the_key_will_still_be_good() -> None:
    wait = timedelta(seconds=300)
    last = KEY.lifetime - KEY_MARGIN - wait - timedelta(milliseconds=1)
    planned = after_attempt(Unknown(evidence=""), keyed(last), terms(Keeps(key=KEY)), fraction=1.0)
    assert planned == Settled(state=Dispatch.UNKNOWN, reason="", wait=wait)
    late = keyed(last + timedelta(milliseconds=1))
    assert after_attempt(Unknown(evidence=""), late, terms(Keeps(key=KEY)), fraction=1.0).wait is None


def test_a_key_that_has_gone_stops_the_next_attempt() -> None:
    told = "the key's lifetime has passed"
    decided = when_key_has_gone(keyed(OLD), terms(Keeps(key=KEY)))
    assert decided == Settled(state=Dispatch.UNKNOWN, reason=told, alarm=told)


def test_a_key_that_has_gone_is_replaced_by_a_look_up_if_there_is_one() -> None:
    decided = when_key_has_gone(keyed(OLD), terms(Keeps(key=KEY, look_up=LOOK_UP)))
    reason = "the key's lifetime has passed; it is looked up instead"
    assert decided == Settled(state=Dispatch.UNKNOWN, reason=reason, wait=timedelta(), step=Step.LOOK_UP)


@pytest.mark.parametrize(
    "standing",
    [
        keyed(timedelta(hours=1)),
        keyed(OLD, unsettled=0),
        *(keyed(OLD, policy=policy) for policy in Policy if policy is not Policy.KEYED),
    ],
    ids=["good", "nothing may have gone through", *(policy.value for policy in Policy if policy is not Policy.KEYED)],
)
def test_nothing_stops_an_attempt_whose_key_is_good_or_not_needed(standing: Standing) -> None:
    assert when_key_has_gone(standing, terms(Keeps(key=KEY, look_up=LOOK_UP))) is None


# Invariants.

texts = st.text(max_size=20)
waits = st.timedeltas(timedelta(), timedelta(days=2))
look_ups = st.builds(LookUp, settle=waits, lag=waits)
all_keeps = st.builds(Keeps, key=st.none() | st.builds(IdempotencyKey, lifetime=waits), look_up=st.none() | look_ups)
schedules = st.lists(waits, max_size=5).map(lambda found: RetrySchedule(tuple(found)))
all_terms = st.builds(
    Terms,
    keeps=all_keeps,
    retry=schedules,
    hold=waits,
    wait_max=waits,
    probe_wait=waits,
    look_up_retry=schedules,
)
standings = st.builds(
    Standing,
    policy=st.sampled_from(Policy),
    attempts=st.integers(1, 8),
    unsettled=st.integers(0, 3),
    key_age=waits,
    look_ups=st.integers(1, 8),
    is_probe=st.booleans(),
)
not_sent = st.builds(
    NotSent, reason=texts, permanent=st.booleans(), fault=st.sampled_from(Fault), retry_after=st.none() | waits
)
unknown = st.builds(Unknown, evidence=texts, retry_after=st.none() | waits)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Accepted, provider_id=texts, evidence=texts), not_sent, unknown
)
fractions = st.floats(0, 1)


@given(outcomes, standings, all_terms, fractions)
def test_whatever_comes_of_an_attempt_is_a_legal_move(
    outcome: Outcome, standing: Standing, terms: Terms, fraction: float
) -> None:
    settled = after_attempt(outcome, standing, terms, fraction=fraction)
    assert is_legal(Dispatch.ATTEMPTING, settled.state)
    assert settled.wait is None or settled.wait >= timedelta()
    if settled.state in (Dispatch.QUEUED, Dispatch.HELD):
        assert settled.wait is not None
        assert settled.step is Step.ATTEMPT
    if not MOVES[settled.state]:
        assert settled.wait is None
        assert not settled.alarm


@given(not_sent | unknown, standings, all_terms, fractions)
def test_while_an_attempt_may_have_gone_through_the_effect_stays_unknown(
    outcome: Outcome, standing: Standing, terms: Terms, fraction: float
) -> None:
    settled = after_attempt(outcome, standing, terms, fraction=fraction)
    may_have_gone_through = standing.unsettled > 0 or isinstance(outcome, Unknown)
    assert (settled.state is Dispatch.UNKNOWN) == may_have_gone_through


@given(not_sent | unknown, standings, all_terms, fractions)
def test_what_is_tried_again_while_it_may_have_gone_through_is_what_the_policy_permits(
    outcome: Outcome, standing: Standing, terms: Terms, fraction: float
) -> None:
    settled = after_attempt(outcome, standing, terms, fraction=fraction)
    if settled.state is not Dispatch.UNKNOWN or settled.wait is None:
        return
    if settled.step is Step.ATTEMPT:
        assert standing.policy in (Policy.KEYED, Policy.AT_LEAST_ONCE)
    else:
        assert settled.step is Step.LOOK_UP
        assert standing.policy in (Policy.KEYED, Policy.RECONCILE)
        assert terms.keeps.look_up is not None
        assert settled.wait == terms.keeps.look_up.settle
    assert not settled.alarm


@given(not_sent | unknown, standings, all_terms, fractions)
def test_an_attempt_under_a_key_is_planned_or_stopped_and_never_made_without_a_good_key(
    outcome: Outcome, standing: Standing, terms: Terms, fraction: float
) -> None:
    settled = after_attempt(outcome, standing, terms, fraction=fraction)
    if standing.policy is not Policy.KEYED or settled.state is not Dispatch.UNKNOWN or settled.wait is None:
        return
    then = keyed(standing.key_age + settled.wait)
    if settled.step is Step.ATTEMPT and settled.counts:
        assert is_key_good(then.key_age, terms.keeps)
    instead = when_key_has_gone(then, terms)
    assert (instead is None) == is_key_good(then.key_age, terms.keeps)
    assert instead is None or instead.state is Dispatch.UNKNOWN
    assert instead is None or instead.step is Step.LOOK_UP or instead.alarm


@given(outcomes, standings, all_terms, fractions)
def test_an_alarm_is_told_when_nothing_happens_by_itself_any_more_except_where_the_policy_is_to_wait(
    outcome: Outcome, standing: Standing, terms: Terms, fraction: float
) -> None:
    settled = after_attempt(outcome, standing, terms, fraction=fraction)
    is_stuck = settled.state is Dispatch.UNKNOWN and settled.wait is None
    if standing.policy is not Policy.AT_MOST_ONCE:
        assert bool(settled.alarm) == is_stuck
    assert settled.alarm in ("", settled.reason)


@given(outcomes, standings, all_terms, fractions)
def test_rule_5_an_outage_and_a_fault_of_the_gateway_burn_no_attempt(
    outcome: Outcome, standing: Standing, terms: Terms, fraction: float
) -> None:
    is_gateways = isinstance(outcome, NotSent) and outcome.fault is Fault.GATEWAY
    is_away = (
        isinstance(outcome, NotSent) and outcome.fault is Fault.PROVIDER and not outcome.permanent and standing.is_probe
    )
    assert after_attempt(outcome, standing, terms, fraction=fraction).counts is not (is_gateways or is_away)


# What a provider wishes for.


@pytest.mark.parametrize("outcome", ["unknown", "message"])
@given(wish=waits, fraction=fractions)
def test_a_providers_wish_only_makes_the_wait_longer_and_is_bounded(
    outcome: str, wish: timedelta, fraction: float
) -> None:
    standing = Standing(policy=Policy.AT_LEAST_ONCE, attempts=2)

    def waits_with(retry_after: timedelta | None) -> timedelta:
        found: Outcome = (
            Unknown(evidence="", retry_after=retry_after)
            if outcome == "unknown"
            else NotSent(reason="", permanent=False, retry_after=retry_after)
        )
        wait = after_attempt(found, standing, terms(Keeps()), fraction=fraction).wait
        assert wait is not None
        return wait

    assert waits_with(wish) == max(waits_with(None), min(wish, WAIT_MAX))


def test_a_providers_wish_buys_no_further_attempt() -> None:
    outcome = NotSent(reason="busy", permanent=False, retry_after=timedelta(seconds=1))
    standing = Standing(policy=Policy.AT_MOST_ONCE, attempts=3)
    assert after_attempt(outcome, standing, terms(Keeps()), fraction=0.5).state is Dispatch.FAILED


def test_a_wish_that_outlives_the_key_ends_the_repeats() -> None:
    outcome = Unknown(evidence="in progress there", retry_after=timedelta(minutes=30))
    keeps = Keeps(key=IdempotencyKey(lifetime=timedelta(minutes=20)))
    settled = after_attempt(outcome, Standing(policy=Policy.KEYED, attempts=1), terms(keeps), fraction=1.0)
    assert settled.wait is None
    assert settled.alarm == "no attempt is left under the same key: in progress there"
