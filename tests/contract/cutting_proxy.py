"""A proxy before PostgreSQL that cuts a connection at the moment that a test wants."""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Cut(Enum):
    """What becomes of the next thing that a client says."""

    BEFORE = "the server never hears it"
    DURING = "the server hears it, and nobody is there for the answer"
    AFTER = "the server has answered, and the answer is lost"
    LATE = "the server hears it only when the test lets it"


class CuttingProxy:
    """Listens on loopback and passes everything on to a server's Unix socket, until it is told to cut."""

    def __init__(self, server_folder: Path) -> None:
        self._socket = server_folder / ".s.PGSQL.5432"
        self._listening: asyncio.Server | None = None
        self._next: Cut | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._let_through = asyncio.Event()
        self.heard = 0
        """How often a client has said something: each time it waits for an answer, that is one round trip."""
        self.cuts = 0
        """How many connections were cut."""
        self.delivered_late = asyncio.Event()
        """The server has worked off what it heard late."""
        self.refuses = False
        """Whether new connections are refused."""

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._listening is not None
        self._listening.close()
        self._let_through.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, direct: str) -> str:
        """The URL of the same database through the proxy."""
        assert self._listening is not None
        port = self._listening.sockets[0].getsockname()[1]
        return f"postgresql://postgres@127.0.0.1:{port}{urlsplit(direct).path}?sslmode=disable"

    def cut_next(self, cut: Cut) -> None:
        """Cut the connection that a client uses next."""
        self._next = cut

    def let_through(self) -> None:
        """Deliver what came late."""
        self._let_through.set()

    async def _serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self.refuses:
            client.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_reader, server = await asyncio.open_unix_connection(str(self._socket))
        answers = asyncio.create_task(_pass_on(server_reader, client))
        try:
            while said := await client_reader.read(65_536):
                self.heard += 1
                cut, self._next = self._next, None
                if cut is not None:
                    self.cuts += 1
                    answers.cancel()
                    await asyncio.wait([answers])
                    await self._cut(cut, said, client, server_reader, server)
                    return
                server.write(said)
                await server.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            answers.cancel()
            for writer in (client, server):
                writer.transport.abort()
            self._tasks.discard(task)

    async def _cut(
        self,
        cut: Cut,
        said: bytes,
        client: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        if cut is Cut.BEFORE:
            return
        if cut is Cut.AFTER:
            server.write(said)
            await _answer(server_reader)
            return
        client.transport.abort()
        if cut is Cut.LATE:
            await self._let_through.wait()
        server.write(said)
        with contextlib.suppress(ConnectionError):
            await _answer(server_reader)
        self.delivered_late.set()


async def _answer(reader: asyncio.StreamReader) -> None:
    """Read until the server is ready for the next statement. Source: PostgreSQL manual, 54.7 (message formats)."""
    while kind := await reader.readexactly(1):
        length = int.from_bytes(await reader.readexactly(4), "big")
        await reader.readexactly(length - 4)
        if kind == b"Z":
            return


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
