"""The exam of every keeper: effects, their attempts, and what a tenant sees of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import pytest

from duly.ports.change import Done
from duly.ports.ledger_view import EffectView
from duly.states.attempt import Origin
from duly.states.effect import Dispatch, Step
from duly.states.policy import Policy
from duly.testing.store_exam import (
    GATEWAY,
    LEASE,
    TENANT,
    Candidate,
    ExaminedStore,
    change,
    claim,
    end_attempts,
    ended,
    intent,
    lose_attempts,
)

LEASE_MILLISECONDS = int(LEASE.total_seconds() * 1_000)
SECOND = timedelta(seconds=1)


async def requested(store: ExaminedStore, number: int = 1, **parts: str) -> list[str]:
    """Request effects, each in a commit of its own; their ids."""
    intents = [intent(**parts) for _ in range(number)]
    for one in intents:
        assert await store.commit(change(intents=(one,))) == Done()
    return [one.id for one in intents]


async def seen(store: ExaminedStore, effect_id: str) -> EffectView:
    """An effect as its tenant sees it."""
    view = await store.effect(TENANT, effect_id)
    assert view is not None
    return view


# Requesting.


async def test_an_intent_is_seen_by_its_tenant_with_every_field(store: ExaminedStore) -> None:
    one = intent(trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    await store.commit(change(intents=(one,)))
    view = await seen(store, one.id)
    assert view == EffectView(
        id=one.id,
        tenant=TENANT,
        type="duly.sms",
        channel="sms",
        gateway=GATEWAY,
        policy=Policy.AT_MOST_ONCE,
        recipient="+491",
        summary="We have",
        state=Dispatch.REQUESTED,
        reason="",
        provider_id=None,
        handler="shop.text_customer",
        chain=one.chain,
        requested_at=view.requested_at,
        changed_at=view.requested_at,
        next_step=Step.ATTEMPT,
        next_step_at=view.requested_at,
        next_attempt_at=view.requested_at,
        attempts=(),
    )


async def test_the_same_intent_again_is_the_same_effect(store: ExaminedStore, candidate: Candidate) -> None:
    one = intent()
    await store.commit(change(intents=(one,)))
    counts = await candidate.row_counts(store)
    assert await store.commit(change(intents=(one, one))) == Done()
    assert await candidate.row_counts(store) == counts


async def test_the_same_intent_with_another_body_is_an_anomaly_and_the_first_stands(store: ExaminedStore) -> None:
    one = intent()
    other = msgspec.structs.replace(one, digest="e2")
    await store.commit(change(intents=(one,)))
    assert await store.commit(change(intents=(other,))) == Done()
    (anomaly,) = await store.anomalies(TENANT, 10)
    assert (anomaly.tenant, anomaly.about) == (TENANT, one.id)
    assert anomaly.kind == "effect requested again with another body"
    assert anomaly.detail == (
        "shop.text_customer requested duly.sms again, with digest e2; the first request, e1, stands."
    )
    assert await store.anomalies("other", 10) == []
    (claimed,) = await claim(store)
    assert claimed.prepared == one.prepared


async def test_of_two_bodies_for_one_effect_in_one_change_the_first_stands(store: ExaminedStore) -> None:
    one = intent()
    others = [
        msgspec.structs.replace(
            one, digest=f"e{number}", prepared=msgspec.structs.replace(one.prepared, body=str(number).encode())
        )
        for number in range(2, 12)
    ]
    await store.commit(change(intents=(one, *others, intent())))
    assert len(await store.anomalies(TENANT, 100)) == 10
    assert (await claim(store))[0].prepared == one.prepared


# Claiming.


async def test_a_claim_commits_the_attempt_and_hands_out_the_frozen_request(store: ExaminedStore) -> None:
    one = intent(trace="00-trace")
    await store.commit(change(intents=(one,)))
    (claimed,) = await claim(store)
    view = await seen(store, one.id)
    assert (claimed.effect_id, claimed.tenant, claimed.type, claimed.gateway) == (one.id, TENANT, "duly.sms", GATEWAY)
    assert (claimed.key, claimed.number, claimed.counted, claimed.trace) == (one.key, 1, 1, "00-trace")
    assert claimed.prepared == one.prepared
    assert claimed.requested_at == view.requested_at
    assert view.state is Dispatch.ATTEMPTING
    (attempt,) = view.attempts
    assert (attempt.number, attempt.origin, attempt.ended_at, attempt.outcome) == (1, Origin.SCHEDULED, None, None)


async def test_a_claim_takes_the_oldest_and_never_more_than_there_are_slots(store: ExaminedStore) -> None:
    ids = await requested(store, 5)
    assert [claimed.effect_id for claimed in await claim(store, 3)] == ids[:3]
    assert [claimed.effect_id for claimed in await claim(store, 3)] == ids[3:]
    assert await claim(store, 3) == []


async def test_each_gateway_claims_its_own(store: ExaminedStore) -> None:
    (sms,) = await requested(store)
    (mail,) = await requested(store, gateway="mail")
    assert sorted(await store.due_gateways()) == ["mail", "sms"]
    assert [claimed.effect_id for claimed in await claim(store)] == [sms]
    assert await store.due_gateways() == ["mail"]
    found = await claim(store, gateway="mail")
    assert [claimed.effect_id for claimed in found] == [mail]


@pytest.mark.parametrize("candidate", ["sqlite", "postgres"], indirect=True)
async def test_two_senders_at_once_claim_nothing_twice(store: ExaminedStore, second: ExaminedStore) -> None:
    ids = await requested(store, 60)

    async def send(keeper: ExaminedStore, owner: str) -> list[str]:
        found: list[str] = []
        while claimed := await claim(keeper, 3, owner=owner):
            found += [one.effect_id for one in claimed]
        return found

    one, two = await asyncio.gather(send(store, "one"), send(second, "two"))
    assert sorted(one + two) == sorted(ids)
    views = await store.effects(TENANT, state=None, channel=None, after=None, rows_max=100)
    assert [len(view.attempts) for view in views] == [1] * 60


async def test_a_suppressed_effect_is_closed_with_a_reason(store: ExaminedStore) -> None:
    ids = await requested(store, 3)
    (held,) = await claim(store, 1)
    await end_attempts(store, [ended(held, Dispatch.HELD, reason="no credit", wait=10 * SECOND, counts=False)])
    assert await claim(store, barred="not live") == []
    assert [(await seen(store, one)).state for one in ids] == [Dispatch.HELD] + [Dispatch.SUPPRESSED] * 2
    assert (await seen(store, ids[1])).reason == "not live"
    assert await claim(store) == []
    assert await store.unsettled(SECOND) == 0


# Ends of attempts.


async def test_an_accepted_effect_has_its_providers_id(store: ExaminedStore) -> None:
    (effect_id,) = await requested(store)
    (claimed,) = await claim(store)
    assert await store.unsettled(SECOND) == 1
    assert await end_attempts(store, [ended(claimed, Dispatch.ACCEPTED, provider_id="SM1", evidence="201")]) == [True]
    view = await seen(store, effect_id)
    assert (view.state, view.provider_id, view.next_attempt_at) == (Dispatch.ACCEPTED, "SM1", None)
    (attempt,) = view.attempts
    assert (attempt.outcome, attempt.evidence, attempt.provider_id) == ("accepted", "201", "SM1")
    assert attempt.ended_at is not None
    assert view.requested_at <= attempt.started_at <= attempt.ended_at <= view.changed_at
    assert await store.unsettled(SECOND) == 0


async def test_a_queued_effect_is_due_again_at_its_time(store: ExaminedStore) -> None:
    (effect_id,) = await requested(store)
    (claimed,) = await claim(store)
    await end_attempts(store, [ended(claimed, Dispatch.QUEUED, outcome="not sent", reason="busy", wait=5 * SECOND)])
    view = await seen(store, effect_id)
    assert (view.state, view.reason) == (Dispatch.QUEUED, "busy")
    # The database reads its clock twice in that statement.
    assert view.next_attempt_at is not None
    assert abs(view.next_attempt_at - view.changed_at - 5 * SECOND) < SECOND
    assert (await claim(store), await store.due_gateways()) == ([], [])
    assert (await store.unsettled(4 * SECOND), await store.unsettled(6 * SECOND)) == (0, 1)
    store.shift_clock(5_001)
    (again,) = await claim(store)
    assert (again.effect_id, again.number, again.counted) == (effect_id, 2, 2)
    assert again.token != claimed.token


async def test_an_attempt_that_does_not_count_is_numbered_but_not_counted(store: ExaminedStore) -> None:
    await requested(store)
    (claimed,) = await claim(store)
    await end_attempts(store, [ended(claimed, Dispatch.HELD, reason="no credit", wait=SECOND, counts=False)])
    store.shift_clock(1_001)
    (again,) = await claim(store)
    assert (again.number, again.counted) == (2, 1)


async def test_an_attempt_whose_lease_ran_out_becomes_unknown(store: ExaminedStore) -> None:
    ids = await requested(store, 2)
    await claim(store, 1)
    assert (await store.has_lost_attempts(), await lose_attempts(store, "lost")) == (False, [])
    store.shift_clock(LEASE_MILLISECONDS + 1)
    assert await store.has_lost_attempts() is True
    assert await lose_attempts(store, "its worker fell silent") == ids[:1]
    assert await lose_attempts(store, "its worker fell silent") == []
    view = await seen(store, ids[0])
    assert (view.state, view.reason) == (Dispatch.UNKNOWN, "its worker fell silent")
    assert [(one.outcome, one.evidence) for one in view.attempts] == [("unknown", "its worker fell silent")]
    assert [claimed.effect_id for claimed in await claim(store)] == ids[1:]


async def test_an_outcome_that_comes_too_late_is_kept_as_evidence_only(store: ExaminedStore) -> None:
    (effect_id,) = await requested(store)
    (claimed,) = await claim(store)
    store.shift_clock(LEASE_MILLISECONDS + 1)
    await lose_attempts(store, "silent")
    late = ended(claimed, Dispatch.ACCEPTED, provider_id="SM1", evidence="201 Created")
    assert await end_attempts(store, [late]) == [False]
    view = await seen(store, effect_id)
    assert (view.state, view.provider_id) == (Dispatch.UNKNOWN, None)
    (attempt,) = view.attempts
    assert (attempt.outcome, attempt.provider_id) == ("unknown", "SM1")
    assert "201 Created" in attempt.evidence
    assert "silent" in attempt.evidence


async def test_an_outcome_of_somebody_elses_attempt_changes_nothing(store: ExaminedStore) -> None:
    (effect_id,) = await requested(store)
    (claimed,) = await claim(store)
    forged = msgspec.structs.replace(claimed, token="forged")
    before = await seen(store, effect_id)
    assert await end_attempts(store, [ended(forged, Dispatch.FAILED)]) == [False]
    assert await seen(store, effect_id) == before


async def test_an_outcome_written_again_is_not_late(store: ExaminedStore) -> None:
    (effect_id,) = await requested(store)
    (claimed,) = await claim(store)
    end = ended(claimed, Dispatch.ACCEPTED, provider_id="SM1", evidence="201")
    assert await end_attempts(store, [end]) == [True]
    before = await seen(store, effect_id)
    assert await end_attempts(store, [end]) == [True]
    assert await seen(store, effect_id) == before


async def test_outcomes_written_together_are_told_apart(store: ExaminedStore) -> None:
    ids = await requested(store, 3)
    claimed = await claim(store)
    late = msgspec.structs.replace(claimed[1], token="another")
    outcomes = [
        ended(claimed[2], Dispatch.FAILED, reason="refused"),
        ended(late, Dispatch.ACCEPTED),
        ended(claimed[0], Dispatch.ACCEPTED, provider_id="SM0"),
    ]
    assert await end_attempts(store, outcomes) == [True, False, True]
    states = [(await seen(store, effect_id)).state for effect_id in ids]
    assert states == [Dispatch.ACCEPTED, Dispatch.ATTEMPTING, Dispatch.FAILED]


@pytest.mark.parametrize("words", ["with NUL \0 in it", "half a \ud83d pair"])
async def test_evidence_is_kept_also_when_its_words_cannot_be(store: ExaminedStore, words: str) -> None:
    (effect_id,) = await requested(store)
    (claimed,) = await claim(store)
    end = ended(claimed, Dispatch.FAILED, reason=words, evidence=words, provider_id=words)
    assert await end_attempts(store, [end]) == [True]
    view = await seen(store, effect_id)
    assert (view.reason[:5], view.attempts[0].evidence[:5]) == (words[:5], words[:5])


# What a tenant sees.


async def test_a_tenant_pages_through_its_effects_from_the_latest_on(store: ExaminedStore) -> None:
    ids = await requested(store, 5)
    await store.commit(change(tenant="other", intents=(intent(),)))

    async def page(after: str | None, tenant: str = TENANT) -> list[str]:
        return [one.id for one in await store.effects(tenant, state=None, channel=None, after=after, rows_max=2)]

    assert await page(None) == [ids[4], ids[3]]
    assert await page(ids[3]) == [ids[2], ids[1]]
    assert await page(ids[1]) == [ids[0]]
    assert await page(ids[0]) == []
    assert await page("no such effect") == []
    assert await page(ids[3], "other") == []


async def test_effects_of_one_change_are_paged_in_the_order_of_their_requests(store: ExaminedStore) -> None:
    intents = tuple(intent() for _ in range(10))
    await store.commit(change(intents=intents))
    found = await store.effects(TENANT, state=None, channel=None, after=None, rows_max=10)
    assert [one.id for one in reversed(found)] == [one.id for one in intents]


async def test_effects_are_filtered_by_state_and_channel(store: ExaminedStore) -> None:
    sms = await requested(store, 2)
    (mail,) = await requested(store, channel="email", gateway="mail")
    await claim(store, 1)

    async def found(state: Dispatch | None, channel: str | None) -> list[str]:
        return [one.id for one in await store.effects(TENANT, state=state, channel=channel, after=None, rows_max=9)]

    assert await found(None, "email") == [mail]
    assert await found(Dispatch.ATTEMPTING, None) == sms[:1]
    assert await found(Dispatch.REQUESTED, "sms") == sms[1:]
    assert await found(Dispatch.REQUESTED, None) == [mail, sms[1]]
    assert await found(Dispatch.FAILED, None) == []


async def test_a_foreign_tenant_sees_nothing(store: ExaminedStore) -> None:
    (effect_id,) = await requested(store)
    one = intent(effect_id)
    await store.commit(change(intents=(msgspec.structs.replace(one, digest="other"),)))
    assert await store.effect("other", effect_id) is None
    assert await store.effects("other", state=None, channel=None, after=None, rows_max=9) == []
    assert await store.anomalies("other", 9) == []
    assert await store.effect(TENANT, "no-such-id") is None


async def test_every_attempt_is_shown_with_its_number(store: ExaminedStore) -> None:
    (effect_id,) = await requested(store)
    for number in range(1, 4):
        (claimed,) = await claim(store, owner=f"sender-{number}")
        await end_attempts(store, [ended(claimed, Dispatch.QUEUED, outcome="not sent", wait=SECOND)])
        store.shift_clock(1_001)
    view = await seen(store, effect_id)
    assert [(one.number, one.outcome) for one in view.attempts] == [(number, "not sent") for number in range(1, 4)]
