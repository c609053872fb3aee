"""R09: transactions end in another order than they began, and some are taken back; readers follow meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from random import Random
from typing import Final

import asyncpg

from duly.messages.envelope import Envelope, Kind
from duly.ports.change import Done
from duly.ports.log import LogEvent
from duly.ports.store import Store
from duly.runtime.store_url import store_from_url
from duly.testing.history import History
from duly.testing.store_exam import change, document, event
from tests.reliability.scenario import Run, Scenario, Told

WRITERS: Final = 12
STREAMS: Final = 8
SEQUENCERS: Final = 3
READERS: Final = 2
ROLLED_BACK: Final = 0.05
DELAY_SECONDS_MAX: Final = 0.004
PAGE_MAX: Final = 40


async def commit_order(run: Run) -> Told:
    """So many transactions, held open for a while each, beside writers elsewhere whose transactions stay open."""
    url = run.new_database()
    history = run.history()
    stores: list[Store] = [store_from_url(url) for _ in range(2 + SEQUENCERS + READERS)]
    for store in stores:
        await store.open()
    await stores[0].migrate([])
    strangers = [await _long_writer(place) for place in (url, run.new_database())] if run.store == "postgres" else []
    try:
        stage = _Stage(run, history, stores)
        return await stage.play()
    finally:
        for stranger in strangers:
            await stranger.close()
        for store in stores:
            await store.close()


async def _long_writer(url: str) -> asyncpg.Connection[asyncpg.Record]:
    """A session with a transaction that has written, and goes on until it is closed."""
    session: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url)
    await session.execute("BEGIN; CREATE TABLE elsewhere (id integer); INSERT INTO elsewhere VALUES (1)")
    return session


class _Stage:
    def __init__(self, run: Run, history: History, stores: list[Store]) -> None:
        self._run = run
        self._history = history
        self._writing, self._sequencing = stores[:2], stores[2 : 2 + SEQUENCERS]
        self._reading = stores[2 + SEQUENCERS :]
        self._versions: Counter[str] = Counter()
        self._acknowledged: set[str] = set()
        self._taken_back: set[str] = set()
        self._commits: dict[str, int] = {}
        """The row of each event in the log of commits."""

    async def play(self) -> Told:
        numbers = iter(range(self._run.counts["transactions"]))
        writing = asyncio.gather(*(self._write(numbers, place) for place in range(WRITERS)))
        sequencing = asyncio.gather(*(self._sequence(store, writing) for store in self._sequencing))
        reading = asyncio.gather(
            *(self._read(store, sequencing, self._run.random(f"reader {n}")) for n, store in enumerate(self._reading))
        )
        await writing
        await sequencing
        logs = await reading
        found = [f"reader {n}: {said}" for n, log in enumerate(logs) for said in self._wrong_with(log)]
        if any([one.id for one in log] != [one.id for one in logs[0]] for log in logs):
            found.append("two readers saw another order")
        overtaken = self._overtaken(logs[0])
        lost = max(len(self._acknowledged - {one.id for one in log}) for log in logs)
        return Told(
            faults=overtaken + len(self._taken_back),
            figures={
                "events": str(len(self._acknowledged)),
                "commits overtaken": str(overtaken),
                "events taken back": str(len(self._taken_back)),
                "lost": str(lost),
                "order breaks": str(sum("order of" in said for said in found)),
                "numbered twice": str(sum("twice" in said for said in found)),
            },
            violations=tuple(found),
        )

    async def _write(self, numbers: Iterator[int], place: int) -> None:
        lots = self._run.random(f"writer {place}")
        store = self._writing[place % len(self._writing)]
        for _ in numbers:
            while not await self._transact(store, lots):
                pass

    async def _transact(self, store: Store, lots: Random) -> bool:
        """One transaction, committed or taken back; False when a conflict was in the way."""
        stream = f"shop.Order/{lots.randrange(STREAMS)}"
        version = self._versions[stream]
        raised = tuple(event(stream, stream_version=version + 1, personal=None) for _ in range(lots.randint(1, 3)))
        wanted = change(
            documents=(document(stream, version),),
            messages=(*raised, event(None, kind=Kind.PUBLIC)),
            events=len(raised),
        )
        async with store.begin() as transaction:
            await asyncio.sleep(lots.uniform(0, DELAY_SECONDS_MAX))
            verdict = await transaction.write(wanted)
            if not isinstance(verdict, Done) or verdict.commit is None:
                return False
            await asyncio.sleep(lots.uniform(0, DELAY_SECONDS_MAX))
            if lots.random() < ROLLED_BACK:
                await transaction.rollback()
                self._note("taken back", raised, self._taken_back)
                return True
            self._versions[stream] = version + 1
            await transaction.commit()
        self._commits.update((one.id, verdict.commit) for one in raised)
        self._note("acknowledged", raised, self._acknowledged)
        return True

    def _note(self, what: str, raised: tuple[Envelope, ...], where: set[str]) -> None:
        for one in raised:
            self._history.add(what, one.id, one.stream or "")
            where.add(one.id)

    async def _sequence(self, store: Store, writing: asyncio.Future[list[None]]) -> None:
        while not writing.done():
            await store.number_commits(20)
            await asyncio.sleep(0)
        while await store.number_commits(20):
            pass

    async def _read(self, store: Store, sequencing: asyncio.Future[list[None]], lots: Random) -> list[LogEvent]:
        log: list[LogEvent] = []
        after = 0
        while True:
            is_last = sequencing.done()
            page = await store.read_log(after, lots.randint(1, PAGE_MAX))
            log += page.events
            if page.through == after and is_last:
                return log
            after = page.through
            await asyncio.sleep(0)

    def _wrong_with(self, log: list[LogEvent]) -> list[str]:
        """What a reader saw against the history."""
        seen = Counter(one.id for one in log)
        found: list[str] = []
        if lost := self._acknowledged - seen.keys():
            found.append(f"I1: {len(lost)} of {len(self._acknowledged)} acknowledged events are lost")
        if phantoms := self._taken_back & seen.keys():
            found.append(f"I2: {len(phantoms)} events of transactions that were taken back are there")
        if twice := [one for one, count in seen.items() if count > 1]:
            found.append(f"{len(twice)} events were numbered twice")
        versions: dict[str | None, list[int]] = defaultdict(list)
        for one in log:
            versions[one.stream].append(one.stream_version or 0)
        found += [
            f"I4: the order of {stream} is broken" for stream, known in versions.items() if known != sorted(known)
        ]
        if [one.position for one in log] != list(range(1, len(log) + 1)):
            found.append("positions have gaps, or come in another order")
        return found

    def _overtaken(self, log: list[LogEvent]) -> int:
        """How many commits have a lower id than one before them in the log."""
        overtaken: set[int] = set()
        highest = 0
        for one in log:
            commit = self._commits.get(one.id, 0)
            if commit < highest:
                overtaken.add(commit)
            highest = max(highest, commit)
        return len(overtaken)


R09: Final = Scenario(
    id="R09",
    title="commits end in another order than they began, 5 % are taken back, a long writer elsewhere",
    scene=commit_order,
    tier_1={"transactions": 200},
    tier_2={"transactions": 10_000},
    revert={"transactions": 600},
    stores=("postgres",),
    bugs=("readers_follow_commit_ids", "sequencers_look_only_ahead", "sequencers_are_one_statement"),
)
