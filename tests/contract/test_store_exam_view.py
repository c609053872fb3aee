"""The exam of every keeper: a tenant's effects, filtered and by pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from duly.effects.cursors import cursor_of, place_of
from duly.errors import InvalidInput
from duly.messages.envelope import Link
from duly.ports.change import Done, Intent
from duly.ports.gateway import Prepared
from duly.ports.ledger_view import EffectFilter, EffectView, Place
from duly.states.delivery import Delivery
from duly.states.effect import Dispatch, Step
from duly.states.policy import Policy
from duly.stores import view_scripts
from duly.testing.store_exam import (
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

SECOND = timedelta(seconds=1)
OPEN = EffectFilter()

HOSTILE = (
    "'",
    "''",
    '"',
    "\\",
    "\\'",
    "' OR '1'='1",
    "' OR 1=1 --",
    "' OR 1=1 #",
    "' OR 1=1/*",
    "') OR ('1'='1",
    "acme' --",
    "acme'; --",
    "'; DROP TABLE duly_effect; --",
    "'; DROP SCHEMA duly CASCADE; --",
    "'; DELETE FROM duly.effect WHERE 'a' = 'a",
    "' UNION SELECT * FROM duly.effect --",
    "' UNION ALL SELECT id, tenant FROM duly_effect --",
    "other",
    "other' OR tenant = 'other",
    "%",
    "_",
    "%%%",
    "*",
    "?",
    ":tenant",
    "$1",
    "%s",
    "{where}",
    "{tenant}",
    "NULL",
    "null",
    "true",
    "0",
    "-1",
    "1e309",
    "",
    " ",
    "\0",
    "a\0b",
    "half a \ud83d pair",
    "\u202e",
    "ﬀ",
    "\u02bc OR 1=1",
    "\n\r\t",
    "[]",
    "{}",
    '["command"',
    "x" * 100_000,
    "pg_sleep(10)",
    "E'\\x27'",
    "$$; SELECT 1; $$",
)
TEXT_FILTERS = ("channel", "type", "gateway", "recipient", "reference", "cause")


async def requested(store: ExaminedStore, *intents: Intent, tenant: str = TENANT) -> list[str]:
    """Request effects, each in a commit and a millisecond of its own; their ids."""
    for one in intents:
        assert await store.commit(change(tenant=tenant, intents=(one,))) == Done()
        store.shift_clock(1)
    return [one.id for one in intents]


def to(recipient: str, **parts: Any) -> Intent:
    """An intent for somebody."""
    prepared = Prepared(recipient=recipient, summary="Hello", content_type="text/plain", body=b"Hello")
    return intent(prepared=prepared, **parts)


def because_of(*ids: str, **parts: Any) -> Intent:
    """An intent with a chain of causes."""
    chain = tuple(Link("event", f"shop.E{place}", message, "shop.handler") for place, message in enumerate(ids))
    return intent(chain=chain, correlation=ids[0], **parts)


async def pages(
    store: ExaminedStore, wanted: EffectFilter = OPEN, rows_max: int = 2, tenant: str = TENANT
) -> AsyncIterator[list[EffectView]]:
    """All pages."""
    after: Place | None = None
    while True:
        page, after = await store.page(tenant, wanted, after, rows_max)
        yield page
        if after is None:
            return


async def found(store: ExaminedStore, rows_max: int = 100, tenant: str = TENANT, **wanted: Any) -> list[str]:
    """The ids of the effects that fit, over all pages."""
    return [view.id async for page in pages(store, EffectFilter(**wanted), rows_max, tenant) for view in page]


async def test_pages_hold_every_effect_once_the_latest_first(store: ExaminedStore) -> None:
    ids = await requested(store, *(intent() for _ in range(7)))
    seen = [[view.id for view in page] async for page in pages(store)]
    assert seen == [[ids[6], ids[5]], [ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]


async def test_the_last_page_is_known_to_be_the_last_also_when_it_is_full(store: ExaminedStore) -> None:
    await requested(store, *(intent() for _ in range(4)))
    assert [len(page) async for page in pages(store)] == [2, 2]
    assert [len(page) async for page in pages(store, tenant="other")] == [0]


async def test_a_cursor_outlives_the_effect_that_it_came_from(store: ExaminedStore) -> None:
    ids = await requested(store, *(intent() for _ in range(5)))
    page, after = await store.page(TENANT, OPEN, None, 2)
    assert after is not None
    (claimed,) = [one for one in await claim(store) if one.effect_id == page[-1].id]
    await end_attempts(store, [ended(claimed, Dispatch.ACCEPTED)])
    await store.keep_keys([claimed.effect_id])
    assert await store.drop_effects([claimed.effect_id]) == 1
    following, _ = await store.page(TENANT, OPEN, place_of(cursor_of(after)), 9)
    assert [view.id for view in following] == [ids[2], ids[1], ids[0]]


async def test_what_comes_in_while_somebody_pages_moves_nothing(store: ExaminedStore) -> None:
    ids = await requested(store, *(intent() for _ in range(3)))
    _, after = await store.page(TENANT, OPEN, None, 1)
    await requested(store, intent())
    page, _ = await store.page(TENANT, OPEN, after, 9)
    assert [view.id for view in page] == [ids[1], ids[0]]


async def test_effects_of_one_moment_are_parted_by_a_page_as_they_were_requested(store: ExaminedStore) -> None:
    intents = tuple(intent() for _ in range(9))
    await store.commit(change(intents=intents))
    assert await found(store, rows_max=2) == [one.id for one in reversed(intents)]


async def test_each_filter_finds_what_fits_and_nothing_else(store: ExaminedStore) -> None:
    plain = intent()
    mail = intent(channel="email", gateway="mail", type="duly.email")
    ann = to("ann@example.com")
    order = intent(reference="order-42")
    caused = because_of("command-9", "event-7")
    await requested(store, plain, mail, ann, order, caused)
    await requested(
        store,
        *(msgspec.structs.replace(one, id=f"theirs-{one.id}") for one in (mail, ann, order, caused)),
        tenant="other",
    )
    assert await found(store, channel="email") == [mail.id]
    assert await found(store, gateway="mail") == [mail.id]
    assert await found(store, type="duly.email") == [mail.id]
    assert await found(store, recipient="ann@example.com") == [ann.id]
    assert await found(store, reference="order-42") == [order.id]
    assert await found(store, cause="command-9") == [caused.id]
    assert await found(store, cause="command-1") == [order.id, ann.id, mail.id, plain.id]
    assert await found(store, channel="sms", recipient="ann@example.com", reference="order-42") == []
    assert await found(store, channel="sms", type="duly.sms", gateway="sms", cause="command-9") == [caused.id]
    assert await found(store) == [caused.id, order.id, ann.id, mail.id, plain.id]


async def test_an_effect_is_found_by_any_message_of_its_chain(store: ExaminedStore) -> None:
    first = because_of("command-9", "event-7", "event-8")
    second = because_of("command-9", "event-7")
    await requested(store, first, second)
    assert await found(store, cause="event-7") == [second.id, first.id]
    assert await found(store, cause="event-8") == [first.id]
    assert await found(store, cause="event") == []
    assert await found(store, cause="event-7", channel="email") == []


async def test_effects_are_found_by_several_states_in_one_order(store: ExaminedStore) -> None:
    ids = await requested(store, *(intent() for _ in range(6)))
    claimed = {one.effect_id: one for one in await claim(store, 4)}
    outcomes = (Dispatch.FAILED, Dispatch.UNKNOWN, Dispatch.ACCEPTED, Dispatch.FAILED)
    await end_attempts(store, [ended(claimed[one], state) for one, state in zip(ids, outcomes, strict=False)])
    wanted = (Dispatch.FAILED, Dispatch.UNKNOWN)
    assert await found(store, states=wanted, rows_max=1) == [ids[3], ids[1], ids[0]]
    assert await found(store, states=(Dispatch.FAILED,)) == [ids[3], ids[0]]
    assert await found(store, states=(Dispatch.ACCEPTED,), rows_max=1) == [ids[2]]
    assert await found(store, states=(Dispatch.ACCEPTED, Dispatch.UNKNOWN)) == [ids[2], ids[1]]
    assert await found(store, states=wanted, channel="sms", rows_max=1) == [ids[3], ids[1], ids[0]]
    assert await found(store, states=wanted, channel="email") == []
    assert await found(store, states=(Dispatch.FAILED,), recipient="+491") == [ids[3], ids[0]]
    assert await found(store, states=tuple(Dispatch)) == ids[::-1]


async def test_effects_are_found_by_the_time_of_their_request(store: ExaminedStore) -> None:
    ids = await requested(store, *(intent() for _ in range(4)))
    times = [view.requested_at async for page in pages(store) for view in page][::-1]
    assert await found(store, requested_from=times[1]) == [ids[3], ids[2], ids[1]]
    assert await found(store, requested_to=times[1]) == [ids[0]]
    assert await found(store, requested_from=times[1], requested_to=times[3], rows_max=1) == [ids[2], ids[1]]
    just_after = times[1] + timedelta(microseconds=1)
    assert await found(store, requested_from=just_after) == [ids[3], ids[2]]
    assert await found(store, requested_to=just_after) == [ids[1], ids[0]]
    assert await found(store, requested_from=datetime(1, 1, 1, tzinfo=UTC)) == ids[::-1]
    assert await found(store, requested_from=datetime(9999, 1, 1, tzinfo=UTC)) == []


async def test_what_no_index_leads_to_is_found_over_pages_that_look_at_few_rows(
    store: ExaminedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_scripts, "ROWS_SCANNED_MAX", 3)
    rare = intent(type="duly.rare")
    before, after = [intent() for _ in range(7)], [intent() for _ in range(8)]
    await requested(store, *before, rare, *after)
    sizes = [len(page) async for page in pages(store, EffectFilter(type="duly.rare"))]
    assert sum(sizes) == 1
    assert len(sizes) == 6  # 16 effects, three at a time
    assert await found(store, type="duly.sms", rows_max=2) == [one.id for one in (*after[::-1], *before[::-1])]


async def test_several_states_with_a_filter_on_the_way_miss_nothing_over_short_pages(
    store: ExaminedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_scripts, "ROWS_SCANNED_MAX", 2)
    intents = [intent(type=f"duly.t{number % 3}") for number in range(24)]
    ids = await requested(store, *intents)
    # The earlier half has failed, but for some; the later half still waits.
    for one in await claim(store, 12):
        state = Dispatch.UNKNOWN if ids.index(one.effect_id) % 4 == 1 else Dispatch.FAILED
        await end_attempts(store, [ended(one, state)])
    for number in range(3):
        expected = [one.id for one in reversed(intents) if one.type == f"duly.t{number}"]
        states = (Dispatch.FAILED, Dispatch.UNKNOWN, Dispatch.REQUESTED)
        assert await found(store, states=states, type=f"duly.t{number}", rows_max=2) == expected


async def test_a_recipient_with_very_many_effects_is_looked_for_on_the_way(
    store: ExaminedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_scripts, "RECIPIENT_EFFECTS_MAX", 3)
    often, seldom = [to("often@example.com") for _ in range(5)], to("seldom@example.com")
    await requested(store, *often[:2], seldom, *often[2:])
    assert await found(store, recipient="often@example.com", rows_max=2) == [one.id for one in reversed(often)]
    assert await found(store, recipient="seldom@example.com") == [seldom.id]
    assert await found(store, recipient="often@example.com", states=(Dispatch.REQUESTED,)) == [
        one.id for one in reversed(often)
    ]


@pytest.mark.parametrize("field", TEXT_FILTERS)
async def test_no_hostile_value_in_a_filter_finds_anything_or_breaks_anything(
    store: ExaminedStore, candidate: Candidate, field: str
) -> None:
    mine = await requested(store, to("ann@example.com", reference="order-42"), because_of("command-9", "event-7"))
    await requested(store, intent(reference="theirs"), tenant="other")
    counts = await candidate.row_counts(store)
    for value in HOSTILE:
        wanted: dict[str, Any] = {field: value}
        assert await store.page(TENANT, EffectFilter(**wanted), None, 10) == ([], None), value
        assert await store.effect(TENANT, value) is None
        assert await store.effects(TENANT, state=None, channel=None, after=value, rows_max=9) == []
        assert await store.suppression(TENANT, value, value) is None
        assert await store.suppressions(TENANT, value, (value, value), 9) == []
    assert await candidate.row_counts(store) == counts
    assert await found(store) == mine[::-1]


async def test_hostile_values_together_find_nothing(store: ExaminedStore) -> None:
    await requested(store, intent(reference="order-42"))
    for value in HOSTILE:
        wanted: dict[str, Any] = dict.fromkeys(TEXT_FILTERS, value)
        assert await found(store, **wanted) == []


async def test_a_value_with_signs_of_sql_is_found_as_it_is(store: ExaminedStore) -> None:
    for value in ("o'Brien%_", "a\\b", 'say "hi"', "x}y{z", "Ünï ☃"):
        one = because_of("root", value, reference=value, prepared=to(value).prepared)
        await requested(store, one)
        assert await found(store, reference=value) == [one.id]
        assert await found(store, recipient=value) == [one.id]
        assert await found(store, cause=value) == [one.id]


async def test_the_view_shows_everything_about_an_effect(store: ExaminedStore) -> None:
    one = intent(
        reference="order-42",
        urgent=True,
        policy=Policy.AT_LEAST_ONCE,
        expires_after_ms=86_400_000,
        prepared=Prepared(recipient="hook", summary="s", content_type="t", body=b"b", destination="host.example"),
    )
    await requested(store, one)
    for state in (Dispatch.UNKNOWN, Dispatch.UNKNOWN):
        (claimed,) = await claim(store)
        await end_attempts(store, [ended(claimed, state, wait=SECOND, reason="timed out")])
        store.shift_clock(1_000)
    view = await store.effect(TENANT, one.id)
    assert view is not None
    assert (view.policy, view.reference, view.urgent) == (Policy.AT_LEAST_ONCE, "order-42", True)
    assert (view.destination, view.unsettled, view.resend_of) == ("host.example", 2, None)
    assert view.expires_at == view.requested_at + timedelta(days=1)
    assert (view.delivery, view.delivery_at, view.receipts) == (None, None, ())
    assert [attempt.possible_duplicate for attempt in view.attempts] == [False, True]
    assert {(attempt.key, attempt.digest) for attempt in view.attempts} == {(one.key, "e1")}


async def test_an_unknown_effect_says_what_comes_next_and_when(store: ExaminedStore) -> None:
    (effect_id,) = await requested(store, intent())

    async def after(**parts: Any) -> tuple[Step | None, bool, bool]:
        (claimed,) = await claim(store)
        await end_attempts(store, [ended(claimed, Dispatch.UNKNOWN, **parts)])
        view = await store.effect(TENANT, effect_id)
        assert view is not None
        store.shift_clock(5_000)
        return view.next_step, view.next_step_at is not None, view.next_attempt_at is not None

    assert await after(wait=5 * SECOND) == (Step.ATTEMPT, True, True)
    assert await after(wait=SECOND, step=Step.LOOK_UP) == (Step.LOOK_UP, True, False)
    (due,) = await store.claim_look_ups("sms", 9, token="t", lease=SECOND)
    view = await store.effect(TENANT, effect_id)
    assert view is not None
    assert (due.claimed.effect_id, view.next_step, view.next_step_at) == (effect_id, None, None)


async def test_attempts_of_others_are_never_shown(store: ExaminedStore) -> None:
    (mine,) = await requested(store, intent())
    (theirs,) = await requested(store, intent(), tenant="other")
    await claim(store)
    await lose_attempts(store, "nothing")
    for tenant, own in ((TENANT, mine), ("other", theirs)):
        (page,) = [page async for page in pages(store, tenant=tenant)]
        assert [(view.id, view.tenant, len(view.attempts)) for view in page] == [(own, tenant, 1)]


async def test_a_delivery_is_a_filter(store: ExaminedStore) -> None:
    ids = await requested(store, intent(), intent())
    claimed = await claim(store)
    await end_attempts(store, [ended(one, Dispatch.ACCEPTED, confirm_within=SECOND) for one in claimed[:1]])
    store.shift_clock(1_001)
    await store.expire()
    assert await found(store, delivery=Delivery.UNCONFIRMED) == [claimed[0].effect_id]
    assert await found(store, delivery=Delivery.DELIVERED) == []
    assert set(await found(store)) == set(ids)


def test_a_cursor_says_nothing_but_a_place() -> None:
    place = Place(1_700_000_000_123, 42)
    assert place_of(cursor_of(place)) == place


def spoiled() -> Sequence[str]:
    """Cursors that nobody has handed out."""
    return (*HOSTILE, cursor_of(Place(1, 1)) + "x", "MS4x.", "LTEuMQ", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAuMQ")


@pytest.mark.parametrize("cursor", spoiled())
def test_a_spoiled_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="is no cursor"):
        place_of(cursor)
