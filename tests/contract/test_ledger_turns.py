"""Whose turn it is, on every keeper: nobody's effects hide another's, and what is told twice is told apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from duly.messages.outcomes import EffectHeld
from duly.ports.ledger import BreakerMove, Claim, Turn, Turned
from duly.states.allowance import Rate
from duly.states.effect import Dispatch
from duly.states.policy import Keeps
from duly.stores.claim_standing import TENANTS_PER_TURN_MAX
from duly.testing.store_exam import (
    GATEWAY,
    LEASE,
    TERMS,
    ExaminedStore,
    change,
    claim,
    due_rows,
    end_attempts,
    ended,
    intent,
)

HOUR_MS = 3_600_000
SECOND = timedelta(seconds=1)


async def requested(store: ExaminedStore, tenant: str, count: int = 1, **parts: Any) -> list[str]:
    """Request effects of *tenant*; their ids."""
    intents = tuple(intent(**parts) for _ in range(count))
    await store.commit(change(tenant=tenant, intents=intents))
    return [one.id for one in intents]


async def taken(store: ExaminedStore, slots: int, after_tenant: str = "", keeps: Keeps | None = None) -> Turned:
    """One claim."""
    terms = TERMS if keeps is None else msgspec.structs.replace(TERMS, keeps=keeps)
    asked = Claim(
        gateway=GATEWAY,
        slots=slots,
        owner="sender",
        token=uuid4().hex,
        lease=LEASE,
        terms=terms,
        after_tenant=after_tenant,
    )
    return await store.turn(Turn(claim=asked))


def tenants(turned: Turned) -> list[str]:
    """Whose effects were claimed."""
    return [one.tenant for one in turned.claimed]


@pytest.mark.parametrize("urgent", [True, False])
async def test_effects_of_tomorrow_hide_nobody_elses_that_are_due(store: ExaminedStore, urgent: bool) -> None:
    for tenant in ("acme", "beta"):
        await requested(store, tenant, urgent=urgent, after_ms=HOUR_MS)
    await requested(store, "zeta", urgent=urgent)
    assert tenants(await taken(store, 2)) == ["zeta"]


async def test_of_urgent_effects_those_that_wait_longest_go_first(store: ExaminedStore) -> None:
    await requested(store, "zeta", urgent=True)
    for tenant in ("acme", "beta"):
        store.shift_clock(1_000)  # two in one millisecond have waited equally long
        await requested(store, tenant, 5, urgent=True)
    assert tenants(await taken(store, 2)) == ["zeta", "acme"]


async def test_tenants_with_nothing_due_are_gone_through_once_and_then_no_more(store: ExaminedStore) -> None:
    for number in range(TENANTS_PER_TURN_MAX + 1):
        await requested(store, f"tenant-{number:03}", after_ms=HOUR_MS)
    first = await taken(store, 5)
    assert (first.claimed, first.has_more, first.tenant) == ((), True, f"tenant-{TENANTS_PER_TURN_MAX - 1:03}")
    second = await taken(store, 5, first.tenant)
    assert (second.claimed, second.has_more, second.tenant) == ((), False, "")


async def test_at_an_accounts_rate_every_tenant_has_its_turn(store: ExaminedStore) -> None:
    for tenant in ("acme", "beta", "zeta"):
        await requested(store, tenant, 3)
    keeps = Keeps(rate=Rate(calls=1, per=SECOND))
    order: list[str] = []
    after = ""
    for _ in range(6):
        turned = await taken(store, 10, after, keeps)
        order += tenants(turned)
        after = turned.tenant
        store.shift_clock(1_001)
    assert order == ["acme", "beta", "zeta"] * 2


async def test_a_tenant_whose_slot_went_to_an_urgent_effect_is_next(store: ExaminedStore) -> None:
    for tenant in ("acme", "beta", "zeta"):
        await requested(store, tenant)
    order: list[str] = []
    after = ""
    for _ in range(3):
        await requested(store, "alarms", 2, urgent=True)
        turned = await taken(store, 3, after)
        order += [tenant for tenant in tenants(turned) if tenant != "alarms"]
        after = turned.tenant
    assert order == ["acme", "beta", "zeta"]


async def test_the_end_of_a_stale_attempt_and_that_of_the_next_one_are_told_apart_in_one_turn(
    store: ExaminedStore,
) -> None:
    (effect_id,) = await requested(store, "acme")
    (first,) = await claim(store)
    await end_attempts(store, [ended(first, Dispatch.QUEUED, outcome="not sent", wait=timedelta())])
    (second,) = await claim(store)
    stale = ended(first, Dispatch.ACCEPTED, provider_id="SM1")
    told = [stale, ended(second, Dispatch.QUEUED, outcome="not sent", wait=timedelta(hours=1))]
    assert await end_attempts(store, told) == [False, True]
    view = await store.effect("acme", effect_id)
    assert view is not None
    assert (view.state, [attempt.outcome for attempt in view.attempts]) == (Dispatch.QUEUED, ["not sent", "not sent"])


async def test_somebody_is_off_the_channel_that_the_effect_was_requested_for(store: ExaminedStore) -> None:
    """Also when the gateway has been given another one since, and others are due there, too."""
    await store.suppress("acme", "text", "h1", reason="opted out", source="ann")
    await requested(store, "acme", channel="sms")
    (barred,) = await requested(store, "acme", channel="text")
    assert len(await claim(store)) == 1
    view = await store.effect("acme", barred)
    assert view is not None
    assert (view.state, view.reason) == (Dispatch.SUPPRESSED, "opted out")


def away(places: Sequence[str], open_for: timedelta | None) -> Turn:
    """A turn in which breakers open or close."""
    return Turn(
        breakers=tuple(
            BreakerMove(gateway=GATEWAY, destination=place, open_for=open_for, reason="HTTP 401") for place in places
        )
    )


async def test_subscribers_hear_that_an_account_which_is_away_holds_an_effect_and_hear_it_once(
    store: ExaminedStore,
) -> None:
    store.outcomes_heard_by({(EffectHeld.__duly__.name, "duly.sms"): (1,)})
    await requested(store, "acme", 3)
    await store.turn(away([""], 10 * SECOND))
    for _ in range(2):
        assert await claim(store) == []
        store.shift_clock(5_000)
    assert [due.envelope.name for due in await due_rows(store)] == [EffectHeld.__duly__.name] * 3


async def test_only_whoever_asks_whether_it_is_back_closes_a_breaker(store: ExaminedStore) -> None:
    await requested(store, "acme", 2)
    await store.turn(away([""], SECOND))
    await store.turn(away([""], None))  # by one whose call began before it opened
    assert len(await store.breakers()) == 1
    assert await claim(store) == []
    store.shift_clock(1_001)
    (probe,) = await claim(store)
    assert probe.is_probe
    assert await claim(store) == []
    await store.turn(away([""], None))
    assert await store.breakers() == []
    assert len(await claim(store)) == 1


async def test_a_breaker_that_nobody_asks_through_any_more_is_forgotten(store: ExaminedStore) -> None:
    await store.turn(away(["", "acme/gone.example"], SECOND))
    store.shift_clock(23 * HOUR_MS)
    await store.expire()
    assert len(await store.breakers()) == 2
    store.shift_clock(2 * HOUR_MS)
    await store.expire()
    assert await store.breakers() == []
