"""The exam of every keeper: what people do to effects, each with its audit row in the same commit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from duly.messages.envelope import Link
from duly.messages.identity import derived_id
from duly.ports.change import Done
from duly.ports.gateway import Receipt
from duly.ports.ledger import BreakerMove, Turn, destination_key
from duly.ports.ledger_view import AuditRow, EffectFilter, EffectView
from duly.ports.operations import Aim, Operated, Operation, Refused, Result, Verb, Verdict
from duly.states.attempt import Origin
from duly.states.delivery import Delivery
from duly.states.effect import Dispatch, Settled, Step
from duly.states.policy import IdempotencyKey, Keeps, Policy, ReceiptWindow
from duly.stores.operation_scripts import RESEND
from duly.testing.store_exam import (
    GATEWAY,
    LEASE,
    TENANT,
    TERMS,
    Candidate,
    ExaminedStore,
    change,
    claim,
    end_attempts,
    ended,
    intent,
)

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
KEYED = Keeps(key=IdempotencyKey(lifetime=24 * HOUR))
D = Dispatch

shared = pytest.mark.parametrize("candidate", ["sqlite", "postgres"], indirect=True)
"""For what needs a second store on the same database."""


def order(verb: Verb, **parts: Any) -> Operation:
    fields: dict[str, Any] = {"verdict": Verdict.ACCEPTED if verb is Verb.SETTLE else None}
    return Operation(**{"tenant": TENANT, "verb": verb, "by": "anna", "reason": "she saw it", **fields, **parts})


async def operate(
    store: ExaminedStore, operation: Operation, *effect_ids: str, keeps: Keeps = TERMS.keeps
) -> tuple[Result, ...]:
    written = await store.operate(operation, [Aim(effect_id) for effect_id in effect_ids], {GATEWAY: keeps})
    return written.results


async def done(store: ExaminedStore, operation: Operation, effect_id: str, *, keeps: Keeps = TERMS.keeps) -> Operated:
    (result,) = await operate(store, operation, effect_id, keeps=keeps)
    assert isinstance(result, Operated), result
    return result


async def refused(store: ExaminedStore, operation: Operation, effect_id: str, *, keeps: Keeps = TERMS.keeps) -> str:
    """Why it was refused; nothing was changed and nothing written."""
    before, audit = await store.effect(TENANT, effect_id), await store.audit(TENANT, effect_id=effect_id, rows_max=99)
    (result,) = await operate(store, operation, effect_id, keeps=keeps)
    assert isinstance(result, Refused), result
    assert await store.effect(TENANT, effect_id) == before
    assert await store.audit(TENANT, effect_id=effect_id, rows_max=99) == audit
    return result.reason


async def seen(store: ExaminedStore, effect_id: str) -> EffectView:
    view = await store.effect(TENANT, effect_id)
    assert view is not None
    return view


async def audited(store: ExaminedStore, effect_id: str) -> list[AuditRow]:
    return await store.audit(TENANT, effect_id=effect_id, rows_max=99)


async def requested(store: ExaminedStore, **parts: Any) -> str:
    one = intent(**parts)
    assert await store.commit(change(intents=(one,))) == Done()
    return one.id


async def attempted(store: ExaminedStore, state: Dispatch, **parts: Any) -> str:
    """An effect whose first attempt has ended; *parts* of the end, those of the intent under ``intent``."""
    effect_id = await requested(store, **parts.pop("intent", {}))
    (claimed,) = [one for one in await claim(store, 50) if one.effect_id == effect_id]
    await end_attempts(store, [ended(claimed, state, **parts)])
    return effect_id


async def unknown(store: ExaminedStore, **parts: Any) -> str:
    return await attempted(store, D.UNKNOWN, outcome="unknown", reason="the connection was lost", **parts)


async def in_state(store: ExaminedStore, state: Dispatch) -> str:
    """An effect that has come into *state* as effects do."""
    match state:
        case D.REQUESTED:
            return await requested(store)
        case D.SCHEDULED:
            return await requested(store, after_ms=3_600_000)
        case D.QUEUED | D.HELD:
            return await attempted(store, state, outcome="not sent", wait=HOUR)
        case D.ACCEPTED | D.FAILED | D.UNKNOWN:
            return await attempted(store, state)
        case D.ATTEMPTING:
            effect_id = await requested(store)
            assert effect_id in [one.effect_id for one in await claim(store, 50)]
            return effect_id
        case D.SUPPRESSED:
            effect_id = await requested(store)
            assert await claim(store, barred="not live") == []
            return effect_id
        case D.EXPIRED:
            effect_id = await requested(store, expires_after_ms=1)
            store.shift_clock(2)
            await store.expire()
            return effect_id
        case D.CANCELLED:
            effect_id = await requested(store)
            await done(store, order(Verb.CANCEL), effect_id)
            return effect_id


async def run(store: ExaminedStore, statement: str, **parameters: str) -> None:
    async with store.begin() as transaction:
        await transaction.execute(statement, parameters)
        await transaction.commit()


# Every verb in every state.


@pytest.mark.parametrize("state", list(D), ids=lambda state: state.value)
async def test_a_verb_moves_what_it_fits_with_an_audit_row_and_nothing_else(
    store: ExaminedStore, state: Dispatch
) -> None:
    fitting = {
        Verb.SETTLE: {D.UNKNOWN: D.ACCEPTED},
        Verb.RETRY: {D.UNKNOWN: D.UNKNOWN, **dict.fromkeys((D.HELD, D.QUEUED, D.SCHEDULED), D.QUEUED)},
        Verb.RESEND: {one: one for one in (D.ACCEPTED, D.FAILED, D.SUPPRESSED, D.EXPIRED, D.CANCELLED, D.UNKNOWN)},
        Verb.CANCEL: dict.fromkeys((D.REQUESTED, D.SCHEDULED, D.HELD, D.QUEUED), D.CANCELLED),
        Verb.RELEASE: {D.HELD: D.QUEUED},
    }
    for verb, moves in fitting.items():
        effect_id = await in_state(store, state)
        assert (await seen(store, effect_id)).state is state
        before = len(await audited(store, effect_id))
        operation = order(verb, even_if_twice=True)
        if state not in moves:
            assert state.value in (told := await refused(store, operation, effect_id)) or "under way" in told
            continue
        operated = await done(store, operation, effect_id)
        assert (operated.before, operated.after) == (state, moves[state])
        assert (await seen(store, effect_id)).state is moves[state]
        row, *earlier = await audited(store, effect_id)
        assert len(earlier) == before
        assert (row.effect_id, row.verb, row.by, row.reason) == (effect_id, verb.value, "anna", "she saw it")
        assert (row.before, row.after) == (state.value, moves[state].value)


# Settling.


async def test_what_is_settled_as_accepted_has_the_providers_id_and_no_next_step(store: ExaminedStore) -> None:
    effect_id = await unknown(store, wait=SECOND, step=Step.LOOK_UP)
    keeps = Keeps(receipts=ReceiptWindow(within=HOUR))
    await done(store, order(Verb.SETTLE, provider_id="SM7"), effect_id, keeps=keeps)
    view = await seen(store, effect_id)
    assert (view.state, view.provider_id, view.unsettled, view.next_step) == (D.ACCEPTED, "SM7", 0, None)
    assert view.reason == "a person settled it as accepted: she saw it"
    (row,) = await audited(store, effect_id)
    assert json.loads(row.detail) == {"verdict": "accepted", "provider_id": "SM7"}
    assert view.changed_at <= row.at
    store.shift_clock(3_600_001)
    await store.expire()
    reported = (await seen(store, effect_id)).delivery
    assert reported is not None
    assert reported.value == "unconfirmed"


async def test_what_is_settled_as_not_sent_fails_for_good(store: ExaminedStore) -> None:
    effect_id = await unknown(store)
    await done(store, order(Verb.SETTLE, verdict=Verdict.NOT_SENT), effect_id)
    view = await seen(store, effect_id)
    assert (view.state, view.unsettled) == (D.FAILED, 0)
    assert await claim(store) == []


async def test_what_is_settled_as_not_sent_may_be_tried_once_more_and_is_no_duplicate_then(
    store: ExaminedStore,
) -> None:
    effect_id = await unknown(store)
    await done(store, order(Verb.SETTLE, verdict=Verdict.NOT_SENT, again=True), effect_id)
    (claimed,) = await claim(store)
    assert (claimed.effect_id, claimed.number, claimed.unsettled) == (effect_id, 2, 0)
    attempts = (await seen(store, effect_id)).attempts
    assert [(one.origin, one.possible_duplicate) for one in attempts] == [
        (Origin.SCHEDULED, False),
        (Origin.MANUAL, False),
    ]


async def test_nothing_is_settled_while_it_is_looked_up(store: ExaminedStore) -> None:
    effect_id = await unknown(store, wait=timedelta(), step=Step.LOOK_UP)
    (due,) = await store.claim_look_ups(GATEWAY, 10, token="t1", lease=LEASE)
    assert due.claimed.effect_id == effect_id
    for verb in Verb:
        assert "has a look-up at its provider under way" in await refused(store, order(verb), effect_id)


async def test_a_worker_that_comes_too_late_does_not_undo_what_a_person_settled(store: ExaminedStore) -> None:
    effect_id = await requested(store)
    (claimed,) = await claim(store)
    store.shift_clock(31_000)
    await store.lose_attempts("lost", lambda gateway, standing: Settled(state=D.UNKNOWN, reason="lost"))
    await done(store, order(Verb.SETTLE, verdict=Verdict.NOT_SENT), effect_id)
    assert await end_attempts(store, [ended(claimed, D.ACCEPTED, provider_id="SM1")]) == [False]
    view = await seen(store, effect_id)
    assert (view.state, view.provider_id) == (D.FAILED, None)
    assert "SM1" in view.attempts[0].evidence


# Retrying.


async def test_a_retry_of_an_unknown_effect_is_an_attempt_by_hand_and_a_possible_duplicate(
    store: ExaminedStore,
) -> None:
    effect_id = await unknown(store)
    assert await claim(store) == []
    operated = await done(store, order(Verb.RETRY), effect_id)
    assert operated.possible_duplicate
    (claimed,) = await claim(store)
    assert (claimed.effect_id, claimed.number, claimed.key) == (effect_id, 2, effect_id)
    (_, second) = (await seen(store, effect_id)).attempts
    assert (second.origin, second.possible_duplicate) == (Origin.MANUAL, True)
    assert json.loads((await audited(store, effect_id))[0].detail) == {"possible_duplicate": True}


async def test_an_attempt_by_hand_is_made_though_the_schedule_is_spent_and_the_next_one_is_not_by_hand(
    store: ExaminedStore,
) -> None:
    effect_id = await attempted(store, D.QUEUED, outcome="not sent", wait=HOUR)
    await done(store, order(Verb.RETRY), effect_id)
    (claimed,) = await claim(store)
    assert (claimed.number, claimed.counted) == (2, 2)
    await end_attempts(store, [ended(claimed, D.QUEUED, outcome="not sent", wait=SECOND)])
    store.shift_clock(1_001)
    await claim(store)
    origins = [one.origin for one in (await seen(store, effect_id)).attempts]
    assert origins == [Origin.SCHEDULED, Origin.MANUAL, Origin.SCHEDULED]


async def test_a_retry_under_a_good_key_is_no_duplicate_and_under_one_that_has_gone_must_be_said(
    store: ExaminedStore,
) -> None:
    effect_id = await unknown(store, intent={"policy": Policy.KEYED})
    assert not (await done(store, order(Verb.RETRY), effect_id, keeps=KEYED)).possible_duplicate
    (claimed,) = await claim(store, terms=msgspec.structs.replace(TERMS, keeps=KEYED))
    await end_attempts(store, [ended(claimed, D.UNKNOWN, outcome="unknown")])
    store.shift_clock(24 * 3_600_000)
    assert "even_if_twice=True" in await refused(store, order(Verb.RETRY), effect_id, keeps=KEYED)
    operated = await done(store, order(Verb.RETRY, even_if_twice=True), effect_id, keeps=KEYED)
    assert operated.possible_duplicate
    assert [one.effect_id for one in await claim(store)] == [effect_id]


async def test_what_could_not_be_attempted_is_not_retried(store: ExaminedStore, candidate: Candidate) -> None:
    late = await unknown(store, intent={"expires_after_ms": 60_000})
    store.shift_clock(60_001)
    assert "its time ran out" in await refused(store, order(Verb.RETRY), late)
    erased = await unknown(store)
    await run(store, f"DELETE FROM {candidate.table('effect_content')} WHERE effect_id = :id", id=erased)
    assert "erased" in await refused(store, order(Verb.RETRY), erased)
    assert "erased" in await refused(store, order(Verb.RESEND, even_if_twice=True), erased)


async def test_nothing_of_a_paused_tenant_is_released_or_retried(store: ExaminedStore, candidate: Candidate) -> None:
    held = await attempted(store, D.HELD, outcome="not sent", wait=HOUR)
    pause = candidate.table("pause")
    insert = f"INSERT INTO {pause} (tenant, reason, by_whom, at_ms) VALUES (:tenant, 'unpaid', 'bob', 0)"
    await run(store, insert, tenant=TENANT)
    try:
        for verb in (Verb.RETRY, Verb.RELEASE):
            assert "is paused (unpaid)" in await refused(store, order(verb), held)
    finally:
        await run(store, f"DELETE FROM {pause}")
    await done(store, order(Verb.RELEASE), held)


async def test_a_released_effect_is_due_at_once(store: ExaminedStore) -> None:
    effect_id = await attempted(store, D.HELD, outcome="not sent", wait=HOUR)
    assert await claim(store) == []
    await done(store, order(Verb.RELEASE), effect_id)
    assert [one.effect_id for one in await claim(store)] == [effect_id]


@pytest.mark.parametrize("destination", ["", "host.example"], ids=["account", "destination"])
async def test_a_person_who_releases_an_effect_has_its_provider_asked_at_once(
    store: ExaminedStore, destination: str
) -> None:
    prepared = msgspec.structs.replace(intent().prepared, destination="host.example")
    places = [destination_key(TENANT, destination), destination_key("other", "host.example")]
    away = [BreakerMove(gateway=GATEWAY, destination=place, open_for=HOUR, reason="away") for place in places]
    await store.turn(Turn(breakers=tuple(away)))
    effect_id = await requested(store, prepared=prepared)
    assert await claim(store) == []
    assert (await seen(store, effect_id)).state is D.HELD
    await done(store, order(Verb.RELEASE), effect_id)
    (claimed,) = await claim(store)
    assert (claimed.effect_id, claimed.is_probe) == (effect_id, True)
    untouched = [one for one in await store.breakers() if one.destination == places[1]]
    assert len(untouched) == 1
    await store.turn(Turn(breakers=tuple(msgspec.structs.replace(move, open_for=None) for move in away)))


# Sending again.


async def test_what_is_sent_again_holds_the_same_bytes_under_an_id_and_a_key_of_its_own(store: ExaminedStore) -> None:
    effect_id = await attempted(
        store, D.FAILED, outcome="not sent", intent={"reference": "order 7", "urgent": True, "expires_after_ms": 60_000}
    )
    old = await seen(store, effect_id)
    operated = await done(store, order(Verb.RESEND, trace="00-trace"), effect_id)
    new_id = derived_id(TENANT, effect_id, handler=RESEND, ordinal=1)
    assert (operated.resent_as, operated.generation, operated.is_repeat) == (new_id, 1, False)
    new = await seen(store, new_id)
    assert (new.state, new.resend_of, new.handler, new.attempts) == (D.REQUESTED, effect_id, "duly.resend", ())
    for field in ("type", "channel", "gateway", "policy", "recipient", "summary", "reference", "destination", "urgent"):
        assert getattr(new, field) == getattr(old, field)
    assert new.expires_at is None
    assert new.chain == (*old.chain, Link("effect", "duly.sms", effect_id, "shop.text_customer"))
    (claimed,) = await claim(store)
    assert (claimed.effect_id, claimed.key, claimed.number, claimed.trace) == (new_id, new_id, 1, "00-trace")
    assert claimed.prepared == intent().prepared
    assert (await seen(store, effect_id)).state is D.FAILED
    (row,) = await audited(store, effect_id)
    assert json.loads(row.detail) == {"resent_as": new_id, "generation": 1}


async def test_each_generation_is_made_once_and_without_one_the_next_is_made(store: ExaminedStore) -> None:
    effect_id = await in_state(store, D.ACCEPTED)
    first = await done(store, order(Verb.RESEND, generation=1), effect_id)
    again = await done(store, order(Verb.RESEND, generation=1), effect_id)
    assert (again.resent_as, again.is_repeat) == (first.resent_as, True)
    assert len(await audited(store, effect_id)) == 1
    assert "the next generation is 2" in await refused(store, order(Verb.RESEND, generation=3), effect_id)
    second = await done(store, order(Verb.RESEND), effect_id)
    assert (second.generation, second.resent_as == first.resent_as) == (2, False)
    assert len(await claim(store)) == 2


@shared
async def test_two_who_press_at_once_make_one_per_generation(store: ExaminedStore, second: ExaminedStore) -> None:
    effect_id = await in_state(store, D.FAILED)
    pressed = await asyncio.gather(
        *(done(keeper, order(Verb.RESEND, generation=1), effect_id) for keeper in (store, second) * 5)
    )
    assert len({one.resent_as for one in pressed}) == 1
    assert sorted(one.is_repeat for one in pressed) == [False] + [True] * 9
    assert len(await audited(store, effect_id)) == 1
    assert [one.effect_id for one in await claim(store)] == [pressed[0].resent_as]


async def test_an_unknown_effect_is_not_sent_again_while_something_comes_by_itself(store: ExaminedStore) -> None:
    looked_up = await unknown(store, wait=HOUR, step=Step.LOOK_UP)
    assert "by itself" in await refused(store, order(Verb.RESEND, even_if_twice=True), looked_up)
    still = await unknown(store)
    assert "even_if_twice=True" in await refused(store, order(Verb.RESEND), still)
    operated = await done(store, order(Verb.RESEND, even_if_twice=True), still)
    assert (operated.possible_duplicate, operated.after) == (True, D.UNKNOWN)


# Many at once, and whose.


async def test_many_are_told_apart_in_their_order(store: ExaminedStore) -> None:
    failed, other, waiting = await in_state(store, D.FAILED), await in_state(store, D.QUEUED), await requested(store)
    results = await operate(store, order(Verb.CANCEL), other, failed, "no such effect", waiting)
    assert [type(one) for one in results] == [Operated, Refused, Refused, Operated]
    assert [one.effect_id for one in results] == [other, failed, "no such effect", waiting]
    assert [one.is_missing for one in results if isinstance(one, Refused)] == [False, True]
    assert len(await audited(store, failed)) == 0


async def test_what_has_moved_since_it_was_counted_is_passed_over(store: ExaminedStore) -> None:
    stays, moves = await in_state(store, D.HELD), await in_state(store, D.HELD)
    counted = await store.count_for(TENANT, Verb.CANCEL, EffectFilter(states=(D.HELD,)), 10)
    assert [one.effect_id for one in counted] == [stays, moves]
    await done(store, order(Verb.RELEASE), moves)
    aims = [Aim(one.effect_id, one.moves) for one in counted]
    first, second = (await store.operate(order(Verb.CANCEL), aims, {})).results
    assert isinstance(first, Operated)
    assert isinstance(second, Refused)
    assert second.reason == "has moved since it was counted; it is queued now."


async def test_a_count_finds_what_the_verb_may_fit_the_oldest_first(store: ExaminedStore) -> None:
    ids = {state: await in_state(store, state) for state in (D.HELD, D.FAILED, D.UNKNOWN, D.SCHEDULED, D.SUPPRESSED)}
    mail = await requested(store, channel="email", gateway="mail", after_ms=1_000)

    async def found(verb: Verb, rows_max: int = 99, **wanted: Any) -> list[str]:
        counted = await store.count_for(TENANT, verb, EffectFilter(**wanted), rows_max)
        return [one.effect_id for one in counted]

    assert await found(Verb.CANCEL) == [ids[D.HELD], ids[D.SCHEDULED], mail]
    assert await found(Verb.CANCEL, 2) == [ids[D.HELD], ids[D.SCHEDULED]]
    assert await found(Verb.CANCEL, channel="email") == [mail]
    assert await found(Verb.CANCEL, states=(D.FAILED,)) == []
    assert await found(Verb.CANCEL, states=(D.FAILED, D.HELD), gateway="sms") == [ids[D.HELD]]
    assert await found(Verb.SETTLE) == [ids[D.UNKNOWN]]
    assert await found(Verb.RESEND, states=(D.FAILED, D.SUPPRESSED)) == [ids[D.FAILED], ids[D.SUPPRESSED]]
    await done(store, order(Verb.RESEND), ids[D.FAILED])
    assert await found(Verb.RESEND, states=(D.FAILED, D.SUPPRESSED)) == [ids[D.SUPPRESSED]]
    assert await store.count_for("other", Verb.CANCEL, EffectFilter(), 9) == []


async def test_another_tenants_effect_is_out_of_reach(store: ExaminedStore) -> None:
    effect_id = await in_state(store, D.HELD)
    before = await seen(store, effect_id)
    for verb in Verb:
        (result,) = await operate(store, order(verb, tenant="other", even_if_twice=True), effect_id)
        assert isinstance(result, Refused)
        assert result.is_missing
    assert await seen(store, effect_id) == before
    assert await store.audit("other", effect_id=None, rows_max=9) == []
    assert await store.audit("other", effect_id=effect_id, rows_max=9) == []


@pytest.mark.parametrize("effect_id", ["", "nul \0", "half a \ud83d pair"])
async def test_what_cannot_be_an_id_is_simply_not_there(store: ExaminedStore, effect_id: str) -> None:
    (result,) = await operate(store, order(Verb.CANCEL), effect_id)
    assert result == Refused(effect_id=effect_id, reason="does not exist in tenant 'acme'.", is_missing=True)


async def test_what_people_did_in_a_tenant_is_listed_the_latest_first(store: ExaminedStore) -> None:
    tenant = f"t-{uuid4().hex}"
    ids = []
    for number in range(3):
        one = intent()
        await store.commit(change(tenant=tenant, intents=(one,)))
        operation = order(Verb.CANCEL, tenant=tenant, by=f"person {number}", plan="p1")
        assert isinstance((await operate(store, operation, one.id))[0], Operated)
        ids.append(one.id)
    rows = await store.audit(tenant, effect_id=None, rows_max=2)
    assert [(row.effect_id, row.by) for row in rows] == [(ids[2], "person 2"), (ids[1], "person 1")]
    assert json.loads(rows[0].detail) == {"plan": "p1"}


# One commit, and one winner.


@asynccontextmanager
async def audit_out_of_order(store: ExaminedStore, candidate: Candidate) -> AsyncIterator[None]:
    """While it lasts no audit row can be written."""
    name, away = candidate.table("audit"), "duly_audit_away" if candidate.name != "postgres" else "audit_away"
    back = "duly.audit_away" if candidate.name == "postgres" else away
    await run(store, f"ALTER TABLE {name} RENAME TO {away}")
    try:
        yield
    finally:
        await run(store, f"ALTER TABLE {back} RENAME TO {name.removeprefix('duly.')}")


async def test_without_its_audit_row_nothing_is_done(store: ExaminedStore, candidate: Candidate) -> None:
    ids = {Verb.SETTLE: D.UNKNOWN, Verb.RETRY: D.HELD, Verb.RESEND: D.FAILED, Verb.CANCEL: D.HELD, Verb.RELEASE: D.HELD}
    effects = {verb: await in_state(store, state) for verb, state in ids.items()}
    counts = await candidate.row_counts(store)
    async with audit_out_of_order(store, candidate):
        for verb, effect_id in effects.items():
            with pytest.raises(Exception, match="audit"):
                await operate(store, order(verb), effect_id)
    assert await candidate.row_counts(store) == counts
    for verb, effect_id in effects.items():
        assert (await seen(store, effect_id)).state is ids[verb]


@shared
@pytest.mark.parametrize("round_", range(5))
async def test_of_two_people_at_once_one_settles_and_the_audit_says_who(
    store: ExaminedStore, second: ExaminedStore, round_: int
) -> None:
    effect_id = await unknown(store)
    results = await asyncio.gather(
        operate(store, order(Verb.SETTLE, by="anna", provider_id="SM1"), effect_id),
        operate(second, order(Verb.SETTLE, by="bob", verdict=Verdict.NOT_SENT), effect_id),
    )
    (winner,) = [one for (one,) in results if isinstance(one, Operated)]
    view = await seen(store, effect_id)
    (row,) = await audited(store, effect_id)
    assert row.by == ("anna" if view.state is D.ACCEPTED else "bob")
    assert (view.provider_id == "SM1") is (row.by == "anna")
    assert (row.before, row.after) == ("unknown", winner.after.value) == ("unknown", view.state.value)


@shared
async def test_of_a_person_who_cancels_and_a_sender_who_claims_one_wins(
    store: ExaminedStore, second: ExaminedStore
) -> None:
    ids = [await requested(store) for _ in range(40)]

    async def send() -> list[str]:
        claimed: list[str] = []
        for _ in range(20):
            claimed += [one.effect_id for one in await claim(second, 2)]
        return claimed

    async def cancel(some: Sequence[str]) -> list[str]:
        results = [one for effect_id in some for one in await operate(store, order(Verb.CANCEL), effect_id)]
        return [one.effect_id for one in results if isinstance(one, Operated)]

    claimed, cancelled = await asyncio.gather(send(), cancel(ids[::-1]))
    assert sorted(claimed + cancelled) == sorted(ids)
    assert claimed
    assert cancelled
    for effect_id in ids:
        view, rows = await seen(store, effect_id), await audited(store, effect_id)
        is_cancelled = effect_id in cancelled
        assert view.state is (D.CANCELLED if is_cancelled else D.ATTEMPTING)
        assert (len(view.attempts), len(rows)) == ((0, 1) if is_cancelled else (1, 0))


@shared
async def test_of_a_person_who_settles_and_a_receipt_that_settles_one_wins(
    store: ExaminedStore, second: ExaminedStore
) -> None:
    for number in range(10):
        effect_id = await unknown(store)
        receipt = Receipt(
            dedupe=f"{effect_id}-{number}", effect_id=effect_id, provider_id="SM9", delivery=Delivery.DELIVERED
        )
        (result,), taken = await asyncio.gather(
            operate(store, order(Verb.SETTLE, verdict=Verdict.NOT_SENT), effect_id),
            second.take_receipts(GATEWAY, [receipt], within=HOUR),
        )
        assert taken.new == 1
        view, rows = await seen(store, effect_id), await audited(store, effect_id)
        if isinstance(result, Operated):
            assert (view.state, len(rows)) == (D.FAILED, 1)
        else:
            assert (view.state, view.provider_id, rows) == (D.ACCEPTED, "SM9", [])
        assert [one.delivery for one in view.receipts] == [Delivery.DELIVERED]
