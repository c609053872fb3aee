"""Checks of what a gateway declares in `keeps`: an idempotency key, a look-up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from duly.ports.gateway import Call, Found, Gateway, LooksUp, LookUpAnswer, NotThere, TakesReceipts, Unclear
from duly.states.attempt import Accepted
from duly.testing.gateway_exam.answers import HttpAnswers
from duly.testing.gateway_exam.candidate import EFFECT_ID, attempts
from duly.testing.gateway_exam.check import Check, Sitting
from duly.testing.gateway_exam.http_moods import TAKES_AND_ANSWERS_503
from duly.testing.gateway_exam.http_provider import HttpProvider
from duly.testing.gateway_exam.moods import DROPS_UNTAKEN, TAKES, TAKES_AND_DROPS, TAKES_AND_HANGS, Mood
from duly.testing.gateway_exam.observing import MARGIN_S, bounded_call, seated

_KEY_RULE = "keyed: after an unknown outcome the same key and the same bytes are sent again, and taken once."
_LOOK_UP_RULE = "reconcile: an unknown outcome is looked up by our reference: found, not there, or unclear."


def keeping_checks(sitting: Sitting) -> Iterator[Check]:
    """Only what is declared is examined; that it can be examined is examined always."""
    keeps = sitting.candidate.make(sitting.candidate.seat_nowhere()).keeps
    yield Check(
        sentence="it has what it declares in keeps",
        rule="The start refuses what is declared and not there; what is there and not declared is not used.",
        sitting=sitting,
        find_faults=_undeclared,
    )
    if keeps.key is not None or keeps.receiver_deduplicates:
        yield Check(
            sentence="a repeat under the same key is taken once and accepted under one id",
            rule=_KEY_RULE,
            sitting=sitting,
            find_faults=_taken_twice,
        )
        yield Check(
            sentence="every attempt at an effect has one key, and another effect has another",
            rule="Call.key is the same in every attempt; it is never minted in the attempt.",
            sitting=sitting,
            find_faults=_keys_differ,
        )
    if keeps.key is not None:
        yield Check(
            sentence="it counts on a key no longer than the provider remembers it",
            rule="Beyond the key's lifetime a repeat is a second effect.",
            sitting=sitting,
            find_faults=_key_outlived,
        )
    if keeps.look_up is not None:
        yield Check(
            sentence="a look-up finds what was taken, under the provider's id",
            rule=_LOOK_UP_RULE,
            sitting=sitting,
            find_faults=_not_found,
        )
        yield Check(
            sentence="a look-up of what was not taken says that it is not there",
            rule=_LOOK_UP_RULE,
            sitting=sitting,
            find_faults=_found_nevertheless,
        )
        yield Check(
            sentence="a look-up that is not answered clearly is unclear",
            rule=_LOOK_UP_RULE + " *Not there* leads to another attempt: say it only when the provider does.",
            sitting=sitting,
            find_faults=_clear_nevertheless,
        )


async def _undeclared(sitting: Sitting) -> list[str]:
    candidate = sitting.candidate
    gateway = candidate.make(candidate.seat_nowhere())
    keeps = gateway.keeps
    knows_keys = isinstance(candidate.answers, HttpAnswers) and candidate.answers.key_header is not None
    faults = []
    if (keeps.key is not None or keeps.receiver_deduplicates) and not knows_keys:
        faults.append("keeps says that a repeat is known, and the candidate's answers name no key_header")
    if keeps.look_up is not None and not isinstance(gateway, LooksUp):
        faults.append("keeps.look_up is declared, and there is no method look_up")
    elif keeps.look_up is not None and not (isinstance(candidate.answers, HttpAnswers) and candidate.answers.look_up):
        faults.append("keeps.look_up is declared, and the candidate's answers have no look_up")
    if keeps.receipts is not None and not isinstance(gateway, TakesReceipts):
        faults.append("keeps.receipts is declared, and there is no method receipts")
    elif keeps.receipts is not None and candidate.receipts is None:
        faults.append("keeps.receipts is declared, and the candidate has no receipts=ReceiptSender(…)")
    return faults


async def _taken_twice(sitting: Sitting) -> list[str]:
    faults = []
    async with seated(sitting.candidate, TAKES_AND_DROPS) as (gateway, provider):
        ended = []
        moods = (TAKES_AND_DROPS, TAKES_AND_ANSWERS_503, TAKES, TAKES)
        for provider.mood, call in zip(moods, attempts(sitting.candidate.call(gateway), 4), strict=True):
            ended.append(await bounded_call(gateway, call))
        ended = ended[2:]
    if len(provider.tally.taken) != 1:
        faults.append(f"four attempts at one effect were taken {len(provider.tally.taken)} times")
    ids = {one.outcome.provider_id for one in ended if isinstance(one.outcome, Accepted)}
    if len(ids) != 1 or not all(isinstance(one.outcome, Accepted) for one in ended):
        faults.append(f"the repeats say {[one.outcome for one in ended]}")
    return faults


async def _keys_differ(sitting: Sitting) -> list[str]:
    other = f"{EFFECT_ID[:-2]}99"
    async with seated(sitting.candidate, DROPS_UNTAKEN) as (gateway, provider):
        for call in attempts(sitting.candidate.call(gateway), 3):
            await bounded_call(gateway, call)
        await bounded_call(gateway, sitting.candidate.call(gateway, effect_id=other))
    *keys, others = [seen.key for seen in provider.tally.seen]
    faults = []
    if None in keys or len(set(keys)) != 1:
        faults.append(f"the keys of three attempts at one effect: {keys}")
    if others in keys:
        faults.append(f"another effect has the same key: {others}")
    return faults


async def _key_outlived(sitting: Sitting) -> list[str]:
    key = sitting.candidate.make(sitting.candidate.seat_nowhere()).keeps.key
    documented = sitting.candidate.key_lifetime
    if documented is None:
        return ["the candidate has no key_lifetime: say how long the provider's documentation promises"]
    if key is not None and key.lifetime > documented:
        return [f"keeps.key.lifetime is {key.lifetime}; the provider promises {documented}"]
    return []


async def _ask(gateway: Gateway, call: Call, *, confirming: bool = False) -> LookUpAnswer:
    """Look up; what is raised or takes too long is unclear: so the sender sees it."""
    assert isinstance(gateway, LooksUp)
    try:
        async with asyncio.timeout(gateway.call_timeout.total_seconds() + MARGIN_S):
            return await gateway.look_up(call, confirming=confirming)
    except Exception as error:
        return Unclear(evidence=f"raised {type(error).__name__}")


async def _not_found(sitting: Sitting) -> list[str]:
    async with seated(sitting.candidate, TAKES_AND_DROPS) as (gateway, provider):
        call = sitting.candidate.call(gateway)
        await bounded_call(gateway, call)
        answers = [await _ask(gateway, call, confirming=confirming) for confirming in (False, True)]
    shown = sitting.candidate.answers
    faults = [f"it was taken, and the look-up says {one}" for one in answers if not isinstance(one, Found)]
    if isinstance(shown, HttpAnswers):
        known = shown.taken(1).decode(errors="replace")
        faults += [
            f"the provider's id is none of its answer: {one.provider_id!r}"
            for one in answers
            if isinstance(one, Found) and one.provider_id not in known
        ]
    if len(provider.tally.taken) > 1:
        faults.append("the look-up was taken as another message")
    return faults


async def _found_nevertheless(sitting: Sitting) -> list[str]:
    async with seated(sitting.candidate, DROPS_UNTAKEN) as (gateway, _):
        call = sitting.candidate.call(gateway)
        await bounded_call(gateway, call)
        answers = [await _ask(gateway, call, confirming=confirming) for confirming in (False, True)]
    return [f"it was not taken, and the look-up says {one}" for one in answers if not isinstance(one, NotThere)]


async def _clear_nevertheless(sitting: Sitting) -> list[str]:
    moods = [DROPS_UNTAKEN, TAKES_AND_HANGS, *(_status(status) for status in (401, 403, 429, 500, 503))]
    faults = []
    for mood in moods:
        async with seated(sitting.candidate, TAKES_AND_HANGS) as (gateway, provider):
            assert isinstance(provider, HttpProvider)
            provider.look_up_mood = mood
            answer = await _ask(gateway, sitting.candidate.call(gateway))
            if not isinstance(answer, Unclear):
                faults.append(f"the provider {mood.name}, and the look-up says {answer}")
    return faults


def _status(status: int) -> Mood:
    return Mood(name=f"answers {status}", status=status, rule=TAKES.rule, verdicts=())
