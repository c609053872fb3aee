"""What a gateway can keep, and which policy may be promised on it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.states.policy import (
    KEY_MARGIN,
    IdempotencyKey,
    Keeps,
    LookUp,
    Policy,
    ReceiptWindow,
    is_key_good,
    policy_mistakes,
)
from duly.states.retry import EFFECT_RETRY, RetrySchedule, schedule_of

DAY: Final = IdempotencyKey(lifetime=timedelta(hours=24))
MOMENT: Final = timedelta(microseconds=1)
TIMEOUT: Final = timedelta(seconds=20)
REPLAY: Final = timedelta(hours=1)
RETRY: Final = schedule_of([5, 300, 1_800])
NEEDED: Final = timedelta(seconds=5 + 300 + 1_800 + 4 * 20) + REPLAY + KEY_MARGIN

lifetimes = st.timedeltas(timedelta(), timedelta(days=3))


def mistakes(policy: Policy, keeps: Keeps, retry: RetrySchedule = RETRY) -> list[str]:
    return policy_mistakes(policy, keeps, retry, where="Sms", call_timeout=TIMEOUT, replay=REPLAY)


def test_there_are_four_policies() -> None:
    assert {policy.value for policy in Policy} == {"keyed", "reconcile", "at_most_once", "at_least_once"}


def test_a_gateway_keeps_nothing_unless_it_says_so() -> None:
    assert Keeps() == Keeps(key=None, look_up=None, receipts=None, receiver_deduplicates=False)
    assert LookUp() == LookUp(settle=timedelta(seconds=30), lag=timedelta(minutes=1))
    assert ReceiptWindow() == ReceiptWindow(within=timedelta(days=3))
    assert timedelta(minutes=5) == KEY_MARGIN


@pytest.mark.parametrize(
    ("keeps", "policy"),
    [
        (Keeps(), "at_most_once"),
        (Keeps(receipts=ReceiptWindow()), "at_most_once"),
        (Keeps(receiver_deduplicates=True), "at_least_once"),
        (Keeps(look_up=LookUp()), "reconcile"),
        (Keeps(look_up=LookUp(), receiver_deduplicates=True), "reconcile"),
        (Keeps(key=DAY), "keyed"),
        (Keeps(key=DAY, look_up=LookUp(), receiver_deduplicates=True), "keyed"),
    ],
)
def test_the_default_policy_is_the_strongest_that_the_gateway_can_keep(keeps: Keeps, policy: str) -> None:
    assert keeps.default_policy.value == policy
    assert not mistakes(keeps.default_policy, keeps)


@given(lifetimes, lifetimes)
def test_a_key_is_good_until_its_lifetime_less_the_margin(lifetime: timedelta, age: timedelta) -> None:
    keeps = Keeps(key=IdempotencyKey(lifetime=lifetime))
    assert is_key_good(age, keeps) == (age < lifetime - timedelta(minutes=5))


def test_a_key_is_good_no_more_at_the_very_moment_at_which_the_margin_begins() -> None:
    assert is_key_good(DAY.lifetime - KEY_MARGIN - MOMENT, Keeps(key=DAY)) is True
    assert is_key_good(DAY.lifetime - KEY_MARGIN, Keeps(key=DAY)) is False


def test_without_a_key_none_is_good() -> None:
    assert is_key_good(timedelta(), Keeps(look_up=LookUp())) is False


def test_keyed_without_a_key_is_refused_with_its_cure() -> None:
    assert mistakes(Policy.KEYED, Keeps(look_up=LookUp())) == [
        "Sms: the policy is keyed, but the gateway knows no idempotency key. Choose another policy."
    ]


def test_reconcile_without_a_look_up_is_refused_with_its_cure() -> None:
    assert mistakes(Policy.RECONCILE, Keeps(key=DAY)) == [
        "Sms: the policy is reconcile, but the gateway has no look-up. Choose another policy."
    ]


def test_a_schedule_that_outlives_the_key_by_a_moment_is_refused_with_its_cure() -> None:
    assert not mistakes(Policy.KEYED, Keeps(key=IdempotencyKey(lifetime=NEEDED)))
    assert mistakes(Policy.KEYED, Keeps(key=IdempotencyKey(lifetime=NEEDED - MOMENT))) == [
        "Sms: its retry schedule (0:35:05), its calls, the time in which an operator may order another attempt "
        "(1:00:00) and a margin (0:05:00) make 1:41:25, longer than the provider remembers a key "
        "(1:41:24.999999). Shorten retry= or Settings.replay_time_max."
    ]


def test_the_default_schedule_outlives_a_key_of_a_day_and_not_one_of_two() -> None:
    assert mistakes(Policy.KEYED, Keeps(key=DAY), EFFECT_RETRY)
    assert not mistakes(Policy.KEYED, Keeps(key=IdempotencyKey(lifetime=timedelta(days=2))), EFFECT_RETRY)


@pytest.mark.parametrize("policy", [Policy.AT_MOST_ONCE, Policy.AT_LEAST_ONCE])
@pytest.mark.parametrize("keeps", [Keeps(), Keeps(key=IdempotencyKey(lifetime=timedelta()), look_up=LookUp())])
def test_what_promises_nothing_of_the_gateway_may_be_promised_on_every_gateway(policy: Policy, keeps: Keeps) -> None:
    assert mistakes(policy, keeps) == []


@given(lifetimes, st.lists(st.timedeltas(timedelta(), timedelta(hours=9)), max_size=4))
def test_a_schedule_that_is_let_through_never_outlives_the_key(lifetime: timedelta, waits: list[timedelta]) -> None:
    keeps = Keeps(key=IdempotencyKey(lifetime=lifetime))
    retry = RetrySchedule(tuple(waits))
    if not mistakes(Policy.KEYED, keeps, retry):
        last_attempt_begins = retry.longest + (retry.attempts_max - 1) * TIMEOUT + REPLAY
        assert is_key_good(last_attempt_begins, keeps)
