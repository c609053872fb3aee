"""The provider, in the process of the test, which is not under test: it takes bills and writes each down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from duly.testing.history import History


@asynccontextmanager
async def provider(history: History) -> AsyncIterator[str]:
    """Serve on a free port of the loopback; its URL. It does not look at the idempotency key: it counts."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
                await reader.readexactly(int(fields["content-length"]))
                history.add("taken", fields["idempotency-key"])
                body = b'{"id": "in_%d"}' % len(list(history.of("taken")))
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/invoices"
    finally:
        server.close()
