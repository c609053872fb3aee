"""Which operation fits which effect, for every verb in every state; and what becomes of the effect."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from duly.ports.operation_rules import FITS, INSTEAD, Declined, Ordered, Present, rule
from duly.ports.operations import Operation, Verb, Verdict
from duly.states.attempt import Origin
from duly.states.effect import Dispatch, is_legal
from duly.states.policy import IdempotencyKey, Keeps, Policy, ReceiptWindow

HOUR = timedelta(hours=1)
KEYED = Keeps(key=IdempotencyKey(lifetime=24 * HOUR))

FITTING = {
    Verb.SETTLE: "unknown",
    Verb.RETRY: "unknown held queued scheduled",
    Verb.RESEND: "accepted failed suppressed expired cancelled unknown",
    Verb.CANCEL: "requested scheduled held queued",
    Verb.RELEASE: "held",
}


def order(verb: Verb, **parts: Any) -> Operation:
    fields: dict[str, Any] = {"verdict": Verdict.ACCEPTED if verb is Verb.SETTLE else None, "even_if_twice": True}
    return Operation(**{"tenant": "acme", "verb": verb, "by": "anna", "reason": "why", **fields, **parts})


def present(state: Dispatch = Dispatch.UNKNOWN, **parts: Any) -> Present:
    fields: dict[str, Any] = {
        "policy": Policy.AT_MOST_ONCE,
        "unsettled": 1 if state is Dispatch.UNKNOWN else 0,
        "key_age": timedelta(),
        "is_under_way": state is Dispatch.ATTEMPTING,
        "has_next_step": False,
        "resends": 0,
        "is_late": False,
        "is_erased": False,
        "paused": "",
    }
    return Present(state=state, **{**fields, **parts})


def ordered(operation: Operation, effect: Present, keeps: Keeps = KEYED) -> Ordered:
    ruling = rule(operation, effect, keeps)
    assert isinstance(ruling, Ordered), ruling
    return ruling


def declined(operation: Operation, effect: Present, keeps: Keeps = KEYED) -> str:
    ruling = rule(operation, effect, keeps)
    assert isinstance(ruling, Declined), ruling
    return ruling.reason


@pytest.mark.parametrize(("verb", "state"), list(product(Verb, Dispatch)))
def test_a_verb_fits_its_states_and_no_other_which_is_told_with_what_to_do(verb: Verb, state: Dispatch) -> None:
    ruling = rule(order(verb), present(state), KEYED)
    assert isinstance(ruling, Ordered) is (state.value in FITTING[verb].split())
    if isinstance(ruling, Ordered):
        following = state if ruling.settled is None else ruling.settled.state
        assert following is state or is_legal(state, following)
        assert ruling.settled is None or "why" in ruling.settled.reason
    elif state is not Dispatch.ATTEMPTING:
        assert ruling.reason.startswith(f"is {state.value}; {verb.value} does not fit that. {INSTEAD[state]}")


def test_every_state_has_a_verb_or_is_under_way() -> None:
    assert {state for states in FITS.values() for state in states} == set(Dispatch) - {Dispatch.ATTEMPTING}


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("state", [Dispatch.ATTEMPTING, Dispatch.UNKNOWN])
def test_nothing_is_done_while_an_attempt_or_a_look_up_is_under_way(verb: Verb, state: Dispatch) -> None:
    told = declined(order(verb), present(state, is_under_way=True))
    assert told.startswith("has an attempt" if state is Dispatch.ATTEMPTING else "has a look-up at its provider")


def test_what_is_settled_as_accepted_may_still_be_reported_on() -> None:
    keeps = Keeps(receipts=ReceiptWindow(within=HOUR))
    settled = ordered(order(Verb.SETTLE), present(), keeps)
    assert settled.settled is not None
    assert (settled.settled.state, settled.unsettled, settled.confirm_within) == (Dispatch.ACCEPTED, 0, HOUR)
    assert settled.settled.wait is None


@pytest.mark.parametrize("again", [False, True])
def test_what_is_settled_as_not_sent_fails_unless_it_is_to_be_tried_again(again: bool) -> None:
    settled = ordered(order(Verb.SETTLE, verdict=Verdict.NOT_SENT, again=again), present())
    assert settled.settled is not None
    assert settled.settled.state is (Dispatch.QUEUED if again else Dispatch.FAILED)
    assert settled.settled.wait == (timedelta() if again else None)
    assert (settled.unsettled, settled.origin) == (0, Origin.MANUAL if again else Origin.SCHEDULED)


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("age", [HOUR, 25 * HOUR])
def test_a_retry_after_an_unknown_attempt_is_a_possible_duplicate_unless_its_key_is_good(
    policy: Policy, age: timedelta
) -> None:
    retried = ordered(order(Verb.RETRY), present(policy=policy, key_age=age))
    assert retried.settled is not None
    assert (retried.settled.state, retried.settled.wait) == (Dispatch.UNKNOWN, timedelta())
    assert (retried.unsettled, retried.origin) == (1, Origin.INSISTED)
    assert retried.possible_duplicate is not (policy is Policy.KEYED and age == HOUR)


def test_a_retry_of_what_waits_goes_to_the_front_and_is_no_duplicate() -> None:
    retried = ordered(order(Verb.RETRY), present(Dispatch.SCHEDULED))
    assert retried.settled is not None
    assert (retried.settled.state, retried.settled.wait) == (Dispatch.QUEUED, timedelta())
    assert (retried.origin, retried.possible_duplicate) == (Origin.INSISTED, False)


def test_a_retry_under_a_key_that_has_gone_must_be_ordered_in_so_many_words() -> None:
    gone = present(policy=Policy.KEYED, key_age=24 * HOUR)
    told = declined(order(Verb.RETRY, even_if_twice=False), gone)
    assert "even_if_twice=True" in told
    assert "1 day, 0:00:00" in told
    ordered(order(Verb.RETRY, even_if_twice=False), present(policy=Policy.KEYED, key_age=HOUR))
    ordered(order(Verb.RETRY, even_if_twice=False), present(policy=Policy.AT_MOST_ONCE, key_age=24 * HOUR))
    foreign = declined(order(Verb.RETRY, even_if_twice=False), present(policy=Policy.KEYED), Keeps())
    assert "not part of this application" in foreign


@pytest.mark.parametrize(("fact", "text"), [("is_late", "its time ran out"), ("is_erased", "erased")])
def test_an_attempt_that_could_not_be_made_is_not_ordered(fact: str, text: str) -> None:
    facts: dict[str, Any] = {fact: True}
    assert text in declined(order(Verb.RETRY), present(**facts))


@pytest.mark.parametrize("verb", [Verb.RETRY, Verb.RELEASE])
def test_nothing_of_a_paused_tenant_is_let_go(verb: Verb) -> None:
    assert "(unpaid)" in declined(order(verb), present(Dispatch.HELD, paused="unpaid"))


def test_an_unknown_effect_is_sent_again_only_in_so_many_words_and_when_nothing_comes_by_itself() -> None:
    assert "even_if_twice=True" in declined(order(Verb.RESEND, even_if_twice=False), present())
    assert "by itself" in declined(order(Verb.RESEND), present(has_next_step=True))
    resent = ordered(order(Verb.RESEND), present())
    assert (resent.generation, resent.possible_duplicate, resent.settled) == (1, True, None)


def test_what_was_erased_cannot_be_sent_again() -> None:
    assert "erased" in declined(order(Verb.RESEND), present(Dispatch.FAILED, is_erased=True))


@pytest.mark.parametrize(
    ("asked", "made", "is_repeat"), [(None, 3, False), (3, 3, False), (2, 2, True), (1, 1, True), (4, None, False)]
)
def test_each_generation_of_a_resend_is_made_once(asked: int | None, made: int | None, is_repeat: bool) -> None:
    failed = present(Dispatch.FAILED, resends=2)
    if made is None:
        assert "the next generation is 3" in declined(order(Verb.RESEND, generation=asked), failed)
    else:
        resent = ordered(order(Verb.RESEND, generation=asked), failed)
        assert (resent.generation, resent.is_repeat) == (made, is_repeat)


def test_a_cancelled_effect_has_no_next_step_and_a_released_one_has_it_now() -> None:
    cancelled = ordered(order(Verb.CANCEL), present(Dispatch.HELD)).settled
    released = ordered(order(Verb.RELEASE), present(Dispatch.HELD)).settled
    assert cancelled is not None
    assert released is not None
    assert (cancelled.wait, released.wait) == (None, timedelta())


def test_what_a_receipt_says_was_taken_is_settled_and_goes_out_again_only_in_so_many_words() -> None:
    reported = present(Dispatch.HELD, was_reported=True)
    settled = ordered(order(Verb.SETTLE), reported)
    assert settled.settled is not None
    assert settled.settled.state is Dispatch.ACCEPTED
    assert declined(order(Verb.SETTLE, verdict=Verdict.NOT_SENT), reported) == "is held: cancel closes it as not sent."
    assert "even_if_twice=True" in declined(order(Verb.RELEASE, even_if_twice=False), reported)
    assert "even_if_twice=True" in declined(order(Verb.RETRY, even_if_twice=False), reported)
    retried = ordered(order(Verb.RETRY, even_if_twice=True), reported)
    assert (retried.origin, retried.settled and retried.settled.state) == (Origin.INSISTED, Dispatch.QUEUED)
