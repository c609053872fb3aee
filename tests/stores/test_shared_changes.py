"""Whatever writes to a SQLite store goes through one queue: commands, relay, senders and projections share commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from duly.errors import UserSqlError
from duly.ports.change import Done
from duly.ports.ledger import Turn
from duly.ports.projections import Advance, Shape, StatementRun
from duly.stores.sqlite import SqliteStore
from duly.testing.store_exam import change, document, said

LEASE = timedelta(seconds=30)
ADD = "INSERT INTO line (id) VALUES (:id)"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store that knows one projection, with a table."""
    store = SqliteStore(str(tmp_path / "shop.db"))
    await store.open()
    await store.migrate([])
    table = "CREATE TABLE line (id TEXT NOT NULL PRIMARY KEY)"
    await store.make_projections([Shape(name="orders", tables=(), statements=(table,), digest="d")])
    yield store
    await store.close()


async def heard_by(store: SqliteStore) -> list[str]:
    """What the writer is asked from now on."""
    heard: list[str] = []
    engine = store._sqlite
    await engine.in_writer(lambda: engine.writer.set_trace_callback(heard.append))
    return heard


def advance(begins: int, ends: int) -> Advance:
    return Advance(projection="orders", generation=1, begins=begins, ends=ends, owner="me", lease=LEASE)


async def test_commands_projections_senders_and_relay_share_a_commit(store: SqliteStore) -> None:
    heard = await heard_by(store)
    committed, projected, _, owned = await asyncio.gather(
        store.commit(said("acme/a")),
        store.project(advance(0, 1), [StatementRun(ADD, [{"id": "a"}])], []),
        store.turn(Turn()),
        store.own_buckets("worker-1", LEASE, let_go=()),
    )
    assert (committed, projected, len(owned.tokens) > 0) == (Done(), True, True)
    assert heard.count("COMMIT") == 1


async def test_a_projection_that_fails_costs_a_command_nothing(store: SqliteStore) -> None:
    failed, committed = await asyncio.gather(
        store.project(advance(0, 1), [StatementRun(ADD, [{"id": "a"}, {"id": "a"}])], []),
        store.commit(change(documents=(document("o-1"),))),
        return_exceptions=True,
    )
    assert isinstance(failed, UserSqlError)
    assert committed == Done()
    assert await store.select("SELECT id FROM line", {}) == []
    assert [generation.position for generation in await store.projections(("orders",))] == [0]


async def test_a_handlers_transaction_and_small_commits_take_turns(store: SqliteStore) -> None:
    done: list[str] = []
    stop = False

    async def commit_all_the_time(name: str) -> None:
        while not stop:
            await store.commit(change(checks=()))
            done.append(name)

    busy = [asyncio.create_task(commit_all_the_time(name)) for name in "abc"]
    for number in range(10):
        async with store.begin() as transaction:
            await transaction.execute(ADD, {"id": f"{number}"})
            before = len(done)
            assert await transaction.fetch("SELECT count(*) AS rows FROM line", {}) == [{"rows": number + 1}]
            assert len(done) == before
            await transaction.commit()
        await store.commit(change())
        assert len(done) > before
    stop = True
    await asyncio.gather(*busy)
