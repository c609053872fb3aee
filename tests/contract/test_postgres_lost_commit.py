"""Connections to PostgreSQL that are lost at the worst moment: what is said of the commit is what became of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import pytest

from duly.errors import StoreBusy, StoreUnavailable
from duly.ports.change import Change, Done, InboxWrite, Promise, Repeat, VersionCheck
from duly.states.effect import Dispatch
from duly.stores.postgres import PostgresStore, lost_commit
from duly.testing.postgres_server import PostgresServer
from duly.testing.store_exam import (
    ORDER,
    TENANT,
    change,
    claim,
    command,
    delivered,
    document,
    due_rows,
    end_attempts,
    ended,
    event,
    intent,
    own_all,
    said,
    unique,
)
from tests.contract.cutting_proxy import Cut, CuttingProxy
from tests.contract.waiting import sessions, until, until_waiting

ENDS = 40
"""How often a session is ended under commits."""

Make = Callable[[str, int], Awaitable[PostgresStore]]


@pytest.fixture
async def opened() -> AsyncIterator[Make]:
    """Opens stores."""
    stores: list[PostgresStore] = []

    async def open_one(url: str, connections_max: int) -> PostgresStore:
        store = PostgresStore(url, connections_max=connections_max)
        await store.open()
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[CuttingProxy]:
    async with CuttingProxy(postgres_server.folder) as running:
        yield running


@pytest.fixture
async def direct(postgres_url: str, opened: Make) -> PostgresStore:
    """A store that is connected straight to the server."""
    return await opened(postgres_url, 4)


@pytest.fixture
async def cut_off(postgres_url: str, opened: Make, proxy: CuttingProxy) -> PostgresStore:
    """A store behind the proxy. Its one connection, the next to be used, has its statements prepared."""
    store = await opened(proxy.url(postgres_url), 1)
    await store.commit(change(inbox=command("before"), documents=(document("known"),)))
    return store


def placed(inbox: InboxWrite | None = None, document_id: str = "o-1") -> Change:
    """The change of one command."""
    return change(inbox=inbox or command(), documents=(document(document_id),), messages=(event(),), events=1)


async def is_there(store: PostgresStore, document_id: str = "o-1") -> bool:
    return await store.document(TENANT, ORDER, document_id) is not None


async def test_a_commit_whose_answer_is_lost_is_done(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    proxy.cut_next(Cut.AFTER)
    assert await cut_off.commit(placed()) == Done()
    assert proxy.cuts == 1
    assert await is_there(direct)


async def test_a_commit_that_never_arrived_is_said_not_to_be_stored_and_may_come_again(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    proxy.cut_next(Cut.BEFORE)
    with pytest.raises(StoreUnavailable, match="Nothing was stored, nor will it be"):
        await cut_off.commit(placed())
    assert proxy.cuts == 1
    assert not await is_there(direct)
    assert await cut_off.commit(placed()) == Done()


async def test_a_commit_that_arrives_after_it_was_given_up_stores_nothing(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    proxy.cut_next(Cut.LATE)
    with pytest.raises(StoreUnavailable, match="Nothing was stored, nor will it be"):
        await cut_off.commit(placed())
    proxy.let_through()
    await proxy.delivered_late.wait()
    assert not await is_there(direct)
    assert await direct.inbox_row(TENANT, "click-1") is None


async def test_a_late_commit_after_the_command_was_sent_again_changes_nothing(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    proxy.cut_next(Cut.LATE)
    with pytest.raises(StoreUnavailable):
        await cut_off.commit(placed(command(result='"late"'), "late"))
    assert await cut_off.commit(placed(command(result='"again"'), "again")) == Done()
    proxy.let_through()
    await proxy.delivered_late.wait()
    assert not await is_there(direct, "late")
    assert await direct.inbox_row(TENANT, "click-1") == Repeat("shop.PlaceOrder", "d1", '"again"')


async def test_a_commit_still_under_way_before_its_inbox_row_is_given_up_and_comes_to_nothing(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    async with direct.begin() as holder:
        await holder.execute("SELECT 1 FROM duly.document WHERE id = 'known' FOR UPDATE", {})
        proxy.cut_next(Cut.DURING)
        waits = change(inbox=command(), documents=(document("known", 1), document("o-1")))
        with pytest.raises(StoreUnavailable, match="Nothing was stored, nor will it be"):
            await cut_off.commit(waits)
        assert await sessions(direct, "wait_event_type = 'Lock'") == 1  # it is under way still
    await proxy.delivered_late.wait()
    assert not await is_there(direct)


async def test_a_commit_still_under_way_after_its_inbox_row_is_waited_for(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    lane = "acme/customer:7"
    said_in_lane = change(messages=(event(),), events=1, promises=(Promise(0, 1, lane, 0),), lanes_locked=(lane,))
    async with direct.begin() as holder:
        await holder.write(said_in_lane)
        proxy.cut_next(Cut.DURING)
        waits = change(
            inbox=command(),
            documents=(document("o-1"),),
            messages=said_in_lane.messages,
            events=1,
            promises=said_in_lane.promises,
            lanes_locked=(lane,),
        )
        commit = asyncio.create_task(cut_off.commit(waits))
        await until_waiting(direct, 2)  # the commit for the lane, the tombstone for the commit
        assert not commit.done()
        await holder.commit()
    assert await commit == Done()
    assert await is_there(direct)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.DURING, Cut.AFTER])
async def test_whatever_is_said_of_a_cut_commit_is_true(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy, cut: Cut
) -> None:
    said_of: dict[str, bool] = {}
    for number in range(15):
        name = f"o-{number}"
        proxy.cut_next(cut)
        try:
            said_of[name] = await cut_off.commit(placed(command(name), name)) == Done()
        except StoreUnavailable as error:
            said_of[name] = "Nothing was stored" not in str(error)
        await cut_off.commit(change())  # prepares the statement on the new connection
    assert proxy.cuts == 15
    assert said_of == {name: await is_there(direct, name) for name in said_of}


async def test_a_delivery_whose_answer_is_lost_is_decided_by_its_outbox_row(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    await direct.commit(said("acme/a", "acme/b"))
    tokens = await own_all(direct)
    first, second = await due_rows(direct)
    for due, cut in ((first, Cut.BEFORE), (second, Cut.AFTER)):
        await cut_off.commit(change(documents=(document(due.lane),)))
        proxy.cut_next(cut)
        with pytest.raises(StoreUnavailable, match="outbox row"):
            await cut_off.commit(change(delivered=delivered(due, tokens)))
    assert [due.row for due in await due_rows(direct)] == [first.row]


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
async def test_an_open_transaction_whose_commit_is_cut_is_resolved_too(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy, cut: Cut
) -> None:
    async def execute() -> None:
        async with cut_off.begin() as transaction:
            await transaction.fetch("SELECT 1 AS one", {})
            assert await transaction.write(placed()) == Done()
            proxy.cut_next(cut)
            await transaction.commit()

    if cut is Cut.AFTER:
        await execute()
    else:
        with pytest.raises(StoreUnavailable, match="Nothing was stored, nor will it be"):
            await execute()
    assert await is_there(direct) is (cut is Cut.AFTER)
    assert await cut_off.commit(change(documents=(document("next"),))) == Done()


async def test_an_open_transaction_that_is_cut_before_its_end_stores_nothing(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    async def execute() -> None:
        async with cut_off.begin() as transaction:
            await transaction.execute("UPDATE duly.document SET version = 7", {})
            proxy.cut_next(Cut.AFTER)
            await transaction.write(placed())

    with pytest.raises(StoreUnavailable, match="Nothing was stored"):
        await execute()
    assert not await is_there(direct)
    assert await direct.commit(change(documents=(document("known", 1),))) == Done()


async def test_outcomes_whose_answer_was_lost_can_be_written_again(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    one = intent()
    await direct.commit(change(intents=(one,)))
    (claimed,) = await claim(direct)
    end = ended(claimed, Dispatch.ACCEPTED, provider_id="SM1", evidence="201")
    for cut in (Cut.BEFORE, Cut.AFTER):
        await cut_off.document(TENANT, ORDER, "known")
        proxy.cut_next(cut)
        with pytest.raises(StoreUnavailable):
            await end_attempts(cut_off, [end])
    assert await end_attempts(cut_off, [end]) == [True]
    view = await direct.effect(TENANT, one.id)
    assert view is not None
    assert [(attempt.outcome, attempt.evidence) for attempt in view.attempts] == [("accepted", "201")]


async def test_a_database_that_stays_away_is_said_to_be_unknown(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_commit, "RESOLVE_SECONDS_MAX", 0.3)
    proxy.cut_next(Cut.AFTER)
    proxy.refuses = True
    with pytest.raises(StoreUnavailable, match="is not known: send it again under the same id"):
        await cut_off.commit(placed())
    proxy.refuses = False
    assert isinstance(await cut_off.commit(placed()), Repeat)


async def test_a_database_that_comes_back_in_time_settles_it(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    proxy.cut_next(Cut.AFTER)
    proxy.refuses = True
    commit = asyncio.create_task(cut_off.commit(placed()))

    async def has_arrived() -> bool:
        return await is_there(direct)

    await until(has_arrived, "the commit")
    assert not commit.done()
    proxy.refuses = False
    assert await commit == Done()


async def test_a_read_on_a_connection_that_died_while_idle_takes_another(
    cut_off: PostgresStore, proxy: CuttingProxy
) -> None:
    for cut in (Cut.BEFORE, Cut.AFTER):
        proxy.cut_next(cut)
        assert await is_there(cut_off, "known")
    assert proxy.cuts == 2


async def test_a_commit_is_one_round_trip_and_so_is_a_read(
    cut_off: PostgresStore, direct: PostgresStore, proxy: CuttingProxy
) -> None:
    lane = "acme/customer:7"
    await direct.commit(said("acme/a"))
    tokens = await own_all(direct)
    (due,) = await due_rows(direct)
    everything = change(
        inbox=command(),
        delivered=delivered(due, tokens),
        checks=(VersionCheck(ORDER, "never", 0),),
        documents=(document("o-1"), document("known", 1)),
        entries_added=(unique("email", "a@b", "o-1"),),
        messages=(event(), event()),
        events=2,
        promises=(Promise(0, 1, lane, 0), Promise(1, 1, lane, 0)),
        lanes_locked=(lane,),
        intents=(intent(),),
    )
    trips: dict[str, int] = {}

    async def counted(what: str, call: Callable[[], Awaitable[object]]) -> None:
        await call()  # prepares its statements
        before = proxy.heard
        await call()
        trips[what] = proxy.heard - before

    before = proxy.heard
    assert await cut_off.commit(everything) == Done()
    trips["commit"] = proxy.heard - before
    await counted("repeat", lambda: cut_off.commit(everything))
    await counted("document", lambda: cut_off.document(TENANT, ORDER, "known"))
    await counted("due", lambda: due_rows(cut_off))
    await counted("select", lambda: cut_off.select("SELECT 1 AS one", {}))
    await counted("effect", lambda: cut_off.effect(TENANT, "none"))
    await counted("claim nothing", lambda: claim(cut_off, 0))
    assert trips == {
        "commit": 1,
        "repeat": 1,
        "document": 1,
        "due": 1,
        "select": 3,  # BEGIN READ ONLY, and COMMIT
        "effect": 3,  # there is none: nothing else is asked for
        "claim nothing": 3,
    }


async def test_with_sessions_ended_all_the_time_nothing_acknowledged_is_lost_and_nothing_refused_is_stored(
    postgres_url: str, direct: PostgresStore
) -> None:
    store = PostgresStore(f"{postgres_url}&application_name=shop", connections_max=4)
    await store.open()
    seeded = random.Random(5)
    ends = refusals = 0
    acknowledged: list[str] = []
    lies: list[str] = []

    async def end_sessions() -> None:
        nonlocal ends
        while ends < ENDS:
            rows = await direct.select(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'shop' ORDER BY random() LIMIT 1",
                {},
            )
            ends += len(rows)
            await asyncio.sleep(seeded.uniform(0, 0.04))

    async def execute(customer: int) -> None:
        nonlocal refusals
        for number in count():
            name = f"o-{customer}-{number}"
            while name not in acknowledged:
                try:
                    assert isinstance(await store.commit(placed(command(name), name)), (Done, Repeat))
                    acknowledged.append(name)
                except (StoreUnavailable, StoreBusy) as error:
                    refusals += 1
                    if "Nothing was stored" in str(error) and await is_there(direct, name):
                        lies.append(name)
            if ending.done():
                return

    ending = asyncio.create_task(end_sessions())
    await asyncio.gather(*map(execute, range(4)))
    await store.close()
    assert (lies, ends, refusals > 0) == ([], ENDS, True)
    (row,) = await direct.select("SELECT count(*) AS orders, count(DISTINCT id) AS ids FROM duly.document", {})
    assert row == {"orders": len(acknowledged), "ids": len(acknowledged)}
    (row,) = await direct.select("SELECT count(*) AS commits FROM duly.commit_log", {})
    assert row == {"commits": len(acknowledged)}
