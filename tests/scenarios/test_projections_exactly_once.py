"""I6: a projection equals an independent fold of the log, whatever fails, ends, or runs twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from duly import Duly, Settings
from duly.errors import StoreUnavailable
from duly.ports.store import OpenTransaction, Store
from duly.runtime.store_url import store_from_url
from duly.testing.failures import at_failpoints
from tests.scenarios.running import durable, quick_settings
from tests.scenarios.tallies import Add, check_against_the_log, module

FAILING = ("project", "claim_generation", "projections", "read_log", "read_models", "advance", "write_read_models")
SMALL = quick_settings(projection_events_max=7, lease=timedelta(milliseconds=300))


class FailingTransaction:
    """An open transaction of such a store."""

    def __init__(
        self, transaction: OpenTransaction, watched: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        self._transaction = transaction
        self._watched = watched

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._transaction, name)
        return self._watched(found) if name in (*FAILING, "execute_many", "fetch", "commit") else found


class FailingStore:
    """A store of which projections cannot reach one call: it has done nothing, or all of it and lost its answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls = 0
        self._fails_at = 0
        self._after = False
        self.has_failed = False

    def fail_at(self, call: int, *, after: bool) -> None:
        """From now on, fail at the *call*-th one: before it is made, or *after* that."""
        self._calls, self._fails_at, self._after, self.has_failed = 0, call, after, False

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[FailingTransaction]:
        """A transaction that fails likewise."""
        async with self._store.begin() as transaction:
            yield FailingTransaction(transaction, self._watched)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._watched(found) if name in FAILING else found

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def watched(*arguments: object, **named: object) -> object:
            self._calls += 1
            fails = self._calls == self._fails_at
            self.has_failed |= fails
            if fails and not self._after:
                raise StoreUnavailable("The store is away: nothing was written.")
            result = await call(*arguments, **named)
            if fails:
                raise StoreUnavailable("The store is away: nobody knows what was written.")
            return result

        return watched


async def new_database(store_url: str, events: int) -> None:
    """A database whose log is filled, and nothing of it projected."""
    app = Duly(modules=module(), store=store_url, worker=False)
    await app.migrate()
    async with app:
        for number in range(events):
            await app.execute(
                Add(counter=f"c-{number % 5}", amount=number, twice=number % 3 == 0), tenant=f"t-{number % 2}"
            )


async def checked(store_url: str) -> int:
    """Let everything catch up, then compare; how many events there are."""
    async with Duly(modules=module(), store=store_url, settings=quick_settings()) as app:
        await app.until_quiet()
        return await check_against_the_log(app, app._store)


@durable
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_nothing_is_counted_twice_or_lost_when_any_call_of_the_store_fails(store_url: str, after: bool) -> None:
    await new_database(store_url, 10)
    failed, call = 0, 0
    while True:
        call += 1
        failing = FailingStore(store_from_url(store_url))
        async with Duly(modules=module(), store=failing, settings=SMALL) as app:
            failing.fail_at(call, after=after)
            # Something for each of them to do, in several batches.
            await app.execute(Add(counter="c-1", amount=call, twice=True), tenant="t-0")
            await app.until_quiet()
            has_failed = failing.has_failed
            failing.fail_at(0, after=after)
            await check_against_the_log(app, app._store)
        if not has_failed:
            break
        failed += 1
    assert failed >= 12


@durable
@pytest.mark.parametrize("point", ["projection.before_commit", "projection.after_commit"])
async def test_a_worker_that_ends_in_mid_batch_is_gone_on_from(store_url: str, point: str) -> None:
    for ends_at in range(1, 7):
        hits, ended = 0, asyncio.Event()

        def end(name: str, ends_at: int = ends_at, ended: asyncio.Event = ended) -> None:
            nonlocal hits
            hits += name == point
            if hits == ends_at and name == point:
                ended.set()
                raise asyncio.CancelledError  # the task ends here, and nothing after this is done

        await new_database(store_url, 20)
        with at_failpoints(end):
            app = Duly(modules=module(), store=store_url, settings=SMALL)
            await app.start()
            async with asyncio.timeout(10):
                await ended.wait()
            await app.stop()
    assert await checked(store_url) == 6 * 27


@durable
async def test_several_workers_and_writers_at_once_count_each_event_once(store_url: str) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    await new_database(store_url, 0)
    # So short a lease that they take projections from one another all the time.
    settings: Settings = quick_settings(projection_events_max=5, lease=timedelta(milliseconds=1))

    async def write(app: Duly, writer: int) -> None:
        for number in range(30):
            tenant, counter = f"t-{dice.randrange(2)}", f"c-{dice.randrange(4)}"
            await app.execute(
                Add(counter=counter, amount=dice.randrange(100), twice=dice.random() < 0.3),
                tenant=tenant,
                command_id=f"{writer}-{number}",
            )

    workers = [Duly(modules=module(), store=store_url, settings=settings) for _ in range(3)]
    for worker in workers:
        await worker.start()
    try:
        await asyncio.gather(*(write(worker, number) for number, worker in enumerate(workers)))
        await workers[0].until_quiet()
        events = await check_against_the_log(workers[0], workers[0]._store)
        assert events >= 90
    finally:
        for worker in workers:
            await worker.stop()
    assert await checked(store_url) == events
