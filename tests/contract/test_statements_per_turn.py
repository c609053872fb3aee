"""What a sender asks of the database, counted exactly: as many statements in a turn, whatever it ends and claims.

A statement of ours waits for its answer, so that on PostgreSQL what is counted are round trips.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from duly.ports.ledger import Claim, Claimed, Turn
from duly.states.effect import Dispatch
from duly.stores.postgres import PostgresStore
from duly.stores.sqlite import SqliteStore
from duly.stores.sqlite.connection import connect
from duly.testing.store_exam import GATEWAY, LEASE, TERMS, ExaminedStore, change, ended, intent
from tests.contract.cutting_proxy import CuttingProxy

TRANSACTION = 2
"""BEGIN and COMMIT."""
END = 2
"""The effects that ended; their attempts."""
STANDING = 1
"""Whose turn it is, who is paused, what is away, what time it is."""
BEGINNING = 3
"""What is due, and goes out; the effects that begin; their attempts."""


class Statements:
    """Those that a store asks, counted."""

    def __init__(self, store: ExaminedStore, asked: Callable[[], int]) -> None:
        self.store = store
        self._asked = asked

    async def of(self, call: Callable[[], Awaitable[object]]) -> int:
        """How many *call* asks."""
        before = self._asked()
        await call()
        return self._asked() - before


@pytest.fixture(params=["sqlite", "postgres"])
async def statements(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Statements]:
    """Counts the statements of a store, which has asked each kind once: PostgreSQL prepares it then."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            heard = _heard_by_sqlite(monkeypatch)
            counter = Statements(SqliteStore(str(tmp_path / "counted.db")), lambda: len(heard))
        else:
            server, url = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_url")
            proxy = await stack.enter_async_context(CuttingProxy(server.folder))
            counter = Statements(PostgresStore(proxy.url(url), connections_max=1), lambda: proxy.heard)
        await stack.enter_async_context(_opened(counter.store))
        await counter.store.migrate([])
        await request_effects(counter.store, 2)
        (first,) = await take_turn(counter.store, slots=1)
        (second,) = await take_turn(counter.store, first, slots=1)
        await take_turn(counter.store, second)
        await poll(counter.store)
        yield counter


def _heard_by_sqlite(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that SQLite is asked from now on, on any connection."""
    heard: list[str] = []

    def traced(path: str, *, read_only: bool, clock_shift_ms: Callable[[], int]) -> sqlite3.Connection:
        connection = connect(path, read_only=read_only, clock_shift_ms=clock_shift_ms)
        connection.set_trace_callback(heard.append)
        return connection

    monkeypatch.setattr("duly.stores.sqlite.engine.connect", traced)
    return heard


@asynccontextmanager
async def _opened(store: ExaminedStore) -> AsyncIterator[None]:
    await store.open()
    try:
        yield
    finally:
        await store.close()


async def request_effects(store: ExaminedStore, count: int) -> None:
    await store.commit(change(intents=tuple(intent() for _ in range(count))))


async def take_turn(store: ExaminedStore, *ends: Claimed, slots: int = 0) -> list[Claimed]:
    """Write down that *ends* were accepted, and claim for *slots*, unless there is none."""
    claim = None
    if slots:
        claim = Claim(gateway=GATEWAY, slots=slots, owner="sender-1", token=uuid4().hex, lease=LEASE, terms=TERMS)
    written = tuple(ended(one, Dispatch.ACCEPTED, provider_id=f"p-{one.effect_id}") for one in ends)
    turned = await store.turn(Turn(ended=written, claim=claim))
    assert all(turned.written)
    return list(turned.claimed)


async def poll(store: ExaminedStore) -> None:
    """What the watch asks each time that nothing wakes it."""
    await store.due_gateways()
    await store.has_lost_attempts()


@pytest.mark.parametrize("effects", [1, 10])
async def test_a_claim_is_as_many_statements_for_one_effect_as_for_ten(statements: Statements, effects: int) -> None:
    await request_effects(statements.store, effects)
    claimed: list[Claimed] = []

    async def claim() -> None:
        claimed.extend(await take_turn(statements.store, slots=effects))

    assert await statements.of(claim) == TRANSACTION + STANDING + BEGINNING
    assert len(claimed) == effects


@pytest.mark.parametrize("effects", [1, 10])
async def test_what_ends_is_written_down_in_the_commit_that_claims_the_next(
    statements: Statements, effects: int
) -> None:
    await request_effects(statements.store, 2 * effects)
    first = await take_turn(statements.store, slots=effects)
    following: list[Claimed] = []

    async def end_and_claim() -> None:
        following.extend(await take_turn(statements.store, *first, slots=effects))

    assert await statements.of(end_and_claim) == TRANSACTION + END + STANDING + BEGINNING
    assert len(first) == len(following) == effects


@pytest.mark.parametrize("effects", [1, 10])
async def test_what_ends_while_nothing_more_is_due_asks_for_nothing_more(statements: Statements, effects: int) -> None:
    await request_effects(statements.store, effects)
    claimed = await take_turn(statements.store, slots=effects)

    assert await statements.of(lambda: take_turn(statements.store, *claimed)) == TRANSACTION + END


async def test_a_claim_that_finds_nothing_asks_once(statements: Statements) -> None:
    assert await statements.of(lambda: take_turn(statements.store, slots=10)) == TRANSACTION + STANDING


async def test_an_idle_poll_asks_twice_and_opens_no_transaction(statements: Statements) -> None:
    assert await statements.of(lambda: poll(statements.store)) == 2
