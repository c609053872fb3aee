"""R10: transactions that nobody ends: one idle, one that only reads, one that was prepared and left behind."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

import asyncpg

from duly.delivery.old_transactions import OldTransactionWatch
from duly.delivery.sequencer import Sequencer
from duly.ports.change import Change, Done
from duly.stores.postgres import PostgresStore
from duly.testing.postgres_server import PostgresServer
from duly.testing.store_exam import change, event
from tests.reliability.scenario import Run, Scenario, Told

OLD: Final = timedelta(milliseconds=100)
STALLED_SECONDS: Final = 3.0
SECRET: Final = "+4915112345678"
"""Stands in a statement of a transaction that is named in the log, where it must not."""


async def open_transactions(run: Run) -> Told:
    """In each round three transactions stay open while others commit; then they end, and come last."""
    with PostgresServer(settings={"max_prepared_transactions": "4"}) as server:
        store = PostgresStore(server.create_database())
        await store.open()
        await store.migrate([])
        stage = _Stage(run, store)
        try:
            for number in range(run.counts["rounds"]):
                await stage.round(number)
            return await stage.told()
        finally:
            await store.close()


class _Heard(logging.Handler):
    """What the logger says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class _Stage:
    def __init__(self, run: Run, store: PostgresStore) -> None:
        self._commits = run.counts["commits"]
        self._store = store
        self._url = store.url
        self._history = run.history()
        self._found: list[str] = []
        self._held = 0
        self._named = 0
        self._slowest = 0.0
        self._acknowledged: list[str] = []
        self._idle_pid = self._reader_pid = 0

    async def round(self, number: int) -> None:
        heard = _Heard()
        logger = logging.getLogger("duly")
        level, logger.level = logger.level, logging.WARNING
        logger.addHandler(heard)
        sequencer = Sequencer(self._store, interval=timedelta(milliseconds=5), on_numbered=lambda: None)
        watch = OldTransactionWatch(self._store, after=OLD)
        try:
            async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
                group.create_task(sequencer.run())
                late = await self._hold(number, stack)
                group.create_task(watch.run())
                await self._others(number, sequencer)
                await self._names(number, heard)
                sequencer.stop()
                watch.stop()
        finally:
            logger.removeHandler(heard)
            logger.level = level
        await self._end(number, late)

    async def _hold(self, number: int, stack: AsyncExitStack) -> str:
        """Leave three transactions open; the event of the one that was prepared."""
        idle = await stack.enter_async_context(self._store.begin())
        (row,) = await idle.fetch("SELECT pg_backend_pid() AS pid", {})
        self._idle_pid = int(str(row["pid"]))
        await idle.write(_happened(f"idle-{number}"))
        await idle.fetch(f"SELECT '{SECRET}' AS text", {})
        reader: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(self._url)
        stack.push_async_callback(reader.close)
        await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await reader.execute("SELECT 1 FROM duly.commit_log LIMIT 1")
        self._reader_pid = reader.get_server_pid()
        of_prepared = _happened(f"prepared-{number}")
        prepared: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(self._url)
        stack.push_async_callback(prepared.close)
        await prepared.execute("BEGIN")
        (raised,) = of_prepared.messages
        await prepared.execute(
            "WITH c AS (INSERT INTO duly.commit_log (tenant, events, at_ms) VALUES ('acme', 1, 0) RETURNING id) "
            "INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, handler, chain, body) "
            f"SELECT c.id, 0, '{raised.id}', 'acme', 'event', 'shop.OrderPlaced', 2, 'h', '[]', '{{}}' FROM c"
        )
        await prepared.execute(f"PREPARE TRANSACTION 'left-{number}'")
        self._held += 3
        return raised.id

    async def _others(self, number: int, sequencer: Sequencer) -> None:
        """Commit, and wait until each event has its position."""
        clock = asyncio.get_running_loop().time
        for place in range(self._commits):
            wanted = _happened(f"{number}-{place}")
            verdict = await self._store.commit(wanted)
            assert isinstance(verdict, Done)
            assert verdict.commit is not None
            self._acknowledged.append(wanted.messages[0].id)
            self._history.add("acknowledged", wanted.messages[0].id)
            sequencer.wake()
            begun = clock()
            while await self._store.position_of(verdict.commit) is None:
                if clock() - begun > STALLED_SECONDS:
                    self._found.append(f"round {number}: the feed stands still for {STALLED_SECONDS} s")
                    return
                await asyncio.sleep(0.001)
            self._slowest = max(self._slowest, clock() - begun)

    async def _names(self, number: int, heard: _Heard) -> None:
        wanted = [f"process {self._idle_pid} ", f"process {self._reader_pid} ", f"prepared transaction left-{number} "]
        deadline = asyncio.get_running_loop().time() + STALLED_SECONDS
        while not all(any(name in line for line in heard.lines) for name in wanted):
            if asyncio.get_running_loop().time() > deadline:
                missing = [name for name in wanted if not any(name in line for line in heard.lines)]
                self._found.append(f"round {number}: nobody names {', '.join(missing)}")
                break
            await asyncio.sleep(0.005)
        self._named += sum(any(name in line for line in heard.lines) for name in wanted)
        if any(SECRET in line for line in heard.lines):
            self._found.append("a warning quotes what a statement says")

    async def _end(self, number: int, late: str) -> None:
        """End what was left: its events get their positions, behind the others."""
        session: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(self._url)
        try:
            await session.execute(f"COMMIT PREPARED 'left-{number}'")
        finally:
            await session.close()
        while await self._store.number_commits(100):
            pass
        self._acknowledged.append(late)

    async def told(self) -> Told:
        page = await self._store.read_log(0, 1_000_000)
        ids = [found.id for found in page.events]
        if ids != self._acknowledged:
            lost = len(set(self._acknowledged) - set(ids))
            self._found.append(f"{lost} events are lost, or they are in another order than they became visible")
        return Told(
            faults=self._held,
            figures={
                "transactions left open": str(self._held),
                "named": str(self._named),
                "events of others meanwhile": str(len(ids) - self._held // 3),
                "slowest position (ms)": f"{1_000 * self._slowest:.0f}",
            },
            violations=tuple(self._found),
        )


def _happened(order: str) -> Change:
    return change(messages=(event(f"shop.Order/{order}", personal=None),), events=1)


R10: Final = Scenario(
    id="R10",
    title="idle in transaction, a snapshot that is held, an orphaned PREPARE",
    scene=open_transactions,
    tier_1={"rounds": 1, "commits": 20},
    tier_2={"rounds": 10, "commits": 500},
    stores=("postgres",),
    bugs=("sequencers_wait_for_older_transactions", "old_transactions_are_not_named"),
)
