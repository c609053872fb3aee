"""Transactions of PostgreSQL that meet: who waits, who wins, and that nobody is wrong."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from duly.errors import StoreBusy
from duly.ports.change import Change, Done, Promise, Verdict, VersionCheck, Void
from duly.ports.store import Subscription
from duly.stores.postgres import PostgresStore, address
from duly.testing.store_exam import (
    LEASE,
    ORDER,
    TENANT,
    change,
    claim,
    command,
    delivered,
    document,
    due_rows,
    event,
    intent,
    own_all,
    said,
    unique,
)
from tests.contract.waiting import sessions, until, until_waiting

PAIRS = 200


class Processes(PostgresStore):
    """Commits as several processes do, which share no commits: each goes through the next of a few stores."""

    def __init__(self, url: str, others: Sequence[PostgresStore]) -> None:
        super().__init__(url)
        self._others = others
        self._turns = itertools.cycle(others)

    async def open(self) -> None:
        await super().open()
        for other in self._others:
            await other.open()

    async def close(self) -> None:
        for other in self._others:
            await other.close()
        await super().close()

    async def commit(self, change: Change) -> Verdict:
        return await next(self._turns).commit(change)


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store on PostgreSQL."""
    opened = Processes(postgres_url, [PostgresStore(postgres_url) for _ in range(6)])
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def deadlocks(
    store: PostgresStore, make_postgres: Callable[[], PostgresStore]
) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """How many deadlocks PostgreSQL has broken in this database. Ends the store's sessions: then they report theirs."""
    observer = make_postgres()
    await observer.open()

    async def is_alone() -> bool:
        return await sessions(observer) == 0

    async def count() -> int:
        await store.close()
        await until(is_alone, "the end of the sessions")
        (row,) = await observer.select("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", {})
        return int(str(row["deadlocks"]))

    yield count
    await observer.close()


async def all_of(*commits: Awaitable[Verdict]) -> list[str]:
    """The names of the verdicts on concurrent commits, sorted."""
    verdicts = await asyncio.gather(*commits)
    return sorted(type(verdict).__name__ for verdict in verdicts)


async def test_of_concurrent_commits_on_one_aggregate_exactly_one_is_done(store: PostgresStore) -> None:
    await store.commit(change(documents=(document(),)))
    for version in range(1, 21):
        named = await all_of(*(store.commit(change(documents=(document(expected=version),))) for _ in range(5)))
        assert named == ["Conflict"] * 4 + ["Done"]
    found = await store.document(TENANT, ORDER, "o-1")
    assert found is not None
    assert found.version == 21


async def test_of_concurrent_executions_of_one_command_one_is_done_and_the_others_repeat_it(
    store: PostgresStore,
) -> None:
    for number in range(20):
        executions = (
            change(
                inbox=command(f"click-{number}"), documents=(document(f"o-{number}"),), messages=(event(),), events=1
            )
            for _ in range(5)
        )
        assert await all_of(*map(store.commit, executions)) == ["Done"] + ["Repeat"] * 4


async def test_of_concurrent_executions_on_one_aggregate_the_losers_repeat_and_meet_no_conflict(
    store: PostgresStore,
) -> None:
    await store.commit(change(documents=(document(),)))
    for version in range(1, 11):
        executions = (
            change(inbox=command(f"click-{version}"), documents=(document(expected=version),)) for _ in range(5)
        )
        assert await all_of(*map(store.commit, executions)) == ["Done"] + ["Repeat"] * 4


async def test_of_concurrent_claims_of_a_unique_value_one_is_done_and_the_others_find_it_taken(
    store: PostgresStore,
) -> None:
    for number in range(20):
        claims = (
            change(
                documents=(document(f"o-{number}-{place}"),),
                entries_added=(unique("email", f"a{number}@b", f"o-{number}-{place}"),),
            )
            for place in range(5)
        )
        assert await all_of(*map(store.commit, claims)) == ["Done"] + ["Taken"] * 4


async def test_two_who_read_what_the_other_writes_never_both_succeed(
    store: PostgresStore, deadlocks: Callable[[], Awaitable[int]]
) -> None:
    names = [f"{side}-{pair:03}" for pair in range(PAIRS) for side in "ab"]
    await store.commit(change(documents=tuple(map(document, names))))

    def reads_one_writes_the_other(read: str, written: str) -> Change:
        return change(checks=(VersionCheck(ORDER, read, 1),), documents=(document(written, 1),))

    for pair in range(PAIRS):
        one, other = f"a-{pair:03}", f"b-{pair:03}"
        named = await all_of(
            store.commit(reads_one_writes_the_other(one, other)), store.commit(reads_one_writes_the_other(other, one))
        )
        assert named == ["Conflict", "Done"]
    assert await deadlocks() == 0


async def test_two_who_create_what_the_other_found_absent_never_both_succeed(
    store: PostgresStore, deadlocks: Callable[[], Awaitable[int]]
) -> None:
    def finds_none_creates(absent: str, created: str) -> Change:
        return change(checks=(VersionCheck(ORDER, absent, 0),), documents=(document(created),))

    for pair in range(PAIRS):
        one, other = f"a-{pair:03}", f"b-{pair:03}"
        named = await all_of(store.commit(finds_none_creates(one, other)), store.commit(finds_none_creates(other, one)))
        assert named == ["Conflict", "Done"]
    assert await deadlocks() == 0


async def test_crossing_writes_wait_for_each_other_and_never_deadlock(
    store: PostgresStore, deadlocks: Callable[[], Awaitable[int]]
) -> None:
    names = [f"o-{number}" for number in range(6)]
    await store.commit(change(documents=tuple(map(document, names))))
    seeded = random.Random(7)

    async def transfer(write: random.Random) -> int:
        done = 0
        while done < 25:
            chosen = write.sample(names, 4)
            found = [await store.document(TENANT, ORDER, name) for name in chosen]
            versions = {one.id: one.version for one in found if one is not None}
            checks = tuple(VersionCheck(ORDER, name, versions[name]) for name in chosen[:2])
            writes = tuple(document(name, versions[name]) for name in chosen[2:])
            done += await store.commit(change(checks=checks, documents=writes)) == Done()
        return done

    writers = [random.Random(seeded.random()) for _ in range(6)]
    assert sum(await asyncio.gather(*map(transfer, writers))) == 150
    after = [await store.document(TENANT, ORDER, name) for name in names]
    assert sum(one.version - 1 for one in after if one is not None) == 300
    assert await deadlocks() == 0


async def test_a_commit_that_loses_a_deadlock_runs_again(
    store: PostgresStore, deadlocks: Callable[[], Awaitable[int]]
) -> None:
    await store.commit(change(documents=(document("a"), document("b"))))
    async with store.begin() as mine:  # takes its locks in the wrong order, as a user's own SQL may
        await mine.execute("SET deadlock_timeout = '1h'", {})  # so that the commit is the one that gives way
        await mine.execute("UPDATE duly.document SET body = '[]' WHERE id = 'b'", {})
        theirs = asyncio.create_task(store.commit(change(documents=(document("a", 1), document("b", 1)))))
        await until_waiting(store)
        await mine.execute("UPDATE duly.document SET body = '[]' WHERE id = 'a'", {})
        await mine.commit()
    assert await theirs == Done()
    assert await deadlocks() >= 1


# Lanes and buckets.


async def test_commits_that_share_a_lane_are_numbered_one_after_the_other(store: PostgresStore) -> None:
    shared = "acme/customer:7"

    def said_in(lane: str, message_id: str) -> Change:
        return change(
            messages=(event(id=message_id),), events=1, promises=(Promise(0, 1, lane, 0),), lanes_locked=(lane,)
        )

    async with store.begin() as transaction:
        await transaction.write(said_in(shared, "first"))
        second = asyncio.create_task(store.commit(said_in(shared, "second")))
        await until_waiting(store)
        assert await store.commit(said_in("acme/customer:8", "elsewhere")) == Done()
        assert not second.done()
        await transaction.commit()
    await second
    found = {due.envelope.id: due.row for due in await due_rows(store)}
    assert found["first"] < found["elsewhere"] < found["second"]


async def test_commits_of_many_writers_leave_each_shared_lane_in_the_order_of_its_commits(
    store: PostgresStore, make_postgres: Callable[[], PostgresStore], deadlocks: Callable[[], Awaitable[int]]
) -> None:
    lanes = [f"acme/customer:{number}" for number in range(3)]
    seeded = random.Random(11)

    async def write(source: random.Random) -> None:
        for _ in range(40):
            chosen = source.sample(lanes, 2)
            promises = tuple(Promise(0, 1, lane, 0) for lane in chosen)
            await store.commit(change(messages=(event(),), events=1, promises=promises, lanes_locked=tuple(chosen)))

    observer = make_postgres()
    await observer.open()
    writers = asyncio.gather(*(write(random.Random(seeded.random())) for _ in range(6)))
    seen: dict[str, list[int]] = {lane: [] for lane in lanes}
    while not writers.done():
        for due in await due_rows(observer, rows_max=10_000):
            if due.row not in seen[due.lane]:
                seen[due.lane].append(due.row)
    await writers
    await observer.close()
    assert all(rows == sorted(rows) for rows in seen.values())
    assert await deadlocks() == 0


async def test_a_thief_waits_for_a_completion_under_way_and_the_next_one_is_void(
    store: PostgresStore, make_postgres: Callable[[], PostgresStore]
) -> None:
    await store.commit(said("acme/a", "acme/a"))
    tokens = await own_all(store)
    first, second = await due_rows(store)
    thief = make_postgres()
    await thief.open()
    thief.shift_clock(int(LEASE.total_seconds() * 1_000) + 1)
    async with store.begin() as transaction:
        assert await transaction.write(change(delivered=delivered(first, tokens))) == Done()
        theft = asyncio.create_task(own_all(thief, "thief"))
        await until_waiting(store)
        await transaction.commit()
    stolen = await theft
    assert stolen.tokens[first.bucket] != tokens.tokens[first.bucket]
    assert isinstance(await store.commit(change(delivered=delivered(second, tokens))), Void)
    assert await thief.commit(change(delivered=delivered(second, stolen))) == Done()
    await thief.close()


async def test_of_two_who_complete_one_delivery_one_is_void(store: PostgresStore) -> None:
    for number in range(10):
        await store.commit(said(f"acme/{number}"))
    tokens = await own_all(store)
    for due in await due_rows(store):
        twice = (store.commit(change(delivered=delivered(due, tokens), documents=())) for _ in range(3))
        assert await all_of(*twice) == ["Done", "Void", "Void"]


async def test_of_several_who_put_a_parked_message_back_one_does(store: PostgresStore) -> None:
    number = (await store.subscribe([Subscription("shop.text")]))["shop.text"]
    await store.commit(said("acme/a", subscriber=number))
    (due,) = await due_rows(store, (number,))
    await store.park(due, (await own_all(store)).tokens[due.bucket], attempts=8, reason="it broke")
    done = await asyncio.gather(*(store.unpark(TENANT, due.row) for _ in range(5)))
    assert sorted(done) == [False] * 4 + [True]
    assert len(await due_rows(store, (number,))) == 1


async def test_subscribers_that_register_at_the_same_time_agree_on_their_numbers(store: PostgresStore) -> None:
    names = [Subscription(f"shop.{name}") for name in "abcdef"]
    seeded = random.Random(3)
    found = await asyncio.gather(*(store.subscribe(seeded.sample(names, len(names))) for _ in range(6)))
    assert all(numbers == found[0] for numbers in found)
    assert len(set(found[0].values())) == len(names)


async def test_workers_that_start_at_the_same_time_own_no_bucket_twice(store: PostgresStore) -> None:
    for _ in range(5):
        owners = [f"worker-{number}" for number in range(4)]
        owned = await asyncio.gather(*(own_all(store, owner) for owner in owners))
        taken = [bucket for one in owned for bucket in one.tokens]
        assert len(taken) == len(set(taken))
        await asyncio.gather(*map(store.disown, owners))


# Claims.


async def test_a_claim_passes_over_what_another_has_locked(store: PostgresStore) -> None:
    intents = tuple(intent() for _ in range(4))
    await store.commit(change(intents=intents))
    async with store.begin() as transaction:
        locked = await transaction.fetch("SELECT id FROM duly.effect WHERE id = :id FOR UPDATE", {"id": intents[0].id})
        assert len(locked) == 1
        assert [one.effect_id for one in await claim(store)] == [one.id for one in intents[1:]]
    assert [one.effect_id for one in await claim(store)] == [intents[0].id]


async def test_many_claimers_at_once_claim_everything_once(store: PostgresStore) -> None:
    intents = tuple(intent() for _ in range(100))
    await store.commit(change(intents=intents))
    found = await asyncio.gather(*(claim(store, 7, owner=f"s{n}") for n in range(20)))
    claimed = [one.effect_id for some in found for one in some]
    assert all(len(some) <= 7 for some in found)
    assert len(claimed) == len(set(claimed))
    rest = await claim(store, 100)
    assert sorted(claimed + [one.effect_id for one in rest]) == sorted(one.id for one in intents)


# Time limits.


async def test_a_lock_that_is_not_granted_in_time_is_busy_and_nothing_is_stored(
    make_postgres: Callable[[], PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(address._SETTINGS, "lock_timeout", "50")
    store = make_postgres()
    await store.open()
    await store.commit(change(documents=(document(),)))
    async with store.begin() as transaction:
        assert await transaction.write(change(documents=(document(expected=1),))) == Done()
        with pytest.raises(StoreBusy, match="may be sent again"):
            await store.commit(change(inbox=command(), documents=(document("o-2"), document(expected=1))))
        await transaction.commit()
    assert await store.document(TENANT, ORDER, "o-2") is None
    again = change(inbox=command(), documents=(document("o-2"), document(expected=2)))
    assert await store.commit(again) == Done()
    await store.close()
