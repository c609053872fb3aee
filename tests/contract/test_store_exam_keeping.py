"""The exam of every keeper: whom nothing goes to, who waits, what is kept for how long, and what is erased."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from duly.effects.retention import RetentionSweep, Swept
from duly.messages.attachment import AttachmentRef
from duly.messages.envelope import Envelope
from duly.ports.change import Done, Intent
from duly.ports.gateway import Prepared
from duly.ports.ledger_view import EffectFilter, EffectView
from duly.states.effect import FINAL, Dispatch, Step
from duly.states.retention import Retention
from duly.testing.store_exam import (
    TENANT,
    Candidate,
    ExaminedStore,
    change,
    claim,
    end_attempts,
    ended,
    event,
    intent,
)

DAY = timedelta(days=1)
DAY_MILLISECONDS = 86_400_000
ANN = "+4915123456789"
OPEN = EffectFilter()


def to_ann(**parts: Any) -> Intent:
    prepared = Prepared(recipient=ANN, summary="Dear Ann", content_type="text/plain", body=b"Dear Ann, hello")
    return intent(**{"prepared": prepared, "recipient_hash": "ann", **parts})


async def requested(store: ExaminedStore, *intents: Intent, tenant: str = TENANT) -> None:
    for one in intents:
        assert await store.commit(change(tenant=tenant, intents=(one,))) == Done()


async def seen(store: ExaminedStore, effect_id: str, tenant: str = TENANT) -> EffectView:
    view = await store.effect(tenant, effect_id)
    assert view is not None
    return view


async def states(store: ExaminedStore, *intents: Intent, tenant: str = TENANT) -> list[tuple[Dispatch, str]]:
    views = [await seen(store, one.id, tenant) for one in intents]
    return [(view.state, view.reason) for view in views]


async def rows(store: ExaminedStore, candidate: Candidate, table: str) -> int:
    (row,) = await store.select(f"SELECT count(*) AS n FROM {candidate.table(table)}", {})
    return int(str(row["n"]))


# Suppressions.


async def test_what_goes_to_somebody_on_the_list_is_suppressed_with_the_reason(store: ExaminedStore) -> None:
    ann, other = to_ann(), intent()
    await requested(store, ann, other)
    assert await store.suppress(TENANT, "sms", "ann", reason="opted out", source="form")
    assert [one.effect_id for one in await claim(store)] == [other.id]
    assert await states(store, ann) == [(Dispatch.SUPPRESSED, "opted out")]


async def test_the_list_is_by_tenant_and_channel(store: ExaminedStore) -> None:
    await store.suppress("other", "sms", "ann", reason="opted out", source="form")
    await store.suppress(TENANT, "email", "ann", reason="opted out", source="form")
    ann = to_ann()
    await requested(store, ann)
    assert [one.effect_id for one in await claim(store)] == [ann.id]


async def test_after_an_unknown_attempt_somebody_on_the_list_is_not_tried_again_and_it_stays_unknown(
    store: ExaminedStore,
) -> None:
    ann = to_ann()
    await requested(store, ann)
    (claimed,) = await claim(store)
    await end_attempts(store, [ended(claimed, Dispatch.UNKNOWN, wait=timedelta())])
    await store.suppress(TENANT, "sms", "ann", reason="opted out", source="form")
    assert await claim(store) == []
    view = await seen(store, ann.id)
    assert (view.state, view.next_step, view.unsettled) == (Dispatch.UNKNOWN, None, 1)
    assert view.reason == "it is not tried again (opted out); an earlier attempt may have gone through"


async def test_who_is_taken_off_the_list_gets_what_comes_later(store: ExaminedStore) -> None:
    first, second = to_ann(), to_ann()
    await store.suppress(TENANT, "sms", "ann", reason="opted out", source="form")
    await requested(store, first)
    assert await claim(store) == []
    assert await store.unsuppress(TENANT, "sms", "ann", reason="subscribed again", by="anna")
    assert not await store.unsuppress(TENANT, "sms", "ann", reason="subscribed again", by="anna")
    await requested(store, second)
    assert [one.effect_id for one in await claim(store)] == [second.id]
    assert await states(store, first) == [(Dispatch.SUPPRESSED, "opted out")]


async def test_an_entry_says_why_since_when_and_where_it_comes_from(store: ExaminedStore) -> None:
    assert await store.suppression(TENANT, "sms", "ann") is None
    assert await store.suppress(TENANT, "sms", "ann", reason="opted out", source="form")
    assert not await store.suppress(TENANT, "sms", "ann", reason="complained", source="provider")
    found = await store.suppression(TENANT, "sms", "ann")
    assert found is not None
    assert (found.channel, found.recipient_hash) == ("sms", "ann")
    assert (found.reason, found.source) == ("complained", "provider")
    assert await store.suppression("other", "sms", "ann") is None


async def test_the_list_comes_by_pages(store: ExaminedStore) -> None:
    places = [("email", "a"), ("email", "b"), ("sms", "a"), ("sms", "c")]
    for channel, hashed in reversed(places):
        await store.suppress(TENANT, channel, hashed, reason="r", source="s")
    await store.suppress("other", "sms", "b", reason="r", source="s")

    async def page(channel: str | None, after: tuple[str, str] | None, rows_max: int = 3) -> list[tuple[str, str]]:
        return [(one.channel, one.recipient_hash) for one in await store.suppressions(TENANT, channel, after, rows_max)]

    assert await page(None, None) == places[:3]
    assert await page(None, places[2]) == places[3:]
    assert await page("sms", None) == places[2:]
    assert await page("sms", ("sms", "a")) == places[3:]
    assert await page("sms", None, rows_max=1) == places[2:3]
    assert await page("fax", None) == []


# Pauses.


async def test_effects_of_a_paused_tenant_are_held_and_come_back(store: ExaminedStore) -> None:
    mine, theirs = intent(), intent()
    await requested(store, mine)
    await requested(store, theirs, tenant="other")
    await store.pause(TENANT, reason="invoice overdue", by="anna")
    assert [one.effect_id for one in await claim(store)] == [theirs.id]
    assert await states(store, mine) == [(Dispatch.HELD, "the tenant is paused: invoice overdue")]
    assert (await seen(store, mine.id)).next_step is None
    assert (await store.release_resumed(10)).effects == 0
    assert await store.resume(TENANT, reason="paid", by="anna")
    assert (await store.release_resumed(10)).effects == 1
    assert [one.effect_id for one in await claim(store)] == [mine.id]


async def test_a_pause_says_why_and_who(store: ExaminedStore) -> None:
    assert await store.paused(TENANT) is None
    await store.pause(TENANT, reason="first", by="anna")
    await store.pause(TENANT, reason="second", by="bert")
    pause = await store.paused(TENANT)
    assert pause is not None
    assert (pause.reason, pause.by) == ("second", "bert")
    assert await store.paused("other") is None
    assert await store.resume(TENANT, reason="paid", by="anna")
    assert not await store.resume(TENANT, reason="paid", by="anna")
    assert await store.paused(TENANT) is None


async def test_what_is_unknown_waits_out_a_pause_and_is_tried_again_after_it(store: ExaminedStore) -> None:
    one = intent()
    await requested(store, one)
    (claimed,) = await claim(store)
    await end_attempts(store, [ended(claimed, Dispatch.UNKNOWN, wait=timedelta())])
    await store.pause(TENANT, reason="overdue", by="anna")
    assert await claim(store) == []
    assert await states(store, one) == [(Dispatch.UNKNOWN, "the tenant is paused: overdue")]
    await store.resume(TENANT, reason="paid", by="anna")
    assert (await store.release_resumed(10)).effects == 1
    assert await states(store, one) == [(Dispatch.UNKNOWN, "the tenant was resumed")]
    assert [again.number for again in await claim(store)] == [2]


async def test_what_is_held_is_released_in_batches(store: ExaminedStore) -> None:
    intents = [intent() for _ in range(5)]
    await requested(store, *intents)
    await requested(store, intent(), tenant="other")
    for tenant in (TENANT, "other"):
        await store.pause(tenant, reason="overdue", by="anna")
    assert await claim(store) == []
    await store.resume(TENANT, reason="paid", by="anna")
    released = [await store.release_resumed(2) for _ in range(4)]
    assert [(one.effects, one.has_more) for one in released] == [(2, True), (2, True), (1, False), (0, False)]
    assert {one.effect_id for one in await claim(store)} == {one.id for one in intents}


async def test_what_a_gateways_fault_holds_is_not_released_by_a_resumption(store: ExaminedStore) -> None:
    one = intent()
    await requested(store, one)
    (claimed,) = await claim(store)
    await end_attempts(store, [ended(claimed, Dispatch.HELD, wait=DAY, reason="401")])
    assert (await store.release_resumed(10)).effects == 0
    assert await states(store, one) == [(Dispatch.HELD, "401")]


async def test_what_people_did_to_a_tenant_is_written_down(store: ExaminedStore) -> None:
    await store.pause(TENANT, reason="overdue", by="anna")
    await store.resume(TENANT, reason="paid", by="bert")
    await store.suppress(TENANT, "sms", "ann", reason="opted out", source="form")
    await store.unsuppress(TENANT, "sms", "ann", reason="again", by="bert")
    await store.resume(TENANT, reason="not paused", by="bert")
    told = [(one.verb, one.by, one.reason, one.detail) for one in await store.audit(TENANT, effect_id=None, rows_max=9)]
    assert told[::-1] == [
        ("pause", "anna", "overdue", ""),
        ("resume", "bert", "paid", ""),
        ("suppress", "form", "opted out", "sms ann"),
        ("unsuppress", "bert", "again", "sms ann"),
    ]
    assert await store.audit("other", effect_id=None, rows_max=9) == []


# Retention.


async def settled(store: ExaminedStore, one: Intent, state: Dispatch, tenant: str = TENANT, **parts: Any) -> None:
    """Request an effect and bring it into a state."""
    await requested(store, one, tenant=tenant)
    (claimed,) = await claim(store, gateway=one.gateway)
    await end_attempts(store, [ended(claimed, state, **parts)])


def sweep(store: ExaminedStore, *rules: Retention, **parts: Any) -> RetentionSweep:
    return RetentionSweep(store, rules, **parts)


async def test_contents_go_first_and_the_whole_effect_later(store: ExaminedStore, candidate: Candidate) -> None:
    one = to_ann()
    await settled(store, one, Dispatch.ACCEPTED, provider_id="SM1")
    rules = Retention(contents=10 * DAY, facts=20 * DAY)
    before = await seen(store, one.id)
    assert await sweep(store, rules).sweep() == Swept(contents=0, effects=0)
    store.shift_clock(10 * DAY_MILLISECONDS + 1)
    assert await sweep(store, rules).sweep() == Swept(contents=1, effects=0)
    view = await seen(store, one.id)
    assert view == msgspec.structs.replace(before, recipient="[erased]", summary="[erased]")
    assert await sweep(store, rules).sweep() == Swept(contents=0, effects=0)
    store.shift_clock(10 * DAY_MILLISECONDS + 1)
    assert await sweep(store, rules).sweep() == Swept(contents=0, effects=1)
    assert await store.effect(TENANT, one.id) is None
    for table in ("effect", "effect_content", "attempt", "look_up"):
        assert await rows(store, candidate, table) == 0
    assert await rows(store, candidate, "effect_key") == 1


async def test_an_effect_that_is_gone_is_not_made_again(store: ExaminedStore, candidate: Candidate) -> None:
    one = to_ann()
    await settled(store, one, Dispatch.ACCEPTED)
    store.shift_clock(3 * DAY_MILLISECONDS)
    assert await sweep(store, Retention(contents=DAY, facts=2 * DAY)).sweep() == Swept(contents=1, effects=1)
    assert await store.commit(change(intents=(one,))) == Done()
    assert await claim(store) == []
    assert await store.effect(TENANT, one.id) is None
    assert await rows(store, candidate, "effect_content") == 0
    assert await store.anomalies(TENANT, 9) == []
    assert await store.commit(change(intents=(msgspec.structs.replace(one, digest="another"),))) == Done()
    (anomaly,) = await store.anomalies(TENANT, 9)
    assert (anomaly.kind, anomaly.about) == ("effect requested again with another body", one.id)


async def test_only_what_is_final_ages(store: ExaminedStore) -> None:
    unknown, held, attempting, waiting, failed = (to_ann() for _ in range(5))
    await settled(store, unknown, Dispatch.UNKNOWN)
    await settled(store, held, Dispatch.HELD)
    await settled(store, failed, Dispatch.FAILED)
    await requested(store, attempting)
    await claim(store)
    await requested(store, waiting)
    store.shift_clock(100 * DAY_MILLISECONDS)
    assert await sweep(store, Retention(contents=DAY, facts=2 * DAY), rows_max=1).sweep() == Swept(
        contents=1, effects=1
    )
    assert await store.effect(TENANT, failed.id) is None
    for one in (unknown, held, attempting, waiting):
        assert (await seen(store, one.id)).recipient == ANN


async def test_age_counts_from_the_last_change_of_state(store: ExaminedStore) -> None:
    one = to_ann()
    await requested(store, one)
    store.shift_clock(5 * DAY_MILLISECONDS)
    (claimed,) = await claim(store)
    await end_attempts(store, [ended(claimed, Dispatch.ACCEPTED)])
    store.shift_clock(DAY_MILLISECONDS)
    assert (await sweep(store, Retention(contents=2 * DAY)).sweep()).contents == 0
    store.shift_clock(DAY_MILLISECONDS + 1)
    assert (await sweep(store, Retention(contents=2 * DAY)).sweep()).contents == 1


async def test_an_effect_whose_reports_are_awaited_is_kept_until_they_are_not(store: ExaminedStore) -> None:
    one = to_ann()
    await settled(store, one, Dispatch.ACCEPTED, confirm_within=5 * DAY)
    store.shift_clock(3 * DAY_MILLISECONDS)
    rules = Retention(contents=DAY, facts=2 * DAY)
    assert await sweep(store, rules).sweep() == Swept(contents=1, effects=0)
    store.shift_clock(3 * DAY_MILLISECONDS)
    await store.expire()
    assert await sweep(store, rules).sweep() == Swept(contents=0, effects=1)


async def test_the_most_specific_rule_counts(store: ExaminedStore) -> None:
    sms, mail = to_ann(), to_ann(channel="email", gateway="mail")
    their_sms, their_mail = to_ann(), to_ann(channel="email", gateway="mail")
    for one, tenant in ((sms, TENANT), (mail, TENANT), (their_sms, "other"), (their_mail, "other")):
        await settled(store, one, Dispatch.ACCEPTED, tenant)
    rules = (
        Retention(contents=40 * DAY),
        Retention(contents=30 * DAY, channel="email"),
        Retention(contents=20 * DAY, tenant="other"),
        Retention(contents=10 * DAY, tenant="other", channel="email"),
    )
    gone: list[str] = []
    for _ in range(4):
        store.shift_clock(10 * DAY_MILLISECONDS + 1)
        assert (await sweep(store, *rules).sweep()).contents == 1
        for one, tenant in ((sms, TENANT), (mail, TENANT), (their_sms, "other"), (their_mail, "other")):
            if one.id not in gone and (await seen(store, one.id, tenant)).recipient == "[erased]":
                gone.append(one.id)
    assert gone == [their_mail.id, their_sms.id, mail.id, sms.id]


async def test_without_a_rule_everything_is_kept(store: ExaminedStore) -> None:
    one = to_ann()
    await settled(store, one, Dispatch.ACCEPTED)
    store.shift_clock(10_000 * DAY_MILLISECONDS)
    assert await sweep(store).sweep() == Swept(contents=0, effects=0)
    assert await sweep(store, Retention(contents=DAY, channel="email")).sweep() == Swept(contents=0, effects=0)
    assert (await seen(store, one.id)).recipient == ANN


async def test_a_sweep_goes_on_over_many_batches(store: ExaminedStore, candidate: Candidate) -> None:
    for number in range(7):
        await settled(store, to_ann(), Dispatch.UNKNOWN if number % 3 == 0 else Dispatch.ACCEPTED)
    for tenant in ("a", "b"):
        await settled(store, to_ann(), Dispatch.ACCEPTED, tenant)
    store.shift_clock(30 * DAY_MILLISECONDS)
    assert await sweep(store, Retention(contents=DAY, facts=2 * DAY), rows_max=2).sweep() == Swept(
        contents=6, effects=6
    )
    assert await rows(store, candidate, "effect") == 3
    assert await rows(store, candidate, "effect_content") == 3


async def test_two_sweeps_at_once_remove_everything_once(store: ExaminedStore, candidate: Candidate) -> None:
    for _ in range(4):
        await settled(store, to_ann(), Dispatch.ACCEPTED)
    store.shift_clock(30 * DAY_MILLISECONDS)
    rules = Retention(contents=DAY, facts=2 * DAY)
    (page, _) = await store.page(TENANT, OPEN, None, 9)
    ids = [view.id for view in page]
    await store.keep_keys(ids)
    await store.keep_keys(ids)
    assert (await store.drop_effects(ids), await store.drop_effects(ids)) == (4, 0)
    assert await sweep(store, rules).sweep() == Swept(contents=0, effects=0)
    assert await rows(store, candidate, "effect_key") == 4


async def test_an_effect_goes_only_once_its_key_is_remembered(store: ExaminedStore) -> None:
    one = to_ann()
    await settled(store, one, Dispatch.ACCEPTED)
    assert await store.drop_effects([one.id]) == 0
    assert (await seen(store, one.id)).state is Dispatch.ACCEPTED


async def test_nothing_that_is_not_final_can_be_dropped_by_its_id(store: ExaminedStore) -> None:
    one = to_ann()
    await requested(store, one)
    await store.keep_keys([one.id])
    assert await store.drop_effects([one.id]) == 0
    assert await store.drop_contents([one.id]) == 0
    assert (await seen(store, one.id)).recipient == ANN
    assert Dispatch.REQUESTED not in FINAL


def file(name: str) -> AttachmentRef:
    return AttachmentRef(
        name=f"{name}.pdf", content_type="application/pdf", reference=f"ref-{name}", digest="d", size=1
    )


def with_files(*names: str, **parts: Any) -> Intent:
    prepared = Prepared(
        recipient=ANN, summary="s", content_type="t", body=b"b", attachments=tuple(file(name) for name in names)
    )
    return intent(prepared=prepared, **parts)


async def test_files_are_forgotten_with_the_last_effect_that_refers_to_them(store: ExaminedStore) -> None:
    forgotten: list[tuple[str, list[str]]] = []

    async def forget(tenant: str, references: Any) -> None:
        forgotten.append((tenant, list(references)))

    first = with_files("a", "b", subject="ann", correlation="c-1")
    waiting = with_files("b", "c", subject="ann", correlation="c-2")
    sibling = with_files("d", subject="x", correlation="c-3")
    its_sibling = with_files("d", subject="y", correlation="c-3")
    await settled(store, first, Dispatch.ACCEPTED)
    await settled(store, sibling, Dispatch.ACCEPTED)
    await requested(store, waiting, its_sibling)
    store.shift_clock(10 * DAY_MILLISECONDS)
    assert (await sweep(store, Retention(contents=DAY), forget=forget).sweep()).contents == 2
    assert forgotten == [(TENANT, ["ref-a"])]
    for claimed in await claim(store):
        await end_attempts(store, [ended(claimed, Dispatch.ACCEPTED)])
    store.shift_clock(10 * DAY_MILLISECONDS)
    assert (await sweep(store, Retention(contents=DAY), forget=forget).sweep()).contents == 2
    assert forgotten[1:] == [(TENANT, ["ref-b", "ref-c", "ref-d"])]


async def test_files_that_cannot_be_forgotten_keep_the_contents_for_the_next_sweep(store: ExaminedStore) -> None:
    async def refuse(tenant: str, references: Any) -> None:
        raise OSError("the folder is away")

    one = with_files("a")
    await settled(store, one, Dispatch.ACCEPTED)
    store.shift_clock(10 * DAY_MILLISECONDS)
    with pytest.raises(OSError, match="away"):
        await sweep(store, Retention(contents=DAY), forget=refuse).sweep()
    assert (await seen(store, one.id)).recipient == ANN


# Erasure.


def told(subject: str, **parts: Any) -> Envelope:
    return event(subject=subject, personal='{"phone":"+4915123456789"}', **parts)


async def test_personal_fields_of_one_person_go_and_the_messages_stay(
    store: ExaminedStore, candidate: Candidate
) -> None:
    messages = tuple(told(subject, stream=f"s/{n}") for n, subject in enumerate(("ann", "ann", "bert", "ann")))
    await store.commit(change(messages=messages, events=4))
    await store.commit(change(tenant="other", messages=(told("ann", tenant="other"),), events=1))
    assert await store.erase_messages(TENANT, "ann", 2) == 2
    assert await store.erase_messages(TENANT, "ann", 2) == 1
    assert await store.erase_messages(TENANT, "ann", 2) == 0
    assert (await rows(store, candidate, "personal"), await rows(store, candidate, "message")) == (2, 5)


async def test_what_waits_for_an_erased_person_is_cancelled(store: ExaminedStore) -> None:
    now = to_ann(subject="ann")
    later = to_ann(subject="ann", after_ms=DAY_MILLISECONDS)
    held, queued = to_ann(subject="ann"), to_ann(subject="ann")
    other, theirs = to_ann(subject="bert"), to_ann(subject="ann")
    await settled(store, held, Dispatch.HELD, wait=DAY)
    await settled(store, queued, Dispatch.QUEUED, wait=DAY, outcome="not sent")
    await requested(store, now, later, other)
    await requested(store, theirs, tenant="other")
    erased = await store.erase_effects(TENANT, "ann", 100)
    assert (erased.effects, erased.cancelled, erased.has_more) == (4, 4, False)
    assert await states(store, now, later, held, queued) == [(Dispatch.CANCELLED, "erased")] * 4
    assert {one.effect_id for one in await claim(store)} == {other.id, theirs.id}
    view = await seen(store, held.id)
    assert (view.recipient, view.summary, len(view.attempts)) == ("[erased]", "[erased]", 1)


async def test_what_is_under_way_ends_as_it_will_and_is_not_tried_again(store: ExaminedStore) -> None:
    taken, refused, lost = (to_ann(subject="ann") for _ in range(3))
    await requested(store, taken, refused, lost)
    claimed = {one.effect_id: one for one in await claim(store)}
    erased = await store.erase_effects(TENANT, "ann", 100)
    assert (erased.effects, erased.cancelled) == (3, 0)
    ends = [
        ended(claimed[taken.id], Dispatch.ACCEPTED, provider_id="SM1"),
        ended(claimed[refused.id], Dispatch.QUEUED, outcome="not sent", wait=timedelta()),
        ended(claimed[lost.id], Dispatch.UNKNOWN, wait=timedelta()),
    ]
    assert await end_attempts(store, ends) == [True] * 3
    assert await claim(store) == []
    assert await states(store, taken, refused, lost) == [
        (Dispatch.ACCEPTED, ""),
        (Dispatch.CANCELLED, "erased"),
        (Dispatch.UNKNOWN, "it is not tried again (erased); an earlier attempt may have gone through"),
    ]
    assert (await seen(store, taken.id)).provider_id == "SM1"


async def test_what_is_unknown_of_an_erased_person_stays_so_and_is_looked_up_but_not_tried(
    store: ExaminedStore,
) -> None:
    to_try, to_look_up, to_leave = (to_ann(subject="ann") for _ in range(3))
    await settled(store, to_try, Dispatch.UNKNOWN, wait=DAY, reason="timed out")
    await settled(store, to_look_up, Dispatch.UNKNOWN, wait=DAY, step=Step.LOOK_UP, reason="timed out")
    await settled(store, to_leave, Dispatch.UNKNOWN, reason="timed out")
    assert (await store.erase_effects(TENANT, "ann", 100)).cancelled == 0
    views = [await seen(store, one.id) for one in (to_try, to_look_up, to_leave)]
    assert {view.state for view in views} == {Dispatch.UNKNOWN}
    assert [view.next_step for view in views] == [None, Step.LOOK_UP, None]
    assert [view.reason == "timed out" for view in views] == [False, True, True]
    store.shift_clock(DAY_MILLISECONDS + 1)
    assert await claim(store) == []
    (due,) = await store.claim_look_ups("sms", 9, token="t", lease=DAY)
    assert (due.claimed.effect_id, due.claimed.prepared.recipient, due.claimed.key) == (
        to_look_up.id,
        "",
        to_look_up.id,
    )


async def test_a_pause_does_not_bring_back_what_was_erased(store: ExaminedStore) -> None:
    waiting, unknown = to_ann(subject="ann"), to_ann(subject="ann")
    await settled(store, unknown, Dispatch.UNKNOWN, wait=timedelta())
    await requested(store, waiting)
    await store.pause(TENANT, reason="overdue", by="anna")
    assert await claim(store) == []
    await store.erase_effects(TENANT, "ann", 100)
    await store.resume(TENANT, reason="paid", by="anna")
    assert (await store.release_resumed(10)).effects == 0
    assert await claim(store) == []
    assert [state for state, _ in await states(store, waiting, unknown)] == [Dispatch.CANCELLED, Dispatch.UNKNOWN]


async def test_erasing_goes_by_batches_and_may_be_repeated(store: ExaminedStore) -> None:
    await requested(store, *(to_ann(subject="ann") for _ in range(5)))
    batches = [await store.erase_effects(TENANT, "ann", 2) for _ in range(4)]
    assert [(one.effects, one.cancelled, one.has_more) for one in batches] == [
        (2, 2, True),
        (2, 2, True),
        (1, 1, False),
        (0, 0, False),
    ]


async def test_words_of_a_provider_lose_the_address_and_keep_the_rest(store: ExaminedStore) -> None:
    one, other = to_ann(subject="ann"), to_ann(subject="bert")
    words = f"550 <{ANN}> is full, {ANN}!"
    for each in (one, other):
        await settled(
            store, each, Dispatch.UNKNOWN, reason=words, evidence=words, provider_id="SM1", alarm=words, wait=DAY
        )
    await store.erase_effects(TENANT, "ann", 100)
    view = await seen(store, one.id)
    (attempt,) = view.attempts
    assert (attempt.evidence, attempt.provider_id) == ("550 <[erased]> is full, [erased]!", "SM1")
    assert ANN not in repr(view)
    about = {anomaly.about: anomaly.detail for anomaly in await store.anomalies(TENANT, 9)}
    assert about == {one.id: "550 <[erased]> is full, [erased]!", other.id: words}
    assert (await seen(store, other.id)).attempts[0].evidence == words


async def test_the_same_request_after_an_erasure_is_the_same_effect(store: ExaminedStore, candidate: Candidate) -> None:
    one = to_ann(subject="ann")
    await settled(store, one, Dispatch.ACCEPTED)
    await store.erase_effects(TENANT, "ann", 100)
    assert await store.commit(change(intents=(one,))) == Done()
    assert await rows(store, candidate, "effect_content") == 0
    assert await claim(store) == []
    assert (await seen(store, one.id)).recipient == "[erased]"
