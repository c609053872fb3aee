"""Shared commits on PostgreSQL: what is shared, who waits, and what a lost connection leaves behind."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable

import pytest

from duly.errors import StoreUnavailable
from duly.ports.change import Change, Conflict, Done, Exists, Promise, Repeat, Taken, Verdict
from duly.stores.postgres import PostgresStore
from duly.testing.postgres_server import PostgresServer
from duly.testing.store_exam import TENANT, change, command, document, event, unique
from tests.contract.cutting_proxy import Cut, CuttingProxy
from tests.contract.waiting import until, until_waiting

LANE = "acme/customer:7"


@pytest.fixture
async def store(make_postgres: Callable[[], PostgresStore]) -> AsyncIterator[PostgresStore]:
    """A store whose connections have the statements prepared."""
    opened = make_postgres()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def stranger(make_postgres: Callable[[], PostgresStore]) -> AsyncIterator[PostgresStore]:
    """Another process, as far as the database knows."""
    opened = make_postgres()
    await opened.open()
    yield opened
    await opened.close()


def placed(name: str) -> Change:
    return change(inbox=command(name), documents=(document(name),), messages=(event(),), events=1)


async def transactions(store: PostgresStore) -> dict[str, int]:
    """In which transaction each document was last written."""
    rows = await store.select("SELECT id, xmin::text::bigint AS xid FROM duly.document", {})
    return {str(row["id"]): int(str(row["xid"])) for row in rows}


async def test_changes_that_wait_at_the_same_time_share_commits(store: PostgresStore) -> None:
    names = [f"o-{number}" for number in range(40)]
    verdicts = await asyncio.gather(*(store.commit(placed(name)) for name in names))
    assert verdicts == [Done()] * 40
    written = await transactions(store)
    assert set(written) == set(names)
    # 20 and 10 of the 40; the rest waits, and goes in halves until one is left.
    assert sorted(list(written.values()).count(xid) for xid in set(written.values()))[-2:] == [10, 20]


async def test_a_lone_change_has_a_commit_of_its_own(store: PostgresStore) -> None:
    for number in range(5):
        assert await store.commit(placed(f"o-{number}")) == Done()
    assert len(set((await transactions(store)).values())) == 5


async def test_a_row_that_a_stranger_holds_stalls_only_the_change_that_needs_it(
    store: PostgresStore, stranger: PostgresStore
) -> None:
    await store.commit(change(documents=(document("held"),)))
    async with stranger.begin() as holder:
        await holder.execute("SELECT 1 FROM duly.document WHERE id = 'held' FOR UPDATE", {})
        waits = asyncio.gather(*(store.commit(change(documents=(document("held", 1),))) for _ in range(4)))
        for number in range(10):  # more than there are leaders
            others = (store.commit(placed(f"o-{number}-{place}")) for place in range(8))
            assert await asyncio.gather(*others) == [Done()] * 8
        assert not waits.done()
    assert sorted(type(verdict).__name__ for verdict in await waits) == ["Conflict"] * 3 + ["Done"]


async def test_a_lane_that_a_stranger_numbers_stalls_only_the_change_that_speaks_in_it(
    store: PostgresStore, stranger: PostgresStore
) -> None:
    def said(name: str) -> Change:
        return change(
            inbox=command(name),
            documents=(document(name),),
            messages=(event(),),
            events=1,
            promises=(Promise(0, 1, LANE, 0),),
            lanes_locked=(LANE,),
        )

    async with stranger.begin() as holder:
        assert await holder.write(said("stranger")) == Done()
        waits = [asyncio.create_task(store.commit(said(f"waits-{number}"))) for number in range(4)]
        others = (store.commit(placed(f"o-{number}")) for number in range(8))
        assert await asyncio.gather(*others) == [Done()] * 8
        await until_waiting(stranger, 2)
        assert not any(commit.done() for commit in waits)
        await holder.commit()
    assert await asyncio.gather(*waits) == [Done()] * 4
    rows = await store.select(
        "SELECT o.id, o.commit_id FROM duly.outbox AS o WHERE lane = :lane ORDER BY o.id", {"lane": LANE}
    )
    commits = [int(str(row["commit_id"])) for row in rows]
    assert (len(commits), commits) == (5, sorted(commits))


async def test_changes_in_one_lane_share_a_commit_and_keep_their_order(store: PostgresStore) -> None:
    def said(number: int) -> Change:
        promise = Promise(0, 1, LANE, 0)
        return change(messages=(event(),), events=1, promises=(promise,), lanes_locked=(LANE,))

    assert await asyncio.gather(*(store.commit(said(number)) for number in range(20))) == [Done()] * 20
    rows = await store.select("SELECT commit_id FROM duly.outbox ORDER BY id", {})
    commits = [int(str(row["commit_id"])) for row in rows]
    assert (len(commits), commits) == (20, sorted(commits))


@pytest.mark.parametrize(
    "odd",
    [
        change(inbox=command("same")),
        change(documents=(document("same"),)),
        change(documents=(document("other"),), entries_added=(unique("number", "same", "other"),)),
    ],
    ids=["command", "id", "value"],
)
async def test_what_is_being_inserted_elsewhere_is_waited_for_by_one_change_alone(
    store: PostgresStore, stranger: PostgresStore, odd: Change
) -> None:
    first = change(
        inbox=command("same"), documents=(document("same"),), entries_added=(unique("number", "same", "same"),)
    )
    async with stranger.begin() as holder:
        assert await holder.write(first) == Done()
        waits = [asyncio.create_task(store.commit(one)) for one in (placed("a"), odd, placed("b"), placed("c"))]
        assert await asyncio.gather(waits[0], *waits[2:]) == [Done()] * 3
        await until_waiting(stranger)
        assert not waits[1].done()
        await holder.commit()
    assert isinstance(await waits[1], Repeat | Exists | Taken)


async def test_batches_of_two_processes_that_want_the_same_never_block_each_other_for_good(
    store: PostgresStore, stranger: PostgresStore
) -> None:
    names = [f"o-{number}" for number in range(12)]
    await store.commit(change(documents=tuple(map(document, names))))

    async def versions() -> dict[str, int]:
        rows = await store.select("SELECT id, version FROM duly.document", {})
        return {str(row["id"]): int(str(row["version"])) for row in rows}

    async def by(one: PostgresStore, order: list[str], known: dict[str, int]) -> list[Verdict]:
        return await asyncio.gather(
            *(
                one.commit(change(documents=(document(a, known[a]), document(b, known[b]))))
                for a, b in itertools.pairwise(order)
            )
        )

    for _ in range(15):
        known = await versions()
        of_both = await asyncio.gather(by(store, names, known), by(stranger, names[::-1], known))
        verdicts = [verdict for verdicts in of_both for verdict in verdicts]
        assert all(isinstance(verdict, Done | Conflict) for verdict in verdicts)
        # Each one that is done has changed its two documents, and no other has changed anything.
        assert sum((await versions()).values()) - sum(known.values()) == 2 * verdicts.count(Done())
        assert Done() in verdicts


async def test_a_cancelled_change_that_still_waits_is_withdrawn(store: PostgresStore) -> None:
    commits = [asyncio.create_task(store.commit(placed(f"o-{number}"))) for number in range(8)]
    await asyncio.sleep(0)  # all of them wait, and no batch is sealed
    for commit in commits[4:]:
        commit.cancel()
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert outcomes[:4] == [Done()] * 4
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[4:])
    assert set(await transactions(store)) == {f"o-{number}" for number in range(4)}


async def test_a_cancelled_change_that_is_under_way_comes_to_its_end(
    store: PostgresStore, stranger: PostgresStore
) -> None:
    await store.commit(change(documents=(document("held"),)))
    async with stranger.begin() as holder:
        await holder.execute("SELECT 1 FROM duly.document WHERE id = 'held' FOR UPDATE", {})
        commit = asyncio.create_task(store.commit(change(inbox=command("c"), documents=(document("held", 1),))))
        await until_waiting(stranger)
        commit.cancel()
        assert isinstance((await asyncio.gather(commit, return_exceptions=True))[0], asyncio.CancelledError)

    async def is_told() -> bool:
        return isinstance(await store.inbox_row(TENANT, "c"), Repeat)

    await until(is_told, "the end of the commit")


async def test_closing_lets_what_is_under_way_come_to_its_end(
    make_postgres: Callable[[], PostgresStore], stranger: PostgresStore
) -> None:
    closing = make_postgres()
    await closing.open()
    commits = asyncio.gather(*(closing.commit(placed(f"o-{number}")) for number in range(20)))
    await asyncio.sleep(0)
    await closing.close()
    assert await commits == [Done()] * 20
    assert len(await transactions(stranger)) == 20


@pytest.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[CuttingProxy]:
    async with CuttingProxy(postgres_server.folder) as running:
        yield running


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.DURING, Cut.AFTER])
async def test_whatever_is_said_of_changes_whose_shared_commit_was_cut_is_true(
    postgres_url: str, stranger: PostgresStore, proxy: CuttingProxy, cut: Cut
) -> None:
    store = PostgresStore(proxy.url(postgres_url), connections_max=1)
    await store.open()
    said_of: dict[str, bool] = {}

    async def commit(name: str) -> None:
        try:
            said_of[name] = await store.commit(placed(name)) == Done()
        except StoreUnavailable as error:
            said_of[name] = "Nothing was stored, nor will it be" not in str(error)

    for number in range(5):
        # Prepares both statements on the new connection.
        await store.commit(change())
        await asyncio.gather(*(store.commit(change()) for _ in range(4)))
        proxy.cut_next(cut)
        await asyncio.gather(*(commit(f"o-{number}-{place}") for place in range(8)))
    assert proxy.cuts == 5
    there = await transactions(stranger)
    assert said_of == {name: name in there for name in said_of}
    assert len(said_of) == 40
    await store.close()
