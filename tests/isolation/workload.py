"""Clients at work: many at once, on one process or several; what they were told becomes a history."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from itertools import count
from random import Random
from typing import Final, Protocol

import msgspec

from tests.isolation.application import Do, application, call
from tests.isolation.calling import CANCELLED, Answer, Options, Request
from tests.isolation.history import Call, History, Operation, Outcome
from tests.isolation.planted import planted
from tests.isolation.programs import Program, Programs
from tests.isolation.rows import read_rows

AWAITS_MAX: Final = 12
REPEATED: Final = 0.15
CANCELLED_SHARE: Final = 0.1
QUIET_MAX: Final = timedelta(seconds=60)


class Server(Protocol):
    """What serves calls."""

    async def call(self, request: Request) -> Answer:
        """Serve one call."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run: *operations* in all, by so many *clients* at once, on so many *processes*; 0: in this one."""

    store: str
    operations: int
    clients: int = 32
    processes: int = 0
    seed: int = 0
    bug: str = ""
    recreated: bool = False
    """Whether aggregates come again under an id that was removed."""
    sorts: tuple[str, ...] = ()
    """Of the programs, those whose plans begin with these words only; all of them if there are none."""


async def play(plan: Plan) -> History:
    """Play a plan and read what it has left."""
    async with _servers(plan) as servers:
        clients = _Clients(plan, servers)
        await clients.play()
        await asyncio.gather(*(server.call(Request(call="quiet", operation="", ask="quiet")) for server in servers))
    rows = await read_rows(plan.store)
    return History(operations=clients.operations(), rows=rows)


class _Clients:
    def __init__(self, plan: Plan, servers: Sequence[Server]) -> None:
        self._plan = plan
        self._servers = servers
        self._lots = Random(f"{plan.seed} clients")
        lots = Random(f"{plan.seed} programs")
        self._programs = Programs(lots, operations=plan.operations, recreated=plan.recreated)
        self._calls: dict[str, list[Call]] = defaultdict(list)
        self._played: dict[str, Program] = {}
        self._numbers = count(1)

    async def play(self) -> None:
        """First what has to be there, then half of it in waves that begin at once, then everybody on his own."""
        await asyncio.gather(*(self._ask(program) for program in self._programs.first()))
        clients = self._plan.clients
        half = self._plan.operations // 2
        for _ in range(0, half, clients):
            await asyncio.gather(*(self._ask(self._draw()) for _ in range(clients)))
        left = iter(range(half))

        async def client() -> None:
            for _ in left:
                await self._ask(self._draw())

        await asyncio.gather(*(client() for _ in range(clients)))
        await self._settle()

    def operations(self) -> tuple[Operation, ...]:
        """What came of it."""
        return tuple(
            Operation(
                id=program.id,
                plan=program.plan,
                calls=tuple(self._calls[program.id]),
                writes=program.writes,
                is_query=program.is_query,
                jots=program.has(Do.JOT),
                texts=program.has(Do.TEXT),
            )
            for program in self._played.values()
        )

    def _draw(self) -> Program:
        while True:
            program = self._programs.draw()
            if not self._plan.sorts or program.plan.split()[0] in self._plan.sorts:
                return program

    async def _ask(self, program: Program) -> None:
        """One call, or several at once under the same id, on whichever process it may be."""
        times = self._lots.randint(2, 4) if not program.is_query and self._lots.random() < REPEATED else 1
        self._played[program.id] = program
        if times > 1 and self._lots.random() < 0.3:  # a retry, after the first has its answer
            await self._call(program, self._cancel_at())
        await asyncio.gather(*(self._call(program, self._cancel_at()) for _ in range(times)))

    def _cancel_at(self) -> int:
        return self._lots.randint(1, AWAITS_MAX) if self._lots.random() < CANCELLED_SHARE else 0

    async def _call(self, program: Program, cancel_at: int) -> None:
        table = "duly.document" if self._plan.store.startswith("postgres") else "duly_document"
        request = Request(
            call=str(next(self._numbers)),
            operation=program.id,
            steps=[msgspec.to_builtins(step) for step in program.steps],
            keys=program.keys,
            ask=(table if program.in_one_statement else "look") if program.is_query else "",
            cancel_at=cancel_at,
        )
        server = self._lots.choice(self._servers)
        invoked = time.monotonic_ns()
        answer = await server.call(request)
        self._calls[program.id].append(
            Call(
                invoked=invoked,
                returned=time.monotonic_ns(),
                outcome=answer.outcome,
                reads=answer.reads,
                said=answer.said,
            )
        )

    async def _settle(self) -> None:
        """Ask again for what nobody knows of: the id knows."""
        for program in self._played.values():
            outcomes = {one.outcome for one in self._calls[program.id]}
            if not program.is_query and Outcome.UNKNOWN in outcomes and Outcome.OK not in outcomes:
                await self._call(program, 0)


def unexpected(history: History) -> list[str]:
    """What callers were told that is neither a result, nor a refusal, nor their own cancellation."""
    return [
        f"{operation}: {one.said}"
        for operation in history.operations
        for one in operation.calls
        if one.outcome is Outcome.UNKNOWN and one.said != CANCELLED
    ]


class _Here:
    """The application in this process."""

    def __init__(self, store: str) -> None:
        self.app = application(store)

    async def call(self, request: Request) -> Answer:
        if request.ask == "quiet":
            await self.app.until_quiet(time_max=QUIET_MAX)
            return Answer(call=request.call)
        return await call(self.app, request)


class _Elsewhere:
    """The application in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._reading = asyncio.create_task(self._read())

    async def call(self, request: Request) -> Answer:
        """Send a call and wait for its answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request.call] = answer
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(msgspec.json.encode(request) + b"\n")
        return await answer

    async def ready(self) -> None:
        """Wait until it serves."""
        ready = self._waiting["ready"] = asyncio.get_running_loop().create_future()
        await ready

    async def end(self) -> None:
        """Let it stop."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = msgspec.json.decode(line, type=Answer)
            self._waiting.pop(answer.call).set_result(answer)
        for waiting in self._waiting.values():
            waiting.set_exception(RuntimeError("the process under test has ended"))


@asynccontextmanager
async def _servers(plan: Plan) -> AsyncIterator[Sequence[Server]]:
    async with AsyncExitStack() as stack:
        with planted(plan.bug):
            await application(plan.store).migrate()
        if not plan.processes:
            stack.enter_context(planted(plan.bug))
            here = _Here(plan.store)
            await stack.enter_async_context(here.app)
            yield [here]
            return
        options = Options(store=plan.store, bug=plan.bug).text()
        elsewhere: list[_Elsewhere] = []
        for _ in range(plan.processes):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.isolation.application",
                options,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=2**20,
            )
            one = _Elsewhere(process)
            stack.push_async_callback(one.end)
            elsewhere.append(one)
        await asyncio.gather(*(one.ready() for one in elsewhere))
        yield elsewhere
