"""The exam of every keeper: promises that wait for their time, and what few changes write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from duly.messages.identity import bucket_of
from duly.ports.change import Change, DocumentWrite, Done, Later, ProcessStep, Promise, SnapshotWrite, VersionCheck
from duly.ports.store import Subscription
from duly.testing.store_exam import (
    TENANT,
    Candidate,
    ExaminedStore,
    change,
    command,
    due_rows,
    event,
    own_all,
)

HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000


def promised(later: Later, lane: str = "acme/a", tenant: str = TENANT) -> Change:
    """A change that promises one message for later."""
    promise = Promise(0, 1, lane, bucket_of(lane), later)
    return change(tenant=tenant, messages=(event(lane, tenant=tenant),), events=1, promises=(promise,))


async def test_a_promise_for_later_is_not_due_before_its_time(store: ExaminedStore) -> None:
    await own_all(store)
    assert await store.next_due() is None
    await store.commit(promised(Later(id="l-1", after_ms=HOUR_MS)))
    assert await due_rows(store) == []
    assert await store.promote(10) == 0
    wait = await store.next_due()
    assert wait is not None
    assert HOUR - timedelta(minutes=1) < wait <= HOUR
    store.shift_clock(HOUR_MS)
    assert await store.promote(10) == 1
    assert await store.promote(10) == 0
    assert [due.lane for due in await due_rows(store)] == ["acme/a"]
    assert await store.next_due() is None


async def test_a_promise_may_name_its_time(store: ExaminedStore) -> None:
    await store.commit(promised(Later(id="long ago", at_ms=1)))
    await store.commit(promised(Later(id="in the year 9000", at_ms=221_845_392_000_000)))
    assert await store.promote(10) == 1
    await store.subscribe([Subscription("shop.hears")])
    assert [waiting.id for waiting in await store.waiting(TENANT, 10)] == ["in the year 9000"]


async def test_what_is_due_goes_out_in_the_order_of_its_times(store: ExaminedStore) -> None:
    for minutes in (30, 10, 20):
        await store.commit(promised(Later(id=f"l-{minutes}", after_ms=minutes * 60_000), lane=f"acme/{minutes}"))
    store.shift_clock(HOUR_MS)
    assert await store.promote(2) == 2
    assert await store.promote(2) == 1
    assert [due.lane for due in await due_rows(store)] == ["acme/10", "acme/20", "acme/30"]


async def test_the_first_promise_under_an_id_stands(store: ExaminedStore) -> None:
    await store.commit(promised(Later(id="l-1", after_ms=0), lane="acme/first"))
    await store.commit(promised(Later(id="l-1", after_ms=HOUR_MS), lane="acme/second"))
    await store.commit(promised(Later(id="l-1", after_ms=0), lane="globex/own", tenant="globex"))
    assert await store.promote(10) == 2
    assert sorted(due.lane for due in await due_rows(store)) == ["acme/first", "globex/own"]


async def test_a_change_withdraws_what_waits(store: ExaminedStore) -> None:
    for later_id in ("l-1", "l-2"):
        await store.commit(promised(Later(id=later_id, after_ms=HOUR_MS)))
    await store.commit(change(tenant="globex", cancelled=("l-2",)))
    await store.commit(change(cancelled=("l-1", "never was")))
    await store.subscribe([Subscription("shop.hears")])
    assert [waiting.id for waiting in await store.waiting(TENANT, 10)] == ["l-2"]
    assert await store.cancel_later("globex", "l-2") is False
    assert await store.cancel_later(TENANT, "l-2") is True
    assert await store.cancel_later(TENANT, "l-2") is False


async def test_a_change_that_is_refused_withdraws_nothing(store: ExaminedStore) -> None:
    await store.commit(promised(Later(id="l-1", after_ms=HOUR_MS)))
    refused = change(checks=(VersionCheck("shop.Order", "o-1", 7),), cancelled=("l-1",))
    assert await store.commit(refused) != Done()
    assert await store.cancel_later(TENANT, "l-1") is True


async def test_several_promoters_take_each_promise_once(
    store: ExaminedStore, another: Callable[[], Awaitable[ExaminedStore]], candidate: Candidate
) -> None:
    other = await another() if candidate.is_shared else store
    for number in range(60):
        await store.commit(promised(Later(id=f"l-{number}", after_ms=0), lane=f"acme/{number}"))
    counts = await asyncio.gather(*(keeper.promote(7) for keeper in (store, other) * 8))
    rest = await store.promote(60)
    assert sum(counts) + rest == 60
    lanes = [due.lane for due in await due_rows(store)]
    assert sorted(lanes) == sorted(f"acme/{number}" for number in range(60))


async def test_what_waits_counts_as_undelivered_when_it_is_due_soon(store: ExaminedStore) -> None:
    await store.commit(promised(Later(id="l-1", after_ms=HOUR_MS)))
    assert await store.undelivered(HOUR / 2) == 0
    assert await store.undelivered(HOUR) == 1


async def test_a_version_grows_by_as_much_as_is_said(store: ExaminedStore) -> None:
    def head(expected: int, grows: int) -> DocumentWrite:
        return DocumentWrite(type="bank.Account", id="a-1", expected=expected, schema=1, body="", grows=grows)

    assert await store.commit(change(documents=(head(0, 3),))) == Done()
    assert await store.commit(change(documents=(head(3, 2),))) == Done()
    found = await store.document(TENANT, "bank.Account", "a-1")
    assert found is not None
    assert found.version == 5
    assert await store.commit(change(documents=(head(3, 1),))) != Done()


async def test_a_later_snapshot_takes_the_place_of_an_earlier_one(store: ExaminedStore, candidate: Candidate) -> None:
    for version in (100, 200):
        snapshot = SnapshotWrite(type="bank.Account", id="a-1", version=version, schema=2, body=f'{{"at":{version}}}')
        await store.commit(change(snapshots=(snapshot,)))
    rows = await store.select(f"SELECT tenant, type, id, version, schema, body FROM {candidate.table('snapshot')}", {})
    assert [dict(row) for row in rows] == [
        {"tenant": TENANT, "type": "bank.Account", "id": "a-1", "version": 200, "schema": 2, "body": '{"at":200}'}
    ]


async def test_the_steps_of_a_process_are_written_with_the_change(store: ExaminedStore, candidate: Candidate) -> None:
    step = ProcessStep(
        process="shop.Welcome",
        id="c-1",
        number=1,
        message_id="m-1",
        kind="event",
        name="shop.Registered",
        version=1,
        body='{"customer":"c-1"}',
        decision='{"state":{}}',
    )
    await store.commit(change(steps=(step,)))
    (row,) = await store.select(f"SELECT * FROM {candidate.table('process_step')}", {})
    assert {name: row[name] for name in ("tenant", "process", "id", "number", "message_id", "decision")} == {
        "tenant": TENANT,
        "process": "shop.Welcome",
        "id": "c-1",
        "number": 1,
        "message_id": "m-1",
        "decision": '{"state":{}}',
    }


async def test_done_names_the_commit_that_said_something(store: ExaminedStore) -> None:
    silent = await store.commit(change(inbox=command()))
    first = await store.commit(change(messages=(event(),), events=1))
    second = await store.commit(change(messages=(event(),), events=1))
    assert isinstance(silent, Done)
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert silent.commit is None
    assert first.commit is not None
    assert second.commit is not None
    assert first.commit < second.commit
