"""R11: a snapshot is held while promises come and go, so that the database can put none of the dead rows away.

With 5 million finished rows, too: ``DULY_R11_FINISHED_MAX=5000000 make reliability ONLY=R11``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from statistics import median
from typing import Final

import asyncpg
import msgspec

from duly import DomainEvent, Duly, Module, Settings
from duly.messages.identity import bucket_of
from duly.ports.store import Look, Seen
from duly.stores.postgres import PostgresStore
from tests.reliability.scenario import Run, Scenario, Told

CHUNK: Final = 100
"""So many promises are made at once; the next ones when these are kept."""
LANES: Final = 1_000
SHARE: Final = 10
"""A tenth of the claims is compared, at the start and at the end."""
FINISHED: Final = ((0, "no finished rows"), (1_000_000, "1 M"), (5_000_000, "5 M"))
PROMISE: Final = """
WITH c AS (
    INSERT INTO duly.commit_log (tenant, events, at_ms)
    SELECT 'acme', 1, duly.now_ms() FROM generate_series(1, $2) RETURNING id
), m AS (
    INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, stream, stream_version, handler,
                              chain, body)
    SELECT c.id, 0, gen_random_uuid(), 'acme', 'event', 'held.Came', 1, 'held.Guest/' || c.id, 1, 'h', '[]', '{}' FROM c
    RETURNING commit_id
)
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
SELECT s.no, ($1::integer[])[1 + m.commit_id % cardinality($1::integer[])],
       'guest-' || m.commit_id % cardinality($1::integer[]), m.commit_id, 0
  FROM m, duly.subscriber AS s WHERE s.name LIKE '%greet'
"""
KEEP: Final = """
WITH c AS (
    INSERT INTO duly.commit_log (tenant, events, at_ms)
    SELECT 'acme', 1, 0 FROM generate_series(1, $1) RETURNING id
)
INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, stream, stream_version, handler,
                          chain, body)
SELECT c.id, 0, gen_random_uuid(), 'acme', 'event', 'held.Came', 1, 'held.Guest/' || c.id, 1, 'h', '[]', '{}' FROM c
"""
PAGES: Final = """
SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit FROM pg_statio_user_tables
 WHERE schemaname = 'duly' AND relname = 'outbox'
"""


class Came(DomainEvent, name="held.Came"):
    pass


class TimedStore(PostgresStore):
    """Notes how long each claim took, in milliseconds."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.claims: list[float] = []

    async def look(self, look: Look) -> Seen:
        """A claim."""
        begun = time.perf_counter()
        seen = await super().look(look)
        self.claims.append(1_000 * (time.perf_counter() - begun))
        return seen


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What claims cost in a part of a run."""

    milliseconds: tuple[float, ...]
    pages: float
    """How many pages of the outbox and its index were touched for each, writing included. The server's own count, which
    lags a second behind."""

    @property
    def p99(self) -> float:
        """Of a hundred claims, all but one were faster."""
        return sorted(self.milliseconds)[int(len(self.milliseconds) * 0.99)]


async def held_snapshot(run: Run) -> Told:
    """The same with nothing behind, and behind a log of finished events."""
    found: list[str] = []
    figures: dict[str, str] = {}
    kept = 0
    most = run.counts["slower_max"]
    for rows, name in FINISHED:
        if rows > run.counts["finished_max"]:
            continue
        begin, end, came = await _round(run, rows)
        kept += came
        if came != run.counts["claims"]:
            found.append(f"{name}: of {run.counts['claims']:,} promises {came:,} were kept")
        for what, one, other in (
            ("claim p99 (ms)", begin.p99, end.p99),
            ("claim median (ms)", median(begin.milliseconds), median(end.milliseconds)),
            ("pages per claim", begin.pages, end.pages),
        ):
            ratio = f"{other / one:.2f}" if one else "not known"  # in a short run the server has not counted yet
            figures[f"{name}: {what}, start, end, ratio"] = f"{one:.1f}, {other:.1f}, {ratio}"
            if most and other > most * one:
                found.append(f"{name}: {what} was {one:.1f} at the start and {other:.1f} at the end")
    return Told(faults=kept, figures=figures, violations=tuple(found))


async def _round(run: Run, finished: int) -> tuple[Part, Part, int]:
    """What claims cost at the start and at the end, and how many promises were kept.

    One database is there when the snapshot is taken and another when most of the claims are done; then they take turns,
    so that both ends are measured at the same time, whatever else the machine does.
    """
    claims = run.counts["claims"]
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(_opened(run, finished))
        await old.keep(claims - claims // SHARE)
        new = await stack.enter_async_context(_opened(run, finished))
        await new.keep(claims // 100)
        await old.begin_part()
        await new.begin_part()
        for _ in range(0, claims // SHARE, CHUNK):
            await new.keep(CHUNK)
            await old.keep(CHUNK)
        return await new.part(), await old.part(), old.came


class _Stage:
    """A database behind a snapshot, and promises that are made and kept in it."""

    def __init__(self, store: TimedStore, feeder: asyncpg.Connection[asyncpg.Record]) -> None:
        self._store = store
        self._feeder = feeder
        self._expected = 0
        self._all_came = asyncio.Event()
        self._buckets = [bucket_of(f"guest-{number}") for number in range(LANES)]
        self._pages = self._claims = 0
        self.came = 0

    def module(self) -> Module:
        """Whom the promises are made to."""
        held = Module("held")

        @held.after_commit
        async def greet(event: Came) -> None:
            self.came += 1
            if self.came >= self._expected:
                self._all_came.set()

        return held

    async def keep(self, promises: int) -> None:
        """Make so many promises, some at a time, and wait until they are kept."""
        for _ in range(0, promises, CHUNK):
            self._all_came.clear()
            self._expected += CHUNK
            await self._feeder.execute(PROMISE, self._buckets, CHUNK)
            async with asyncio.timeout(60):
                await self._all_came.wait()

    async def begin_part(self) -> None:
        """From here on it counts."""
        self._claims = len(self._store.claims)
        self._pages = await self._feeder.fetchval(PAGES)

    async def part(self) -> Part:
        """What it has cost since then."""
        times = tuple(self._store.claims[self._claims :])
        return Part(milliseconds=times, pages=(await self._feeder.fetchval(PAGES) - self._pages) / len(times))


@asynccontextmanager
async def _opened(run: Run, finished: int) -> AsyncIterator[_Stage]:
    store = TimedStore(run.new_database())
    await store.open()
    await store.migrate([])
    await store.close()
    snapshot: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(store.url)
    feeder: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(store.url)
    stage = _Stage(store, feeder)
    settings = Settings(poll_interval=timedelta(milliseconds=20), drain_time_max=timedelta(seconds=5))
    app = Duly(modules=[stage.module()], store=store, settings=settings, tenant="acme")
    try:
        if finished:
            await feeder.execute(KEEP, finished, timeout=600)
        async with app:
            await snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await snapshot.execute("SELECT count(*) FROM duly.outbox")
            yield stage
            await app.until_quiet(time_max=timedelta(seconds=60))
    finally:
        await snapshot.close()
        await feeder.close()


R11: Final = Scenario(
    id="R11",
    title="a snapshot is held during 100,000 claims",
    scene=held_snapshot,
    tier_1={"claims": 2_000, "finished_max": 0, "slower_max": 0},
    tier_2={
        "claims": 100_000,
        "finished_max": int(os.environ.get("DULY_R11_FINISHED_MAX", "1000000")),
        "slower_max": 3,
    },
    revert={"claims": 80_000, "finished_max": 0, "slower_max": 3},
    stores=("postgres",),
    bugs=("marks_are_never_decided",),
)
