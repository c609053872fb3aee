"""The exam of every keeper: what providers report of effects."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from duly.clock import time_of
from duly.messages.outcomes import EffectAccepted, EffectDelivered, EffectEngaged, EffectHeld, EffectUndelivered
from duly.ports.change import Done
from duly.ports.gateway import Receipt
from duly.ports.ledger import LookUpEnded
from duly.ports.receipts import ReceiptsTaken
from duly.states.delivery import Delivery, Engagement
from duly.states.effect import Dispatch, Settled, Step
from duly.stores.receipt_scripts import TRIED_FOR
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

WINDOW = timedelta(days=3)
SECOND = timedelta(seconds=1)
D = Delivery

Look = Callable[[str], Awaitable[Mapping[str, object]]]


@pytest.fixture
def look(store: ExaminedStore, candidate: Candidate) -> Look:
    """Reads the row of an effect, with the number of its attempts and receipts."""

    async def read(effect_id: str) -> Mapping[str, object]:
        (row,) = await store.select(
            "SELECT state, hold, provider_id, delivery, confirm_by_ms, expires_ms, due_ms, unsettled, reported, moves "
            f"FROM {candidate.table('effect')} WHERE id = :id",
            {"id": effect_id},
        )
        return row

    return read


async def rows_of(store: ExaminedStore, candidate: Candidate, table: str, columns: str = "*") -> list[dict[str, Any]]:
    """All rows of a table."""
    return [dict(row) for row in await store.select(f"SELECT {columns} FROM {candidate.table(table)}", {})]


async def anomalies(store: ExaminedStore, tenant: str = TENANT) -> list[tuple[str, str]]:
    """Kind and subject of a tenant's anomalies, the latest first."""
    return [(found.kind, found.about) for found in await store.anomalies(tenant, 100)]


async def requested(store: ExaminedStore, **parts: Any) -> str:
    """Request an effect; its id."""
    one = intent(**parts)
    assert await store.commit(change(intents=(one,))) == Done()
    return one.id


async def attempted(store: ExaminedStore, state: Dispatch, **parts: Any) -> str:
    """An effect that was attempted once, and what came of that."""
    effect_id = await requested(store)
    (claimed,) = await claim(store)
    assert claimed.effect_id == effect_id
    assert await end_attempts(store, [ended(claimed, state, **parts)]) == [True]
    return effect_id


async def unknown(store: ExaminedStore, **parts: Any) -> str:
    """An effect of which nobody knows whether it went through."""
    return await attempted(store, Dispatch.UNKNOWN, **parts)


def receipt(dedupe: str = "r-1", **parts: Any) -> Receipt:
    """A receipt."""
    return Receipt(dedupe=dedupe, **parts)


async def take(store: ExaminedStore, *receipts: Receipt, gateway: str = GATEWAY) -> ReceiptsTaken:
    """Take receipts that came in at a gateway."""
    return await store.take_receipts(gateway, receipts, within=WINDOW)


def hear(store: ExaminedStore, *events: type) -> None:
    """Let one subscriber hear these events of texts."""
    store.outcomes_heard_by({(event.__duly__.name, "duly.sms"): (1,) for event in events})  # type: ignore[attr-defined]


async def heard(store: ExaminedStore, candidate: Candidate) -> list[tuple[str, str]]:
    """Which events were promised, and their reasons, in order."""
    rows = await store.select(
        f"SELECT m.name, m.body FROM {candidate.table('outbox')} AS o JOIN {candidate.table('message')} AS m "
        "ON m.commit_id = o.commit_id AND m.ordinal = o.ordinal ORDER BY o.id",
        {},
    )
    return [
        (str(row["name"]).removeprefix("duly.effect_"), msgspec.json.decode(str(row["body"]))["reason"]) for row in rows
    ]


# What a receipt settles.


async def test_a_receipt_that_names_its_effect_settles_an_unknown(store: ExaminedStore, look: Look) -> None:
    effect_id = await unknown(store, wait=timedelta(hours=1))
    taken = await take(store, receipt(effect_id=effect_id, provider_id="SM1", delivery=D.SENT))
    assert taken == ReceiptsTaken(new=1, applied=1)
    row = await look(effect_id)
    assert (row["state"], row["provider_id"], row["delivery"], row["unsettled"]) == ("accepted", "SM1", "sent", 0)
    # The retry that was to come is called off, and further reports are expected for a while.
    assert row["due_ms"] is None
    assert row["confirm_by_ms"] is not None


async def test_a_report_that_it_never_left_the_provider_settles_an_unknown_as_accepted_and_undelivered(
    store: ExaminedStore, candidate: Candidate, look: Look
) -> None:
    hear(store, EffectAccepted, EffectUndelivered)
    effect_id = await unknown(store)
    taken = await take(store, receipt(effect_id=effect_id, delivery=D.REJECTED))
    row = await look(effect_id)
    assert (row["state"], row["delivery"], row["confirm_by_ms"]) == ("accepted", "rejected", None)
    assert taken.has_promised
    assert await heard(store, candidate) == [("accepted", "settled by a receipt"), ("undelivered", "rejected")]


async def test_a_report_without_a_delivery_settles_an_unknown(store: ExaminedStore, look: Look) -> None:
    effect_id = await unknown(store)
    assert (await take(store, receipt(effect_id=effect_id))).applied == 1
    row = await look(effect_id)
    assert (row["state"], row["delivery"]) == ("accepted", None)


async def test_a_receipt_that_settles_an_unknown_calls_its_look_up_off(store: ExaminedStore, look: Look) -> None:
    effect_id = await unknown(store, wait=timedelta(), step=Step.LOOK_UP)
    (due,) = await store.claim_look_ups(GATEWAY, 10, token="look", lease=LEASE)
    await take(store, receipt(effect_id=effect_id, provider_id="SM1"))
    again = Settled(state=Dispatch.QUEUED, reason="it was looked up and is not there", wait=timedelta())
    ends = LookUpEnded(
        effect_id=effect_id,
        token="look",
        step=due.step,
        answer="not there",
        evidence="",
        provider_id=None,
        settled=again,
    )
    assert (await store.end_look_ups([ends])).written == (False,)
    assert (await look(effect_id))["state"] == "accepted"


async def test_a_receipt_finds_its_effect_by_the_providers_id(store: ExaminedStore, look: Look) -> None:
    effect_id = await attempted(store, Dispatch.ACCEPTED, provider_id="SM1", confirm_within=WINDOW)
    assert (await take(store, receipt(provider_id="SM1", delivery=D.SENT))).applied == 1
    assert (await look(effect_id))["confirm_by_ms"] is not None
    assert (await take(store, receipt("r-2", provider_id="SM1", delivery=D.DELIVERED))).applied == 1
    row = await look(effect_id)
    assert (row["state"], row["delivery"], row["confirm_by_ms"]) == ("accepted", "delivered", None)


async def test_a_receipt_finds_its_effect_by_what_a_stale_worker_learned(store: ExaminedStore, look: Look) -> None:
    effect_id = await requested(store)
    (claimed,) = await claim(store, lease=SECOND)
    store.shift_clock(2_000)
    assert await lose_attempts(store, "lost") == [effect_id]
    # In quarantine until the stale worker tells what it learned.
    assert (await take(store, receipt(provider_id="SM-late", delivery=D.DELIVERED))).quarantined == 1
    store.shift_clock(60_000)
    assert (await store.join_receipts()).applied == 0
    assert await end_attempts(store, [ended(claimed, Dispatch.ACCEPTED, provider_id="SM-late")]) == [False]
    assert (await look(effect_id))["provider_id"] is None
    assert (await store.join_receipts()).applied == 1
    row = await look(effect_id)
    assert (row["state"], row["provider_id"], row["delivery"]) == ("accepted", "SM-late", "delivered")


async def test_a_receipt_finds_its_effect_by_what_a_look_up_found(store: ExaminedStore, look: Look) -> None:
    effect_id = await unknown(store, wait=timedelta(), step=Step.LOOK_UP)
    assert (await take(store, receipt(provider_id="SM7", delivery=D.DELIVERED))).quarantined == 1
    store.shift_clock(3_600_000)
    assert (await store.join_receipts()).applied == 0
    (due,) = await store.claim_look_ups(GATEWAY, 10, token="look", lease=LEASE)
    ends = LookUpEnded(
        effect_id=effect_id,
        token="look",
        step=due.step,
        answer="found",
        evidence="",
        provider_id="SM7",
        settled=Settled(state=Dispatch.ACCEPTED, reason=""),
    )
    assert (await store.end_look_ups([ends])).written == (True,)
    assert (await store.join_receipts()).applied == 1
    assert (await look(effect_id))["delivery"] == "delivered"


# What a receipt does not do.


async def test_a_receipt_about_nothing_that_is_known_is_kept_and_makes_no_effect(
    store: ExaminedStore, candidate: Candidate
) -> None:
    before = await candidate.row_counts(store)
    taken = await take(store, receipt(effect_id="e-none", provider_id="SM-none", delivery=D.DELIVERED))
    assert (taken.new, taken.applied, taken.quarantined) == (1, 0, 1)
    assert await candidate.row_counts(store) == {**before, "receipt": 1}
    (row,) = await rows_of(store, candidate, "receipt")
    assert (row["effect_id"], row["tenant"], row["applied_ms"], row["delivery"]) == (None, None, None, "delivered")


@pytest.mark.parametrize("names", ["effect_id", "provider_id"])
async def test_a_receipt_never_crosses_its_gateway(store: ExaminedStore, look: Look, names: str) -> None:
    effect_id = await attempted(store, Dispatch.UNKNOWN, provider_id="SM1")
    before = await look(effect_id)
    named = {"effect_id": effect_id, "provider_id": "SM1"}[names]
    taken = await take(store, receipt(**{names: named}, delivery=D.DELIVERED), gateway="another")
    assert taken.quarantined == 1
    await store.join_receipts()
    assert await look(effect_id) == before


async def test_a_receipt_belongs_to_the_tenant_of_its_effect_alone(
    store: ExaminedStore, candidate: Candidate, look: Look
) -> None:
    mine = await attempted(store, Dispatch.ACCEPTED, provider_id="SM1")
    theirs = intent()
    await store.commit(change(tenant="other", intents=(theirs,)))
    (claimed,) = await claim(store)
    await end_attempts(store, [ended(claimed, Dispatch.ACCEPTED, provider_id="SM2")])
    before = await look(mine)
    await take(store, receipt(provider_id="SM2", delivery=D.BOUNCED, suppresses="bounced for good"))
    (row,) = await rows_of(store, candidate, "receipt")
    assert (row["tenant"], row["effect_id"]) == ("other", theirs.id)
    (suppressed,) = await rows_of(store, candidate, "suppression")
    assert (suppressed["tenant"], suppressed["channel"]) == ("other", "sms")
    assert await look(mine) == before


async def test_an_id_of_the_provider_that_two_effects_have_says_nothing(store: ExaminedStore, look: Look) -> None:
    both = [await attempted(store, Dispatch.ACCEPTED, provider_id="SM1") for _ in range(2)]
    before = [await look(one) for one in both]
    assert (await take(store, receipt(provider_id="SM1", delivery=D.DELIVERED))).quarantined == 1
    await store.join_receipts()
    assert [await look(one) for one in both] == before


async def test_the_same_receipt_again_changes_nothing(store: ExaminedStore, candidate: Candidate, look: Look) -> None:
    hear(store, EffectEngaged, EffectDelivered)
    effect_id = await attempted(store, Dispatch.ACCEPTED, provider_id="SM1")
    one = receipt(provider_id="SM1", delivery=D.DELIVERED, engagement=Engagement.OPENED)
    assert (await take(store, one, one)).new == 1
    before, counts = await look(effect_id), await candidate.row_counts(store)
    assert await take(store, one) == ReceiptsTaken()
    assert (await look(effect_id), await candidate.row_counts(store)) == (before, counts)


async def test_another_gateways_receipt_may_have_the_same_mark(store: ExaminedStore) -> None:
    assert (await take(store, receipt())).new == 1
    assert (await take(store, receipt(), gateway="another")).new == 1


async def test_fifty_takers_of_one_receipt_apply_it_once(
    store: ExaminedStore, candidate: Candidate, look: Look
) -> None:
    hear(store, EffectAccepted, EffectDelivered, EffectEngaged)
    effect_id = await unknown(store)
    one = receipt(effect_id=effect_id, delivery=D.DELIVERED, engagement=Engagement.OPENED)
    taken = await asyncio.gather(*(take(store, one) for _ in range(50)))
    assert Counter(one.new for one in taken) == {1: 1, 0: 49}
    assert sum(one.applied for one in taken) == 1
    assert [name for name, _ in await heard(store, candidate)] == ["accepted", "delivered", "engaged"]


async def test_receipts_of_one_effect_that_come_all_at_once_are_all_applied(store: ExaminedStore, look: Look) -> None:
    effect_id = await unknown(store)
    kinds = [D.SENT, D.DEFERRED, D.DELIVERED, D.READ] * 5
    receipts = [receipt(f"r-{place}", effect_id=effect_id, delivery=kind) for place, kind in enumerate(kinds)]
    taken = await asyncio.gather(*(take(store, one) for one in receipts))
    assert sum(one.applied for one in taken) == len(receipts)
    row = await look(effect_id)
    assert (row["state"], row["delivery"]) == ("accepted", "read")


# Delivery.


async def test_a_delivery_moves_forward_only(store: ExaminedStore, candidate: Candidate, look: Look) -> None:
    hear(store, EffectDelivered)
    effect_id = await attempted(store, Dispatch.ACCEPTED, provider_id="SM1")
    for place, (kind, expected) in enumerate([(D.DELIVERED, "delivered"), (D.SENT, "delivered"), (D.READ, "read")]):
        assert (await take(store, receipt(f"r-{place}", provider_id="SM1", delivery=kind))).applied == 1
        assert (await look(effect_id))["delivery"] == expected
    assert await heard(store, candidate) == [("delivered", "delivered")]


async def test_receipts_of_one_request_count_in_the_order_in_which_it_happened(
    store: ExaminedStore, candidate: Candidate
) -> None:
    hear(store, EffectDelivered, EffectEngaged)
    await attempted(store, Dispatch.ACCEPTED, provider_id="SM1")
    noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
    await take(
        store,
        receipt("r-3", provider_id="SM1", engagement=Engagement.CLICKED, occurred_at=noon + 2 * SECOND),
        receipt("r-2", provider_id="SM1", engagement=Engagement.OPENED, occurred_at=noon + SECOND),
        receipt("r-1", provider_id="SM1", delivery=D.DELIVERED, occurred_at=noon),
    )
    assert await heard(store, candidate) == [("delivered", "delivered"), ("engaged", "opened"), ("engaged", "clicked")]
    ids = [row["id"] for row in await rows_of(store, candidate, "message", "id")]
    assert len(set(ids)) == len(ids) == 3


async def test_a_late_report_counts_after_the_window_has_closed(store: ExaminedStore, look: Look) -> None:
    effect_id = await attempted(store, Dispatch.ACCEPTED, provider_id="SM1", confirm_within=SECOND)
    store.shift_clock(2_000)
    await store.expire()
    assert (await look(effect_id))["delivery"] == "unconfirmed"
    await take(store, receipt(provider_id="SM1", delivery=D.DELIVERED))
    row = await look(effect_id)
    assert (row["delivery"], row["confirm_by_ms"]) == ("delivered", None)


async def test_a_receipt_takes_its_recipient_off_the_channel(store: ExaminedStore, candidate: Candidate) -> None:
    await attempted(store, Dispatch.ACCEPTED, provider_id="SM1")
    await take(store, receipt(provider_id="SM1", engagement=Engagement.COMPLAINED, suppresses="complained"))
    await take(store, receipt("r-2", provider_id="SM1", suppresses="complained again"))
    (row,) = await rows_of(store, candidate, "suppression", "tenant, channel, recipient_hash, reason, source")
    assert list(row.values()) == [TENANT, "sms", "h1", "complained", "receipt"]
    # What is requested for that recipient now is not attempted.
    await requested(store)
    assert await claim(store) == []


# While an attempt is under way.


@pytest.mark.parametrize("state", [Dispatch.ACCEPTED, Dispatch.UNKNOWN])
async def test_a_receipt_waits_for_the_end_of_the_attempt(
    store: ExaminedStore, candidate: Candidate, look: Look, state: Dispatch
) -> None:
    hear(store, EffectAccepted, EffectDelivered)
    effect_id = await requested(store)
    (claimed,) = await claim(store)
    taken = await take(store, receipt(effect_id=effect_id, provider_id="SM1", delivery=D.DELIVERED))
    assert (taken.new, taken.waiting) == (1, 1)
    row = await look(effect_id)
    assert (row["state"], row["delivery"], row["reported"]) == ("attempting", None, 1)
    provider_id = "SM1" if state is Dispatch.ACCEPTED else None
    assert await end_attempts(store, [ended(claimed, state, provider_id=provider_id)]) == [True]
    row = await look(effect_id)
    assert (row["state"], row["delivery"], row["reported"], row["provider_id"]) == ("accepted", "delivered", 0, "SM1")
    assert [name for name, _ in await heard(store, candidate)] == ["accepted", "delivered"]
    assert (await store.join_receipts()).applied == 0


async def test_an_effect_with_a_waiting_receipt_is_not_attempted_again(store: ExaminedStore, look: Look) -> None:
    effect_id = await requested(store)
    await claim(store, lease=SECOND)
    await take(store, receipt(effect_id=effect_id, provider_id="SM1", delivery=D.SENT))
    store.shift_clock(2_000)
    lost = await store.lose_attempts(
        "lost", lambda gateway, standing: Settled(state=Dispatch.UNKNOWN, reason="lost", wait=timedelta())
    )
    assert lost.effect_ids == (effect_id,)
    # It is due again, at once; and the receipt, which the sweep has not seen yet, says that it went through.
    assert await claim(store) == []
    assert (await store.join_receipts()).applied == 1
    row = await look(effect_id)
    assert (row["state"], row["due_ms"], row["reported"]) == ("accepted", None, 0)


async def test_a_sweep_leaves_alone_what_is_about_an_attempt_under_way(store: ExaminedStore, look: Look) -> None:
    effect_id = await requested(store)
    await claim(store)
    await take(store, receipt(effect_id=effect_id))
    assert await store.join_receipts() == await store.join_receipts()
    assert (await look(effect_id))["state"] == "attempting"


# What the ledger holds for not sent.


async def test_what_is_queued_and_was_taken_all_the_same_is_held_for_a_person(
    store: ExaminedStore, candidate: Candidate, look: Look
) -> None:
    hear(store, EffectHeld, EffectDelivered)
    effect_id = await attempted(store, Dispatch.QUEUED, outcome="not sent", wait=timedelta())
    await take(store, receipt(effect_id=effect_id, provider_id="SM1", delivery=D.DELIVERED))
    row = await look(effect_id)
    assert (row["state"], row["hold"], row["due_ms"], row["delivery"]) == ("held", "receipt", None, "delivered")
    assert await claim(store) == []
    assert await anomalies(store) == [("a receipt says that an effect was taken", effect_id)]
    # One person, once.
    await take(store, receipt("r-2", effect_id=effect_id, delivery=D.READ))
    assert len(await anomalies(store)) == 1
    assert [name for name, _ in await heard(store, candidate)] == ["held", "delivered"]


async def test_what_was_never_attempted_here_and_was_taken_is_held_and_does_not_expire(
    store: ExaminedStore, look: Look
) -> None:
    # As after a database was restored from a backup.
    effect_id = await requested(store, expires_after_ms=1_000)
    await take(store, receipt(effect_id=effect_id, delivery=D.DELIVERED))
    store.shift_clock(2_000)
    await store.expire()
    row = await look(effect_id)
    assert (row["state"], row["expires_ms"], row["delivery"]) == ("held", None, "delivered")


async def test_what_has_failed_and_was_taken_all_the_same_stays_failed_and_a_person_is_told_once(
    store: ExaminedStore, look: Look
) -> None:
    effect_id = await attempted(store, Dispatch.FAILED, outcome="not sent")
    await take(store, receipt(effect_id=effect_id, delivery=D.SENT))
    await take(store, receipt("r-2", effect_id=effect_id, delivery=D.DELIVERED))
    row = await look(effect_id)
    assert (row["state"], row["delivery"]) == ("failed", "delivered")
    assert await anomalies(store) == [("a receipt says that an effect was taken", effect_id)]


# Before our own record.


async def test_a_receipt_that_comes_before_our_record_of_acceptance_is_applied_by_the_next_sweep(
    store: ExaminedStore, look: Look
) -> None:
    effect_id = await requested(store)
    (claimed,) = await claim(store)
    assert (await take(store, receipt(provider_id="SM1", delivery=D.DELIVERED))).quarantined == 1
    await end_attempts(store, [ended(claimed, Dispatch.ACCEPTED, provider_id="SM1", confirm_within=WINDOW)])
    joined = await store.join_receipts()
    assert (joined.applied, joined.has_more) == (1, False)
    row = await look(effect_id)
    assert (row["state"], row["delivery"], row["confirm_by_ms"]) == ("accepted", "delivered", None)


async def test_a_receipt_in_quarantine_is_looked_for_ever_less_often_and_at_last_only_kept(
    store: ExaminedStore, candidate: Candidate
) -> None:
    await take(store, receipt(provider_id="SM-none"))
    ages: list[timedelta] = []
    while (row := (await rows_of(store, candidate, "receipt", "due_ms, received_ms, applied_ms"))[0])["due_ms"]:
        ages.append(timedelta(milliseconds=row["due_ms"] - row["received_ms"]))
        ahead = time_of(row["due_ms"]) - await store.now()
        store.shift_clock(max(0, ahead // timedelta(milliseconds=1)) + 1)
        await store.join_receipts()
    waits = [later - sooner for sooner, later in pairwise(ages)]
    assert ages[0] == timedelta()
    assert min(waits) >= SECOND
    assert max(waits) <= timedelta(hours=1, seconds=1)
    # Twelve times within the first hour, then every hour.
    assert len([age for age in ages if age <= timedelta(hours=1)]) <= 14
    assert TRIED_FOR - timedelta(hours=2) < ages[-1] < TRIED_FOR + timedelta(hours=1)
    assert row["applied_ms"] is None


async def test_many_receipts_in_quarantine_are_swept_page_by_page(
    store: ExaminedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duly.stores.receipt_scripts.JOINED_PER_SWEEP_MAX", 3)
    await take(store, *(receipt(f"r-{place}", provider_id=f"SM{place}") for place in range(6)))
    await attempted(store, Dispatch.ACCEPTED, provider_id="SM5")
    assert [((await store.join_receipts()).has_more) for _ in range(3)] == [True, True, False]


# Odd receipts.


async def test_odd_characters_in_a_receipt_are_kept_as_every_database_can_hold_them(
    store: ExaminedStore, candidate: Candidate
) -> None:
    odd = "a\0b\ud800"
    one = receipt(odd, effect_id=odd, provider_id=odd, detail=odd, suppresses=odd)
    assert (await take(store, one)).quarantined == 1
    assert await take(store, one) == ReceiptsTaken()
    (row,) = await rows_of(store, candidate, "receipt", "dedupe, provider_id, detail, suppresses")
    assert set(row.values()) == {"a\ufffdb?"}


async def test_no_receipts_are_no_receipts(store: ExaminedStore) -> None:
    assert await take(store) == ReceiptsTaken()


async def test_the_receipts_of_a_request_are_taken_together(store: ExaminedStore, look: Look) -> None:
    ids = [await attempted(store, Dispatch.ACCEPTED, provider_id=f"SM{place}") for place in range(5)]
    receipts = [receipt(f"r-{place}", provider_id=f"SM{place}", delivery=D.DELIVERED) for place in range(7)]
    taken = await take(store, *receipts)
    assert (taken.new, taken.applied, taken.quarantined) == (7, 5, 2)
    assert {str((await look(one))["delivery"]) for one in ids} == {"delivered"}
