"""``python -m benchmarks.programs.json_provider``: a provider on loopback that answers each POST at once with an id.

It says its port on the first line. ``POST`` makes one more; ``GET`` says how many were made so far. It ends when its
standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, cast

from benchmarks.loop import new_runner

HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length:"
BACKLOG: Final = 1_024


class Provider:
    """What it has taken."""

    made = 0

    def answer(self, head: bytes) -> bytes:
        """The answer to a whole request."""
        if head.startswith(b"POST "):
            self.made += 1
            return _response(b"201 Created", b'{"id":"provider-%d"}' % self.made)
        return _response(b"200 OK", b"%d" % self.made)


class Conversation(asyncio.Protocol):
    """One request on one connection, which is closed after the answer."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._heard = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, end, body = bytes(self._heard).partition(HEAD_END)
        if self._transport is not None and end and len(body) >= _length(head):
            self._transport.write(self._provider.answer(head))
            self._transport.close()
            self._transport = None


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(LENGTH):
            return int(line.removeprefix(LENGTH))
    return 0


def _response(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, len(body)) + body


async def main() -> None:
    """Serve until nobody holds our standard input any more."""
    loop, provider = asyncio.get_running_loop(), Provider()
    server = await loop.create_server(lambda: Conversation(provider), "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    with new_runner() as runner:
        runner.run(main())
