"""A provider over HTTP, in a process that is not under test. It writes down what it took before it answers."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

from duly.testing.history import History


class Mood(Enum):
    """What the provider does with one call."""

    TAKES = "takes it and answers"
    REFUSES = "refuses it (422)"
    WAITS = "asks to wait (429)"
    IS_BUSY = "answers 503 before it has looked at it"
    TAKES_AND_DROPS = "takes it and drops the connection"
    TAKES_AND_CUTS = "takes it and cuts its answer short"
    TAKES_AND_FAILS = "takes it and answers 500"
    TAKES_AND_HANGS = "takes it and never answers"
    HANGS = "does not take it and never answers"
    HOLDS = "answers when it is let"


LOSES_THE_ANSWER: Final = (Mood.TAKES_AND_DROPS, Mood.TAKES_AND_CUTS, Mood.TAKES_AND_FAILS, Mood.TAKES_AND_HANGS)
"""It has it, and nobody learns of it."""

MoodOf: TypeAlias = Callable[[str, int], Mood]
"""The mood for one call: by our reference, and by the number of the calls with it, from 1."""

_STATUS: Final = {Mood.REFUSES: 422, Mood.WAITS: 429, Mood.IS_BUSY: 503, Mood.TAKES_AND_FAILS: 500}
_TAKES: Final = frozenset({Mood.TAKES, Mood.HOLDS, *LOSES_THE_ANSWER})


class Provider:
    """Takes bills by POST, knows them by their `order_id` (GET), and honours an idempotency key if it is sent one.

    The history has ``called`` for every call, and ``taken`` for every bill that it made of one.
    """

    def __init__(self, history: History, mood: MoodOf = lambda reference, call: Mood.TAKES) -> None:
        self._history = history
        self._mood = mood
        self._calls: Counter[str] = Counter()
        self._bills: list[tuple[str, str]] = []
        self._by_key: dict[str, str] = {}
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self.let_go = asyncio.Event()
        """Calls that are held are answered once this is set."""
        self.held = 0
        """How many calls are held."""
        self.under_way = 0
        self.peak = 0
        """The most calls that were under way at once."""
        self.url = ""

    def forget_keys(self) -> None:
        """The lifetime of every key has passed."""
        self._by_key.clear()

    def taken(self, reference: str) -> int:
        """How many bills it made under this reference."""
        return sum(one == reference for one, _ in self._bills)

    def calls(self, reference: str) -> int:
        """How many calls came in under this reference."""
        return self._calls[reference]

    async def bind(self) -> None:
        """Reserve an address: whoever connects is refused until `listen`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, start_serving=False)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/invoices"

    async def listen(self) -> None:
        """From now on connections are taken."""
        assert self._server is not None
        await self._server.start_serving()

    async def close(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    request, *lines = head.split("\r\n")
                    method, target, _ = request.split(" ")
                    fields = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
                    body = await reader.readexactly(int(fields.get("content-length", "0")))
                    if method == "GET":
                        _answer(writer, 200, self._found(target))
                    elif not await self._bill(json.loads(body)["order_id"], fields.get("idempotency-key"), writer):
                        return
                    await writer.drain()
        finally:
            self._talks.discard(talk)
            writer.transport.abort()

    def _found(self, target: str) -> dict[str, object]:
        (asked,) = parse_qs(urlsplit(target).query)["reference"]
        return {"items": [{"id": bill, "reference": one} for one, bill in self._bills if one == asked]}

    async def _bill(self, reference: str, key: str | None, writer: asyncio.StreamWriter) -> bool:
        """Answer one call; False when the connection is to be cut."""
        self._calls[reference] += 1
        mood = self._mood(reference, self._calls[reference])
        self._history.add("called", reference, mood.name)
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            bill = self._take(reference, key) if mood in _TAKES else ""
            match mood:
                case Mood.TAKES:
                    _answer(writer, 201, {"id": bill})
                case Mood.HOLDS:
                    self.held += 1
                    await self.let_go.wait()
                    self.held -= 1
                    _answer(writer, 201, {"id": bill})
                case Mood.TAKES_AND_DROPS:
                    return False
                case Mood.TAKES_AND_CUTS:
                    writer.write(b'HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{"id')
                    await writer.drain()
                    return False
                case Mood.HANGS | Mood.TAKES_AND_HANGS:
                    await asyncio.Event().wait()
                case Mood.REFUSES | Mood.WAITS | Mood.IS_BUSY | Mood.TAKES_AND_FAILS:
                    _answer(writer, _STATUS[mood], {})
        finally:
            self.under_way -= 1
        return True

    def _take(self, reference: str, key: str | None) -> str:
        if key is not None and key in self._by_key:
            return self._by_key[key]
        bill = f"in_{len(self._bills) + 1}"
        self._bills.append((reference, bill))
        self._history.add("taken", reference, bill)
        if key is not None:
            self._by_key[key] = bill
        return bill


def _answer(writer: asyncio.StreamWriter, status: int, document: dict[str, object]) -> None:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


@asynccontextmanager
async def providing(history: History, mood: MoodOf = lambda reference, call: Mood.TAKES) -> AsyncIterator[Provider]:
    """A provider that listens."""
    provider = Provider(history, mood)
    await provider.bind()
    await provider.listen()
    try:
        yield provider
    finally:
        await provider.close()
