"""Checks of one call: what it says, how often it asks, how long it takes, what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from duly.states.attempt import NotSent
from duly.testing.gateway_exam.check import Check, FindFaults, Sitting
from duly.testing.gateway_exam.http_moods import FLOODS
from duly.testing.gateway_exam.law import verdict
from duly.testing.gateway_exam.moods import Mood
from duly.testing.gateway_exam.observing import MARGIN_S, Observation


def outcome_checks(sitting: Sitting) -> Iterator[Check]:
    """A check per mood, then those that look at all moods."""
    for mood in sitting.candidate.moods:
        verdicts, why = sitting.candidate.verdicts_in(mood)
        right = " or ".join(one.value for one in verdicts)
        yield Check(
            sentence=f"when the provider {mood.name}, the outcome is {right}",
            rule=why,
            sitting=sitting,
            find_faults=_outcome_in(mood),
        )
    yield Check(
        sentence="one call is one request at most, whatever the provider does",
        rule="A gateway never repeats a call by itself: the ledger knows of one attempt. Switch off every retry of the "
        "provider's own library.",
        sitting=sitting,
        find_faults=_repeated,
    )
    yield Check(
        sentence="a call ends within its call_timeout, even if the provider never does",
        rule="call_timeout is the longest that one call can take; the lease of the attempt is made from it. Set a "
        "limit for the whole call: a limit per read never runs out while bytes trickle in.",
        sitting=sitting,
        find_faults=_endless,
    )
    if any(mood.is_redirect for mood in sitting.candidate.moods):
        yield Check(
            sentence="a redirect is not followed",
            rule="Who is redirected hands recipient, text and credentials to whoever the answer names.",
            sitting=sitting,
            find_faults=_followed,
        )
    if FLOODS in sitting.candidate.moods:
        yield Check(
            sentence="an answer of many megabytes is not read to its end",
            rule="Everything has a limit: whoever answers for the provider must not fill the worker's memory. Stop at "
            "some ten kilobytes.",
            sitting=sitting,
            find_faults=_drowned,
        )
    yield Check(
        sentence="no secret, recipient or text is in outcomes, errors, logs or the gateway's own form",
        rule="The tenant reads reasons and evidence, and they stay when a person is erased. Name statuses, codes and "
        "types of errors; never repeat what the provider says, or the text of an error.",
        sitting=sitting,
        find_faults=_shown,
    )


def _outcome_in(mood: Mood) -> FindFaults:
    async def find(sitting: Sitting) -> list[str]:
        observed = await sitting.observe(mood)
        verdicts, _ = sitting.candidate.verdicts_in(mood)
        outcome = observed.ended.outcome
        if not observed.is_reached:
            return []
        if verdict(outcome) not in verdicts:
            return [f"{verdict(outcome).value}: {outcome}"]
        return list(_wait_faults(mood, observed))

    return find


def _wait_faults(mood: Mood, observed: Observation) -> Iterator[str]:
    outcome = observed.ended.outcome
    if not isinstance(outcome, NotSent):
        return
    wait = outcome.retry_after
    if mood.wait is not None:
        least, most = (timedelta(seconds=seconds) for seconds in mood.wait)
        if wait is None or not least <= wait <= most:
            yield f"retry_after is {wait}; the provider asked for {least} to {most}"
    elif wait is not None and wait < timedelta():
        yield f"retry_after is {wait}, before the call"


async def _repeated(sitting: Sitting) -> list[str]:
    return [
        f"{observed.requests} requests in one call when the provider {observed.mood.name}"
        for observed in await sitting.observe_all()
        if observed.requests > 1
    ]


async def _endless(sitting: Sitting) -> list[str]:
    return [
        f"no outcome {MARGIN_S:g} s after call_timeout when the provider {observed.mood.name}"
        for observed in await sitting.observe_all()
        if observed.ended.is_late
    ]


async def _followed(sitting: Sitting) -> list[str]:
    return [
        f"{observed.target_hits} requests to the other place when the provider {observed.mood.name}"
        for observed in await sitting.observe_all()
        if observed.target_hits
    ]


async def _drowned(sitting: Sitting) -> list[str]:
    return ["the provider could write all of its 24 MB"] if (await sitting.observe(FLOODS)).flooded else []


async def _shown(sitting: Sitting) -> list[str]:
    return [
        f"{canary[:3]}… is shown when the provider {observed.mood.name}: {_around(observed.shown, canary)}"
        for observed in await sitting.observe_all()
        for canary in observed.canaries
        if canary.lower() in observed.shown.lower()
    ]


def _around(shown: str, canary: str) -> str:
    at = shown.lower().index(canary.lower())
    return repr(shown[max(0, at - 60) : at] + "███" + shown[at + len(canary) : at + len(canary) + 20])
