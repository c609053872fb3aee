"""An HTTP provider on loopback that counts what reaches it and misbehaves on request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

Behaviour: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request that was read to its end."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Provider:
    """Where it listens, and what has come in so far."""

    behaviour: Behaviour
    port: int = 0
    connections: int = 0
    requests: list[Received] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    reads: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def provider(
    behaviour: Behaviour, *, reads: bool = True, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Provider]:
    """A provider that reads each request (unless *reads* is False) and then behaves as told."""
    it = Provider(behaviour, reads=reads)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        it.connections += 1
        try:
            if it.reads:
                it.requests.append(await _read(reader))
                it.arrived.set()
            await it.behaviour(reader, writer)
        except (asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort() if it.behaviour is hang else writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *rest = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, value in (entry.split(":", 1) for entry in rest)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(line=line, headers=headers, body=body)


def answers(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Answers with *status*; ``Retry_After="3"`` becomes the header Retry-After."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Something", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return behave


async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes without a word."""


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Resets the connection."""
    writer.transport.abort()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says nothing, for as long as the test lasts."""
    await asyncio.Event().wait()


async def speak_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with what is no HTTP."""
    writer.write(b"+OK POP3 ready\r\n\r\n")
    await writer.drain()


_ENDLESS: set[Behaviour] = set()


def patience(behaviour: Behaviour) -> dict[str, timedelta]:
    """Settings for a gateway that meets *behaviour*: short where it never ends, else so long that load is no matter."""
    if behaviour is hang:
        return {"read_timeout": timedelta(seconds=0.3)}
    return {"call_timeout": timedelta(seconds=1.2 if behaviour in _ENDLESS else 20)}


def trickles(status: int) -> Behaviour:
    """Begins an answer with *status* and sends its body byte by byte, without an end."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Something\r\nContent-Length: 1000000\r\n\r\n".encode())
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    _ENDLESS.add(behave)
    return behave


def breaks_off(status: int) -> Behaviour:
    """Begins an answer with *status* and closes in the middle of its body."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f'HTTP/1.1 {status} Something\r\nContent-Length: 100\r\n\r\n{{"sid": "SM1"'.encode())
        await writer.drain()

    return behave
