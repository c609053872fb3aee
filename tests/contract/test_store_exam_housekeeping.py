"""The exam of every keeper: what log and inbox need no more goes, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from duly.messages.envelope import Kind
from duly.messages.identity import bucket_of
from duly.ports.change import Later, Promise
from duly.ports.store import Store
from duly.testing.store_exam import (
    TENANT,
    Candidate,
    ExaminedStore,
    change,
    command,
    delivered,
    due_rows,
    event,
    own_all,
)

MONTH = timedelta(days=30)
MONTH_MS = 30 * 86_400_000


async def count(store: Store, candidate: Candidate, table: str) -> int:
    """How many rows a table has."""
    return (await candidate.row_counts(store))[table]


async def say(store: Store, *kinds: Kind, lane: str = "", later: Later | None = None) -> None:
    """Commit one message of each kind, the last one promised if there is a lane."""
    messages = tuple(event(kind=kind) for kind in kinds)
    promises = (Promise(len(kinds) - 1, 1, lane, bucket_of(lane), later),) if lane else ()
    await store.commit(change(messages=messages, events=sum(kind is Kind.EVENT for kind in kinds), promises=promises))


async def sweep(store: Store, age: timedelta = MONTH, commits_max: int = 3) -> int:
    """Walk through all messages; how many went."""
    dropped, after = 0, None
    while True:
        step = await store.drop_handled(age, after, commits_max)
        dropped += step.dropped
        after = step.after
        if after is None:
            return dropped


async def test_command_ids_whose_time_is_over_go(store: ExaminedStore, candidate: Candidate) -> None:
    for number in range(7):
        await store.commit(change(inbox=command(f"old-{number}", keep=timedelta(days=1))))
        await store.commit(change(inbox=command(f"young-{number}", keep=timedelta(days=90))))
    store.shift_clock(MONTH_MS)
    dropped, after = 0, ("", "")
    while True:
        step = await store.drop_expired_ids(after, 4)
        dropped += step.dropped
        if step.after is None:
            break
        after = step.after
    assert dropped == 7
    assert await count(store, candidate, "inbox") == 7
    assert await store.inbox_row(TENANT, "young-3") is not None


async def test_domain_events_stay_and_what_was_handled_goes(store: ExaminedStore, candidate: Candidate) -> None:
    for _ in range(5):
        await say(store, Kind.EVENT, Kind.PUBLIC)
        await say(store, Kind.COMMAND)
        await say(store, Kind.TIMEOUT)
    assert await sweep(store) == 0
    store.shift_clock(MONTH_MS + 1)
    assert await sweep(store) == 15
    assert await sweep(store) == 0
    assert await count(store, candidate, "message") == 5
    assert await count(store, candidate, "personal") == 5


async def test_younger_messages_stay(store: ExaminedStore, candidate: Candidate) -> None:
    await say(store, Kind.PUBLIC)
    store.shift_clock(MONTH_MS + 1)
    await say(store, Kind.PUBLIC)
    assert await sweep(store) == 1
    assert await count(store, candidate, "message") == 1
    store.shift_clock(MONTH_MS + 1)
    assert await sweep(store) == 1


async def test_what_is_promised_stays_until_the_promise_is_kept(store: ExaminedStore, candidate: Candidate) -> None:
    await say(store, Kind.EVENT, Kind.PUBLIC, lane="acme/undelivered")
    await say(store, Kind.COMMAND, lane="acme/later", later=Later(id="l-1", after_ms=12 * MONTH_MS))
    await say(store, Kind.PUBLIC, lane="acme/parked")
    tokens = await own_all(store, lease=timedelta(days=9_000))
    (parked,) = [due for due in await due_rows(store) if due.lane == "acme/parked"]
    assert await store.park(parked, tokens.tokens[parked.bucket], attempts=1, reason="no")
    store.shift_clock(MONTH_MS + 1)
    assert await sweep(store) == 0
    assert await count(store, candidate, "message") == 4

    (undelivered,) = await due_rows(store)
    await store.commit(change(delivered=delivered(undelivered, tokens)))
    assert await sweep(store) == 1
    assert await store.unpark(TENANT, parked.row)
    assert await sweep(store) == 0
    (unparked,) = await due_rows(store)
    await store.commit(change(delivered=delivered(unparked, tokens)))
    assert await sweep(store) == 1
    assert await store.cancel_later(TENANT, "l-1")
    assert await sweep(store) == 1
    assert await count(store, candidate, "message") == 1


async def test_two_sweeps_at_once_do_no_harm(
    store: ExaminedStore, another: Callable[[], Awaitable[ExaminedStore]], candidate: Candidate
) -> None:
    other = await another() if candidate.is_shared else store
    for _ in range(20):
        await say(store, Kind.EVENT, Kind.PUBLIC)
    store.shift_clock(MONTH_MS + 1)
    if other is not store:
        other.shift_clock(MONTH_MS + 1)
    dropped = await asyncio.gather(sweep(store), sweep(other))
    assert sum(dropped) == 20
    assert await count(store, candidate, "message") == 20
