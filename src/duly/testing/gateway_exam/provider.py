"""A fake provider: a real server on loopback that is in a mood, counts what it took, and keeps what it saw."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from duly.testing.gateway_exam.answers import Seen
from duly.testing.gateway_exam.moods import Does, Mood

LINE_BYTES_MAX: Final = 1_000_000
_RECEIVE_BUFFER_BYTES: Final = 16 * 1024
_TRICKLE_S: Final = 0.01
_NONSENSE: Final = b"+OK POP3 server ready\r\n\r\n"


@dataclass(slots=True)
class Tally:
    """What a provider counted."""

    connections: int = 0
    requests: int = 0
    """Requests of which at least one byte came in; questions are not among them."""
    look_ups: int = 0
    target_hits: int = 0
    """Requests to the place that a redirect points at."""
    flooded: bool = False
    """Whether a whole answer of many megabytes went out."""
    seen: list[Seen] = field(default_factory=list)
    """Every request that was read to its end."""
    taken: list[Seen] = field(default_factory=list)
    """What is on its way: each was, or is to be, delivered once."""
    phases: Counter[str] = field(default_factory=Counter)
    """How often each step of SMTP was reached."""

    def taken_under(self, key: str) -> int:
        """How often it took something under *key*."""
        return sum(seen.key == key for seen in self.taken)


class Gate:
    """Holds requests until as many as are wanted are under way at once, for some seconds at most."""

    def __init__(self) -> None:
        self.wanted = 0
        self.most = 0
        self._present = 0
        self._complete = asyncio.Event()

    async def pass_through(self, *, seconds_max: float = 3) -> None:
        """Wait until the gate opens."""
        self._present += 1
        self.most = max(self.most, self._present)
        try:
            if self._present >= self.wanted:
                self._complete.set()
            async with asyncio.timeout(seconds_max):
                await self._complete.wait()
        except TimeoutError:
            self._complete.set()  # those that wait behind have waited enough
        finally:
            self._present -= 1


class FakeProvider:
    """Listens on loopback within ``async with``. Its mood may be changed between calls, but not to *refuses*."""

    scheme = "tcp"

    def __init__(self, mood: Mood, *, tls: ssl.SSLContext | None = None, key_lifetime: timedelta | None = None) -> None:
        """With *key_lifetime* it forgets each key that long after it came first."""
        self.mood = mood
        self.tally: Final = Tally()
        self.gate: Final = Gate()
        self.arrived: Final = asyncio.Event()
        """Set once a request was read to its end."""
        self.idle: Final = asyncio.Event()
        """Set while no connection is open."""
        self.idle.set()
        self.tasks: Final[set[asyncio.Task[object]]] = set()
        self._tls = tls
        self._open = 0
        self._socket = socket.socket()
        self._server: asyncio.Server | None = None
        self._key_lifetime_s = None if key_lifetime is None else key_lifetime.total_seconds()
        self._keys: dict[str, tuple[int, bytes, float]] = {}

    async def __aenter__(self) -> Self:
        # Small, so that a large request cannot vanish into the buffers of the operating system.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._socket.bind(("127.0.0.1", 0))
        if self.mood.does is not Does.REFUSE:  # a socket that is bound and does not listen refuses
            self._server = await asyncio.start_server(
                self._serve, sock=self._socket, ssl=self._tls, limit=LINE_BYTES_MAX
            )
        self._port = int(self._socket.getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self._socket.close()

    @property
    def host(self) -> str:
        """The address that it listens at."""
        return "127.0.0.1"

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return self._port

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"{self.scheme}{'s' if self._tls else ''}://{self.host}:{self.port}"

    def forget_keys(self) -> None:
        """Forget every key, as providers do after a time."""
        self._keys.clear()

    def take(self, seen: Seen) -> int | None:
        """Take *seen*, unless its key is known: then its first number, or None when the body is another one."""
        now = asyncio.get_running_loop().time()
        if seen.key is not None and (known := self._keys.get(seen.key)) is not None:
            number, body, since = known
            if self._key_lifetime_s is None or now - since < self._key_lifetime_s:
                return number if body == seen.body else None
        self.tally.taken.append(seen)
        number = len(self.tally.taken)
        if seen.key is not None:
            self._keys[seen.key] = (number, seen.body, now)
        return number

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; its end is the end of the connection."""
        raise NotImplementedError

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.tally.connections += 1
        self._open += 1
        self.idle.clear()
        try:
            if self.mood.does is not Does.DROP_UNREAD:
                await self.converse(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            pass  # the gateway hung up, or sent what is no request
        finally:
            writer.close()
            self.tasks.discard(task)
            self._open -= 1
            if not self._open:
                self.idle.set()


async def until_the_end(reader: asyncio.StreamReader) -> None:
    """Wait until the other side hangs up."""
    while await reader.read(LINE_BYTES_MAX):
        pass


def reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection: what is on its way is lost."""
    connected: socket.socket = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, beginning: bytes) -> None:
    """Write *beginning*, then byte after byte, until the other side hangs up."""
    writer.write(beginning)
    while not reader.at_eof():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(_TRICKLE_S)


async def misbehave(
    does: Does, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whole: bytes, body_at: int
) -> bool:
    """Write as much of the answer *whole*, whose body begins at *body_at*, as the mood says; True to go on."""
    match does:
        case Does.ANSWER:
            writer.write(whole)
            await writer.drain()
            return True
        case Does.RESET:
            reset(writer)
        case Does.HANG:
            await until_the_end(reader)
        case Does.TRICKLE_HEAD:
            await trickle(reader, writer, whole[: body_at // 2])
        case Does.TRICKLE_BODY:
            await trickle(reader, writer, whole[:body_at])
        case Does.CUT_HEAD:
            writer.write(whole[:2])
        case Does.CUT_BODY:
            writer.write(whole[: body_at + (len(whole) - body_at) // 2])
        case Does.NONSENSE:
            writer.write(_NONSENSE)
        case Does.REFUSE | Does.DROP_UNREAD | Does.DROP | Does.FLOOD:
            pass
    return False
