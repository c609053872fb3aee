"""R19: all wake-ups between processes are dropped; and what they cost the commits that tell of themselves."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final
from unittest.mock import patch

from duly import Aggregate, Command, Context, DomainEvent, Duly, Effect, Effects, Module, Repository, Settings
from duly.errors import NotQuiet
from duly.gateways.recording import RecordingGateway
from duly.ports.wake_ups import News
from duly.runtime.store_url import store_from_url
from duly.runtime.worker import Worker
from tests.reliability.scenario import Run, Scenario, Told

POLL: Final = timedelta(milliseconds=50)
DRAINED_WITHIN: Final = timedelta(seconds=20)
IN_FLIGHT: Final = (8, 32)


class Place(Command):
    number: int
    effect: bool = True


class Placed(DomainEvent):
    number: int


class Bill(Effect):
    number: int


class Order(Aggregate, name="shop.Order"):
    pass


async def lost_wake_ups(run: Run) -> Told:
    """One process commands and another works, first deaf, then not; then what telling costs."""
    url = run.new_database()
    stage = _Stage(url)
    await stage.application(worker=False).migrate()
    dropped = await stage.play(run.counts["orders"], deaf=True)
    heard = await stage.play(run.counts["orders"], deaf=False)
    figures = {
        "wake-ups dropped": f"{stage.dropped:,}",
        "orders, half of them with wake-ups": f"{2 * run.counts['orders']:,}",
        "lost": str(stage.lost),
        "p50 from commit to handler, dropped (ms)": f"{1_000 * statistics.median(dropped):.1f}" if dropped else "none",
        "p50 from commit to handler, heard (ms)": f"{1_000 * statistics.median(heard):.1f}" if heard else "none",
    }
    for in_flight in IN_FLIGHT:
        costs = await stage.costs(in_flight, run.counts["slices"], run.counts["commits"])
        figures[f"cost for {in_flight} commits in flight (% of time, of processor time)"] = costs
    return Told(faults=stage.dropped, figures=figures, violations=tuple(stage.found))


class _Stage:
    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = 0
        self._committed: dict[int, float] = {}
        self._handled: dict[int, float] = {}
        self._times_handled: Counter[int] = Counter()
        self._handles = asyncio.Event()
        self._gateway = RecordingGateway(Bill)
        self.dropped = 0
        self.lost = 0
        self.found: list[str] = []

    def application(self, *, worker: bool, wake_ups: bool = True) -> Duly:
        """The shop, with a store of its own, as another process has."""
        shop = Module("shop")

        @shop.command
        async def place(command: Place, orders: Repository[Order], effects: Effects) -> None:
            order = Order(id=f"o-{command.number}")
            order.record(Placed(number=command.number))
            orders.add(order)
            if command.effect:
                effects.request(Bill(number=command.number))

        @shop.after_commit
        async def look(event: Placed, context: Context) -> None:
            self._handled.setdefault(event.number, time.perf_counter())
            self._times_handled[event.number] += 1
            self._handles.set()

        return Duly(
            modules=[shop],
            store=store_from_url(self._url),
            gateways=[self._gateway],
            tenant="acme",
            worker=worker,
            settings=Settings(poll_interval=POLL, wake_ups=wake_ups),
        )

    async def play(self, orders: int, *, deaf: bool) -> list[float]:
        """Seconds from each commit to its handler."""
        hear = Worker.heard

        def drops(worker: Worker, news: News) -> None:
            if deaf:
                self.dropped += 1
            else:
                hear(worker, news)

        first = self._numbers
        with patch.object(Worker, "heard", drops):
            async with self.application(worker=True) as working, self.application(worker=False) as commanding:
                await working.until_quiet()
                try:
                    for _ in range(orders):
                        await self._place(commanding)
                        await self._until_handled(self._numbers)
                        # Else the end of one delivery would have it look, and find the next one, without a wake-up.
                        await working.until_quiet(time_max=DRAINED_WITHIN)
                except TimeoutError:
                    self.found.append(f"I7: order {self._numbers} is not handled within {DRAINED_WITHIN}")
                except NotQuiet as error:
                    self.found.append(f"I7: it does not drain: {error}")
        numbers = range(first + 1, self._numbers + 1)
        self._judge(numbers)
        return [
            max(0.0, self._handled[number] - self._committed[number]) for number in numbers if number in self._handled
        ]

    async def _until_handled(self, number: int) -> None:
        self._committed[number] = time.perf_counter()
        async with asyncio.timeout(DRAINED_WITHIN.total_seconds()):
            while number not in self._handled:
                self._handles.clear()
                await self._handles.wait()

    async def _place(self, app: Duly, *, effect: bool = True) -> None:
        self._numbers += 1
        await app.execute(Place(number=self._numbers, effect=effect))

    def _judge(self, numbers: range) -> None:
        sent = Counter(json.loads(call.prepared.body)["number"] for call in self._gateway.calls)
        for number in numbers:
            handled = self._times_handled[number]
            self.lost += not handled or not sent[number]
            if handled != 1 or sent[number] != 1:
                self.found.append(f"order {number} was handled {handled} times, its effect sent {sent[number]} times")

    async def costs(self, in_flight: int, slices: int, commits: int) -> str:
        """Commits of a process that tells, with an ear that hears it, against one that does not; slice by slice."""
        async with AsyncExitStack() as stack:
            quiet = await stack.enter_async_context(self.application(worker=False, wake_ups=False))
            telling = await stack.enter_async_context(self.application(worker=False))
            pairs: list[tuple[float, float]] = []
            for number in range(slices + 1):
                spent: dict[bool, tuple[float, float]] = {}
                for tells in (True, False) if number % 2 else (False, True):
                    spent[tells] = await self._slice(telling if tells else quiet, in_flight, commits, tells=tells)
                if number:  # the first one opens connections
                    pairs.append((spent[True][0] / spent[False][0], spent[True][1] / spent[False][1]))
        wall, cpu = (100 * (statistics.median(ratios) - 1) for ratios in zip(*pairs, strict=True))
        return f"{wall:+.1f}, {cpu:+.1f}"

    async def _slice(self, app: Duly, in_flight: int, commits: int, *, tells: bool) -> tuple[float, float]:
        numbers = iter(range(commits))

        async def one_after_another() -> None:
            for _ in numbers:
                await self._place(app, effect=False)

        ear, hears = store_from_url(self._url), asyncio.Event()
        await ear.open()
        listening = asyncio.create_task(ear.listen(lambda news: hears.set())) if tells else None
        if tells:
            await hears.wait()
        begun, begun_cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(one_after_another())
        spent = time.perf_counter() - begun, time.process_time() - begun_cpu
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        await ear.close()
        return spent


R19: Final = Scenario(
    id="R19",
    title="all wake-ups dropped; what they cost commits",
    scene=lost_wake_ups,
    tier_1={"orders": 10, "slices": 1, "commits": 40},
    tier_2={"orders": 200, "slices": 40, "commits": 400},
    bugs=("workers_wait_to_be_woken",),
)
