"""What a sender asks of the database, counted exactly: as many statements in a turn, whatever it ends and claims.

A statement of ours waits for its answer, so that on PostgreSQL what is counted are round trips.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from duly.ports.ledger import Claim, Claimed, Turn
from duly.states.effect import Dispatch
from duly.testing.store_exam import GATEWAY, LEASE, TERMS, ExaminedStore, change, ended, intent
from tests.contract.counting import CountedStore, counted_store

TRANSACTION = 2
"""BEGIN and COMMIT."""
END = 2
"""The effects that ended; their attempts."""
STANDING = 1
"""Whose turn it is, who is paused, what is away, what time it is."""
BEGINNING = 3
"""What is due, and goes out; the effects that begin; their attempts."""


@pytest.fixture(params=["sqlite", "postgres"])
async def statements(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CountedStore]:
    """Counts the statements of a store, which has asked each kind once: PostgreSQL prepares it then."""
    async with AsyncExitStack() as stack:
        counter = await stack.enter_async_context(counted_store(request, tmp_path, monkeypatch))
        await stack.enter_async_context(_opened(counter.store))
        await counter.store.migrate([])
        await request_effects(counter.store, 2)
        (first,) = await take_turn(counter.store, slots=1)
        (second,) = await take_turn(counter.store, first, slots=1)
        await take_turn(counter.store, second)
        await poll(counter.store)
        yield counter


@asynccontextmanager
async def _opened(store: ExaminedStore) -> AsyncIterator[None]:
    await store.open()
    try:
        yield
    finally:
        await store.close()


async def waits(counter: CountedStore, call: Callable[[], Awaitable[object]]) -> int:
    """How often *call* waits for an answer of the database."""
    asked = await counter.of(call)
    return asked.statements if counter.name == "sqlite" else asked.round_trips


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
async def test_a_claim_is_as_many_statements_for_one_effect_as_for_ten(statements: CountedStore, effects: int) -> None:
    await request_effects(statements.store, effects)
    claimed: list[Claimed] = []

    async def claim() -> None:
        claimed.extend(await take_turn(statements.store, slots=effects))

    assert await waits(statements, claim) == TRANSACTION + STANDING + BEGINNING
    assert len(claimed) == effects


@pytest.mark.parametrize("effects", [1, 10])
async def test_what_ends_is_written_down_in_the_commit_that_claims_the_next(
    statements: CountedStore, effects: int
) -> None:
    await request_effects(statements.store, 2 * effects)
    first = await take_turn(statements.store, slots=effects)
    following: list[Claimed] = []

    async def end_and_claim() -> None:
        following.extend(await take_turn(statements.store, *first, slots=effects))

    assert await waits(statements, end_and_claim) == TRANSACTION + END + STANDING + BEGINNING
    assert len(first) == len(following) == effects


@pytest.mark.parametrize("effects", [1, 10])
async def test_what_ends_while_nothing_more_is_due_asks_for_nothing_more(
    statements: CountedStore, effects: int
) -> None:
    await request_effects(statements.store, effects)
    claimed = await take_turn(statements.store, slots=effects)

    assert await waits(statements, lambda: take_turn(statements.store, *claimed)) == TRANSACTION + END


async def test_a_claim_that_finds_nothing_asks_once(statements: CountedStore) -> None:
    assert await waits(statements, lambda: take_turn(statements.store, slots=10)) == TRANSACTION + STANDING


async def test_an_idle_poll_asks_twice_and_opens_no_transaction(statements: CountedStore) -> None:
    assert await waits(statements, lambda: poll(statements.store)) == 2
