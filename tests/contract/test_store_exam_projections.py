"""Checkpoints, rows and documents of projections, on every keeper."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from duly.errors import UserSqlError
from duly.messages.identity import digest_of
from duly.ports.projections import (
    Advance,
    Generation,
    ReadModelPlace,
    ReadModelRange,
    ReadModelWrite,
    Shape,
    StatementRun,
)
from duly.testing.store_exam import Candidate, ExaminedStore, change, event
from tests.contract.conftest import Another
from tests.contract.waiting import until_waiting

LEASE = timedelta(seconds=30)
PLACE = ReadModelPlace(projection="orders", model="Line", generation=1)
LIVE = ReadModelPlace(projection="orders", model="Line")


def shape(name: str = "orders", *statements: str) -> Shape:
    """A projection as a database knows it."""
    return Shape(name=name, tables=(), statements=statements, digest=digest_of(name))


def advance(begins: int, ends: int, *, owner: str = "me", generation: int = 1, name: str = "orders") -> Advance:
    """A move of a checkpoint."""
    return Advance(projection=name, generation=generation, begins=begins, ends=ends, owner=owner, lease=LEASE)


def put(document_id: str, body: str | None = "{}", *, tenant: str = "acme", **entries: str) -> ReadModelWrite:
    """A document to be, found by *entries*."""
    return ReadModelWrite(
        model="Line", tenant=tenant, id=document_id, schema=1, body=body, entries_added=tuple(entries.items())
    )


async def live(store: ExaminedStore, name: str = "orders") -> Generation:
    """The live generation."""
    return next(generation for generation in await store.projections((name,)) if generation.is_live)


@pytest.fixture
async def orders(store: ExaminedStore) -> ExaminedStore:
    """A store that knows one projection, with a table."""
    await store.make_projections([shape("orders", "CREATE TABLE line (id TEXT NOT NULL PRIMARY KEY, total BIGINT)")])
    return store


async def test_a_projection_is_made_once(orders: ExaminedStore) -> None:
    assert await orders.make_projections([shape("orders", "CREATE TABLE line (id TEXT)")]) == []
    assert await orders.make_projections([shape("orders"), shape("others")]) == ["projection others"]
    assert [(one.projection, one.number, one.position) for one in await orders.projections()] == [
        ("orders", 1, 0),
        ("others", 1, 0),
    ]


async def test_a_projection_whose_table_cannot_be_made_is_not_made(store: ExaminedStore) -> None:
    with pytest.raises(UserSqlError, match="refused a statement"):
        await store.make_projections([shape("fine"), shape("broken", "CREATE TABLE x (id TEXT", "NONSENSE")])
    assert await store.projections() == []


async def test_rows_documents_and_checkpoint_are_committed_together(orders: ExaminedStore) -> None:
    run = StatementRun(
        "INSERT INTO line (id, total) VALUES (:id, :total)", [{"id": "a", "total": 1}, {"id": "b", "total": 2}]
    )
    assert await orders.project(advance(0, 5), [run], [put("a", customer="c-1")])
    assert (await live(orders)).position == 5
    assert [dict(row) for row in await orders.select("SELECT id, total FROM line ORDER BY id", {})] == [
        {"id": "a", "total": 1},
        {"id": "b", "total": 2},
    ]
    assert [stored.id for stored in await orders.read_models(PLACE, [("acme", "a"), ("acme", "b"), ("x", "a")])] == [
        "a"
    ]


async def test_a_checkpoint_moves_from_where_it_was_read_or_nothing_is_written(orders: ExaminedStore) -> None:
    run = StatementRun("INSERT INTO line (id, total) VALUES (:id, 1)", [{"id": "a"}])
    for stale in (advance(1, 5), advance(0, 5, generation=2), advance(0, 5, name="nobody")):
        assert not await orders.project(stale, [run], [put("a")])
    assert await orders.select("SELECT id FROM line", {}) == []
    assert await orders.read_models(PLACE, [("acme", "a")]) == []
    assert (await live(orders)).position == 0


async def test_a_statement_that_fails_leaves_nothing_of_its_batch(orders: ExaminedStore) -> None:
    twice = StatementRun("INSERT INTO line (id, total) VALUES (:id, 1)", [{"id": "a"}, {"id": "a"}])
    with pytest.raises(UserSqlError):
        await orders.project(advance(0, 5), [twice], [put("a")])
    assert (await live(orders)).position == 0
    assert await orders.select("SELECT id FROM line", {}) == []
    assert await orders.project(advance(0, 5), [], [])


async def test_of_two_that_move_one_checkpoint_at_once_one_does(
    orders: ExaminedStore, another: Another, candidate: Candidate
) -> None:
    second = await another() if candidate.is_shared else orders
    runs = [StatementRun("INSERT INTO line (id, total) VALUES (:id, 1)", [{"id": "a"}])]
    async with orders.begin() as transaction:
        assert await transaction.advance(advance(0, 0))
        other = asyncio.create_task(second.project(advance(0, 5, owner="other"), runs, []))
        if candidate.name == "postgres":
            await until_waiting(orders)
        await transaction.execute_many(runs[0].text, runs[0].rows)
        assert await transaction.advance(advance(0, 3))
        assert not other.done()
        await transaction.commit()
    assert not await other
    assert (await live(orders)).position == 3


async def test_documents_are_put_removed_and_found_by_their_fields(orders: ExaminedStore) -> None:
    await orders.project(advance(0, 1), [], [put(name, customer="c-1") for name in "abc"])
    by_customer = ReadModelRange(tenant="acme", rows_max=2, field="customer", value="c-1")
    assert [one.id for one in await orders.read_models_in(LIVE, by_customer)] == ["a", "b"]
    after = ReadModelRange(tenant="acme", rows_max=2, after="b", field="customer", value="c-1")
    assert [one.id for one in await orders.read_models_in(LIVE, after)] == ["c"]
    gone = ReadModelWrite(
        model="Line", tenant="acme", id="b", schema=1, body=None, entries_removed=(("customer", "c-1"),)
    )
    moved = ReadModelWrite(
        model="Line",
        tenant="acme",
        id="a",
        schema=2,
        body='{"x":1}',
        entries_removed=(("customer", "c-1"),),
        entries_added=(("customer", "c-2"),),
    )
    await orders.project(advance(1, 2), [], [gone, moved])
    assert [one.id for one in await orders.read_models_in(LIVE, by_customer)] == ["c"]
    (a,) = await orders.read_models(LIVE, [("acme", "a")])
    assert (a.tenant, a.id, a.schema, a.body) == ("acme", "a", 2, '{"x":1}')
    every = ReadModelRange(tenant="acme", rows_max=10)
    assert [one.id for one in await orders.read_models_in(LIVE, every)] == ["a", "c"]
    assert await orders.read_models_in(LIVE, ReadModelRange(tenant="other", rows_max=10)) == []


async def test_documents_of_a_shadow_are_apart(orders: ExaminedStore) -> None:
    async with orders.begin() as transaction:
        await transaction.add_generation(shape(), 2, is_live=False)
        await transaction.commit()
    await orders.project(advance(0, 1), [], [put("a", "1")])
    await orders.project(advance(0, 9, generation=2), [], [put("a", "2"), put("b", "2")])
    assert [one.body for one in await orders.read_models(LIVE, [("acme", "a"), ("acme", "b")])] == ["1"]
    shadow = ReadModelPlace(projection="orders", model="Line", generation=2)
    assert [one.body for one in await orders.read_models_in(shadow, ReadModelRange(tenant="acme", rows_max=5))] == [
        "2",
        "2",
    ]
    assert [(one.number, one.is_live, one.position, one.shadow) for one in await orders.projections(("orders",))] == [
        (1, True, 1, None),
        (2, False, 9, 2),
    ]


async def test_a_lease_keeps_others_away_until_it_ends(orders: ExaminedStore) -> None:
    mine = await orders.claim_generation("orders", 1, "me", LEASE)
    assert mine is not None
    assert mine.owner == "me"
    other = await orders.claim_generation("orders", 1, "other", LEASE)
    assert other is not None
    assert other.owner == "me"
    orders.shift_clock(31_000)
    taken = await orders.claim_generation("orders", 1, "other", LEASE)
    assert taken is not None
    assert taken.owner == "other"
    await orders.release_generations("other")
    assert (await live(orders)).owner is None
    assert await orders.claim_generation("orders", 7, "me", LEASE) is None


async def test_a_failure_is_written_down_and_forgotten_when_it_goes_on(orders: ExaminedStore) -> None:
    wait = timedelta(seconds=5)
    assert await orders.fail_generation(advance(0, 0), attempts=2, wait=wait, reason="a NUL \0 inside")
    failing = await live(orders)
    assert (failing.attempts, failing.reason) == (2, "a NUL \ufffd inside")
    assert timedelta(0) < failing.wait <= wait
    orders.shift_clock(5_001)
    assert (await live(orders)).wait == timedelta(0)
    assert not await orders.fail_generation(advance(3, 3), attempts=9, wait=wait, reason="stale")
    await orders.project(advance(0, 1), [], [])
    going = await live(orders)
    assert (going.attempts, going.reason, going.wait) == (0, "", timedelta(0))


async def test_whoever_is_behind_is_counted_unless_it_waits_longer(store: ExaminedStore) -> None:
    await store.make_projections([shape("orders"), shape("others")])
    digests = [digest_of("orders"), digest_of("others")]
    soon = timedelta(seconds=1)
    assert await store.unprojected(digests, soon) == 0
    await store.commit(change(messages=(event(), event()), events=2))
    assert await store.unprojected(digests, soon) == 2  # on PostgreSQL it has no position yet
    await store.number_commits(100)
    assert await store.unprojected(digests, soon) == 2
    assert await store.unprojected(digests[:1], soon) == 1
    await store.project(advance(0, 2), [], [])
    assert await store.unprojected(digests, soon) == 1
    await store.fail_generation(advance(0, 0, name="others"), attempts=1, wait=timedelta(seconds=9), reason="no")
    assert await store.unprojected(digests, soon) == 0
    assert await store.unprojected(digests, timedelta(seconds=10)) == 1


async def test_a_rebuild_waits_for_those_who_share_a_projection(
    orders: ExaminedStore, another: Another, candidate: Candidate
) -> None:
    second = await another() if candidate.is_shared else orders
    has_it_alone = asyncio.Event()

    async def rebuild() -> None:
        async with second.begin() as transaction:
            await transaction.lock_projection("orders")
            has_it_alone.set()

    async with orders.begin() as transaction:
        assert (await transaction.share_projection("orders")).number == 1
        waiting = asyncio.create_task(rebuild())
        if candidate.name == "postgres":
            await until_waiting(orders)
            async with second.begin() as other:  # commands do not wait for one another, nor for other projections
                await other.lock_projection("another")
        assert not has_it_alone.is_set()
        await transaction.commit()
    await waiting
    assert has_it_alone.is_set()
