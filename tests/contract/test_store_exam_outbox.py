"""The exam of every keeper: messages, promises, subscribers, buckets and lanes."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from duly.messages.envelope import Kind, Link
from duly.messages.identity import BUCKETS, bucket_of
from duly.ports.change import Done, Promise, Void
from duly.ports.store import Due, Look, Subscription
from duly.testing.store_exam import (
    LEASE,
    TENANT,
    Candidate,
    ExaminedStore,
    change,
    delivered,
    document,
    due_rows,
    event,
    own_all,
    said,
)

LEASE_MILLISECONDS = int(LEASE.total_seconds() * 1_000)
SECOND = timedelta(seconds=1)


async def one_due(store: ExaminedStore, lane: str = "acme/a") -> Due:
    """Promise one message in a lane, and take it up."""
    await store.commit(said(lane))
    return next(due for due in await due_rows(store) if due.lane == lane)


# What is said, and to whom.


async def test_a_message_reaches_its_subscriber_with_every_field(store: ExaminedStore) -> None:
    long_chain = tuple(Link("event", f"shop.E{number}", f"id-{number}", "h") for number in range(32))
    messages = (
        event(),
        event(kind=Kind.PUBLIC, stream_version=2_000_000_000),
        event(kind=Kind.COMMAND, personal=None, subject=None, stream=None, stream_version=None, handler="", trace=None),
        event(chain=long_chain, body='{"text":"' + "x" * 200_000 + '"}'),
        event(chain=()),
    )
    promises = tuple(Promise(place, 1, f"acme/{place}", place) for place in range(len(messages)))
    await store.commit(change(messages=messages, events=5, promises=promises))
    found = await due_rows(store)
    assert [due.envelope for due in found] == list(messages)
    assert [(due.bucket, due.subscriber, due.lane, due.attempts) for due in found] == [
        (place, 1, f"acme/{place}", 0) for place in range(len(messages))
    ]


async def test_outbox_rows_come_in_the_order_of_commits_and_within_one_of_its_promises(store: ExaminedStore) -> None:
    messages = tuple(event(f"acme/{name}") for name in "abc")
    places = [2, 0, 1, 0, 2]
    for _ in range(2):
        promises = tuple(Promise(place, 1 + number % 2, "acme/x", 5) for number, place in enumerate(places))
        await store.commit(change(messages=messages, events=3, promises=promises))
    found = await due_rows(store, (1, 2))
    assert [due.row for due in found] == sorted(due.row for due in found)
    assert [due.envelope.id for due in found] == [messages[place].id for place in places] * 2
    assert [due.subscriber for due in found] == [1, 2, 1, 2, 1] * 2


async def test_due_rows_can_be_asked_for_by_bucket_subscriber_place_and_number(store: ExaminedStore) -> None:
    promises = tuple(Promise(0, 1 + number % 3, f"acme/{number}", number % 4) for number in range(12))
    await store.commit(change(messages=(event(),), events=1, promises=promises))
    rows = [due.row for due in await due_rows(store, (1, 2, 3))]
    assert len(rows) == 12
    some = Look(buckets=[1, 3], subscribers=[1, 2, 3], rows_max=100)
    assert [due.bucket for due in (await store.look(some)).rows] == [1, 3] * 3
    assert [due.subscriber for due in await due_rows(store, (3,))] == [3] * 4
    assert [due.row for due in await due_rows(store, (1, 2, 3), rows_max=3)] == rows[:3]
    left_out = [(1, "acme/0"), (2, "acme/1"), (2, "acme/3")]
    assert [due.row for due in await due_rows(store, (1, 2, 3), but_for=left_out)] == rows[2:]
    assert (await store.look(Look(buckets=[], subscribers=[1, 2, 3], rows_max=100))).rows == []
    assert (await store.look(Look(buckets=[1], subscribers=[], rows_max=100))).rows == []
    behind = Look(buckets=range(BUCKETS), subscribers=[1, 2, 3], rows_max=2, after=rows[3], but_for_rows=[rows[5]])
    seen = await store.look(behind)
    assert ([due.row for due in seen.rows], seen.cut_at) == ([rows[4], rows[6]], rows[6])
    last = msgspec.structs.replace(behind, after=rows[-2])
    assert ([due.row for due in (await store.look(last)).rows], (await store.look(last)).cut_at) == ([rows[-1]], None)


async def test_subscribers_get_numbers_that_stay(store: ExaminedStore) -> None:
    first = await store.subscribe([Subscription("shop.a"), Subscription("shop.b")])
    assert len(set(first.values())) == 2
    assert await store.subscribe([Subscription("shop.b"), Subscription("shop.a")]) == first
    assert (await store.subscribe([Subscription("shop.c")]))["shop.c"] not in first.values()


async def test_a_renamed_subscriber_keeps_its_number_and_its_backlog(store: ExaminedStore) -> None:
    numbers = await store.subscribe([Subscription("shop.old")])
    await store.commit(said("acme/a", subscriber=numbers["shop.old"]))
    renamed = await store.subscribe([Subscription("shop.new", ("shop.older", "shop.old"))])
    assert renamed == {"shop.new": numbers["shop.old"]}
    assert len(await due_rows(store, (renamed["shop.new"],))) == 1
    assert await store.subscribe([Subscription("shop.new", ("shop.older", "shop.old"))]) == renamed
    # Somebody takes the old name for something else: that is a new subscriber.
    assert (await store.subscribe([Subscription("shop.old")]))["shop.old"] != renamed["shop.new"]


# Buckets.


async def test_a_lone_worker_owns_all_buckets_and_keeps_its_tokens(store: ExaminedStore) -> None:
    owned = await own_all(store)
    assert (sorted(owned.tokens), owned.share) == (list(range(BUCKETS)), BUCKETS)
    assert len(set(owned.tokens.values())) == BUCKETS
    store.shift_clock(LEASE_MILLISECONDS - 1_000)
    assert await own_all(store) == owned
    store.shift_clock(LEASE_MILLISECONDS - 1_000)
    assert await own_all(store) == owned


async def test_two_workers_come_to_a_fair_share_each(store: ExaminedStore) -> None:
    first = await own_all(store, "one")
    waiting = await own_all(store, "two")
    assert (dict(waiting.tokens), waiting.share) == ({}, BUCKETS // 2)
    surplus = list(first.tokens)[BUCKETS // 2 :]
    kept = await store.own_buckets("one", LEASE, let_go=surplus)
    assert (len(kept.tokens), kept.share) == (BUCKETS // 2, BUCKETS // 2)
    taken = await own_all(store, "two")
    assert sorted([*kept.tokens, *taken.tokens]) == list(range(BUCKETS))
    assert not {*taken.tokens.values()} & {*first.tokens.values()}


async def test_the_buckets_of_a_worker_that_fell_silent_are_taken_with_new_tokens(store: ExaminedStore) -> None:
    first = await own_all(store, "one")
    store.shift_clock(LEASE_MILLISECONDS + 1_000)
    second = await own_all(store, "two")
    assert (len(second.tokens), second.share) == (BUCKETS, BUCKETS)
    assert not {*first.tokens.values()} & {*second.tokens.values()}
    assert dict((await own_all(store, "one")).tokens) == {}


async def test_a_worker_that_ends_as_planned_leaves_its_buckets_at_once(store: ExaminedStore) -> None:
    await own_all(store, "one")
    await store.disown("one")
    assert len((await own_all(store, "two")).tokens) == BUCKETS


async def test_buckets_are_told_apart_that_were_taken_from_a_worker_that_was_lost(store: ExaminedStore) -> None:
    await store.commit(said("acme/a", "acme/b"))
    last = (await due_rows(store))[-1].row
    assert (await own_all(store, "one")).unclean == {}
    store.shift_clock(LEASE_MILLISECONDS + 1_000)
    assert (await own_all(store, "one")).unclean == {}, "it was silent for a while, and is here still"
    store.shift_clock(LEASE_MILLISECONDS + 1_000)
    assert (await own_all(store, "two")).unclean == dict.fromkeys(range(BUCKETS), last)
    assert (await own_all(store, "two")).unclean == {}
    await store.disown("two")
    assert (await own_all(store, "three")).unclean == {}


async def test_what_a_former_owner_does_is_void(store: ExaminedStore, candidate: Candidate) -> None:
    due = await one_due(store)
    former = await own_all(store, "one")
    store.shift_clock(LEASE_MILLISECONDS + 1_000)
    owner = await own_all(store, "two")
    counts = await candidate.row_counts(store)
    late = change(delivered=delivered(due, former), documents=(document(),))
    assert isinstance(await store.commit(late), Void)
    token = former.tokens[due.bucket]
    assert await store.hold(due, token, attempts=1, wait=SECOND, reason="no") is False
    assert await store.park(due, token, attempts=1, reason="no") is False
    assert await candidate.row_counts(store) == counts
    assert await store.commit(change(delivered=delivered(due, owner))) == Done()


# Lanes.


async def test_a_lane_on_hold_waits_until_its_time_and_tells_its_failures(store: ExaminedStore) -> None:
    head = await one_due(store)
    await store.commit(said("acme/a", "acme/b"))
    token = (await own_all(store)).tokens[head.bucket]
    assert await store.hold(head, token, attempts=2, wait=10 * SECOND, reason="it broke") is True
    assert [due.lane for due in await due_rows(store)] == ["acme/b"]
    assert await store.undelivered(SECOND) == 1
    assert await store.undelivered(11 * SECOND) == 3
    store.shift_clock(9_000)
    assert [due.lane for due in await due_rows(store)] == ["acme/b"]
    store.shift_clock(1_001)
    found = await due_rows(store)
    assert [(due.lane, due.attempts) for due in found] == [("acme/a", 2), ("acme/a", 0), ("acme/b", 0)]
    assert found[0].row == head.row


async def test_a_quick_look_leaves_out_lanes_with_a_hold_also_when_it_is_over(store: ExaminedStore) -> None:
    head = await one_due(store)
    token = (await own_all(store)).tokens[head.bucket]
    quick = Look(buckets=range(BUCKETS), subscribers=(1,), rows_max=10, after=head.row, with_held=False)
    full = msgspec.structs.replace(quick, after=0, with_held=True)
    assert (await store.look(quick)).next_hold is None
    await store.hold(head, token, attempts=0, wait=10 * SECOND, reason="it is unknown here")
    await store.commit(said("acme/a", "acme/b"))
    seen = await store.look(quick)
    assert [due.lane for due in seen.rows] == ["acme/b"]
    assert seen.next_hold is not None
    assert 9 * SECOND < seen.next_hold <= 10 * SECOND
    store.shift_clock(10_001)
    again = await store.look(quick)
    assert [due.lane for due in again.rows] == ["acme/b"]
    assert again.next_hold is not None
    assert again.next_hold <= 0 * SECOND, "a full look would show more"
    shown = await store.look(full)
    assert [(due.lane, due.is_held, due.attempts) for due in shown.rows] == [
        ("acme/a", True, 0),
        ("acme/a", True, 0),
        ("acme/b", False, 0),
    ]
    assert shown.next_hold is None


async def test_a_delivery_ends_a_hold_that_counted_no_failure(store: ExaminedStore, candidate: Candidate) -> None:
    head = await one_due(store)
    tokens = await own_all(store)
    await store.hold(head, tokens.tokens[head.bucket], attempts=0, wait=SECOND, reason="a conflict")
    store.shift_clock(1_001)
    (again,) = await due_rows(store)
    assert await store.commit(change(delivered=delivered(again, tokens))) == Done()
    assert (await candidate.row_counts(store))["lane_hold"] == 0


async def test_what_was_numbered_before_a_mark_is_decided_when_nothing_is_under_way(store: ExaminedStore) -> None:
    assert (await store.mark()).last == 0
    await store.commit(said("acme/a", "acme/b"))
    rows = [due.row for due in await due_rows(store)]
    mark = await store.mark()
    assert mark.last == rows[-1]
    seen = await store.look(Look(buckets=range(BUCKETS), subscribers=(1,), rows_max=10, mark=mark))
    assert (seen.is_decided, [due.row for due in seen.rows]) == (True, rows)
    await store.commit(said("acme/c"))
    assert (await due_rows(store))[-1].row > mark.last


async def test_only_one_subscribers_lane_is_held(store: ExaminedStore) -> None:
    await store.commit(said("acme/a", subscriber=1))
    await store.commit(said("acme/a", subscriber=2))
    (head,) = await due_rows(store, (1,))
    tokens = await own_all(store)
    await store.hold(head, tokens.tokens[head.bucket], attempts=1, wait=SECOND, reason="it broke")
    assert [due.subscriber for due in await due_rows(store, (1, 2))] == [2]


async def test_a_delivery_after_failures_takes_the_hold_with_it(store: ExaminedStore, candidate: Candidate) -> None:
    head = await one_due(store)
    await store.commit(said("acme/a"))
    tokens = await own_all(store)
    token = tokens.tokens[head.bucket]
    await store.hold(head, token, attempts=1, wait=SECOND, reason="it broke")
    await store.hold(head, token, attempts=2, wait=SECOND, reason="it broke again")
    store.shift_clock(1_001)
    again = (await due_rows(store))[0]
    assert (again.row, again.attempts) == (head.row, 2)
    assert await store.commit(change(delivered=delivered(again, tokens))) == Done()
    assert (await candidate.row_counts(store))["lane_hold"] == 0
    assert [due.attempts for due in await due_rows(store)] == [0]


async def test_a_delivered_row_can_be_neither_held_nor_parked(store: ExaminedStore) -> None:
    due = await one_due(store)
    tokens = await own_all(store)
    await store.commit(change(delivered=delivered(due, tokens)))
    token = tokens.tokens[due.bucket]
    assert await store.hold(due, token, attempts=1, wait=SECOND, reason="no") is False
    assert await store.park(due, token, attempts=1, reason="no") is False


async def test_a_parked_message_steps_out_and_its_lane_goes_on(store: ExaminedStore, candidate: Candidate) -> None:
    numbers = await store.subscribe([Subscription("shop.text")])
    await store.commit(said("acme/a", subscriber=numbers["shop.text"]))
    await store.commit(said("acme/a", subscriber=numbers["shop.text"]))
    head, following = await due_rows(store, (numbers["shop.text"],))
    token = (await own_all(store)).tokens[head.bucket]
    await store.hold(head, token, attempts=7, wait=SECOND, reason="it broke")
    assert await store.park(head, token, attempts=8, reason="it broke for good") is True
    assert [due.row for due in await due_rows(store, (numbers["shop.text"],))] == [following.row]
    (parked,) = await store.parked(TENANT, 10)
    assert (parked.subscriber, parked.lane, parked.attempts) == ("shop.text", "acme/a", 8)
    assert (parked.message_id, parked.message_name) == (head.envelope.id, "shop.OrderPlaced")
    assert parked.reason == "it broke for good"
    assert (await candidate.row_counts(store))["lane_hold"] == 0


async def test_a_parked_message_put_back_is_the_last_of_its_lane(store: ExaminedStore) -> None:
    number = (await store.subscribe([Subscription("shop.text")]))["shop.text"]
    await store.commit(said("acme/a", subscriber=number))
    await store.commit(said("acme/a", subscriber=number))
    head, following = await due_rows(store, (number,))
    await store.park(head, (await own_all(store)).tokens[head.bucket], attempts=8, reason="it broke")
    (parked,) = await store.parked(TENANT, 10)
    assert await store.unpark("other", parked.id) is False
    assert await store.unpark(TENANT, parked.id) is True
    assert await store.unpark(TENANT, parked.id) is False
    found = await due_rows(store, (number,))
    assert [due.envelope.id for due in found] == [following.envelope.id, head.envelope.id]
    assert (found[1].bucket, found[1].lane) == (head.bucket, head.lane)
    assert await store.parked(TENANT, 10) == []


async def test_a_tenant_sees_its_own_parked_messages_the_latest_first(store: ExaminedStore) -> None:
    number = (await store.subscribe([Subscription("shop.text")]))["shop.text"]
    for lane in ("acme/a", "acme/b", "acme/c"):
        await store.commit(said(lane, subscriber=number))
    await store.commit(said("other/a", subscriber=number, tenant="other"))
    tokens = await own_all(store)
    for due in await due_rows(store, (number,)):
        await store.park(due, tokens.tokens[due.bucket], attempts=1, reason="it broke")
    assert [parked.lane for parked in await store.parked(TENANT, 10)] == ["acme/c", "acme/b", "acme/a"]
    assert [parked.lane for parked in await store.parked(TENANT, 2)] == ["acme/c", "acme/b"]
    assert [parked.tenant for parked in await store.parked("other", 10)] == ["other"]


@pytest.mark.parametrize("words", ["with NUL \0 in it", "half a \ud83d pair"])
async def test_a_reason_is_kept_also_when_its_words_cannot_be(store: ExaminedStore, words: str) -> None:
    number = (await store.subscribe([Subscription("shop.text")]))["shop.text"]
    await store.commit(said("acme/a", subscriber=number))
    (due,) = await due_rows(store, (number,))
    token = (await own_all(store)).tokens[due.bucket]
    assert await store.hold(due, token, attempts=1, wait=SECOND, reason=words) is True
    assert await store.park(due, token, attempts=2, reason=words) is True
    (parked,) = await store.parked(TENANT, 10)
    assert parked.reason[:5] == words[:5]


async def test_rows_of_one_lane_have_ids_in_the_order_of_their_commits(store: ExaminedStore) -> None:
    shared = "acme/customer:7"
    said_once = change(
        messages=(event(),), events=1, promises=(Promise(0, 1, shared, bucket_of(shared)),), lanes_locked=(shared,)
    )
    for number in range(20):
        message = event(id=f"m-{number:02}")
        await store.commit(msgspec.structs.replace(said_once, messages=(message,)))
    assert [due.envelope.id for due in await due_rows(store)] == [f"m-{number:02}" for number in range(20)]
