"""SMTP servers on loopback: a scripted one that misbehaves at any step, and aiosmtpd for the whole of the protocol."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class Act(Enum):
    """What a scripted server does instead of replying."""

    DROP = "drop"
    HANG = "hang"


Script = dict[str, bytes | Act]

POLITE: Script = {
    "greeting": b"220 ready",
    "EHLO": b"250 loopback",
    "MAIL": b"250 ok",
    "RCPT": b"250 ok",
    "DATA": b"354 go on",
    "dot": b"250 queued as Q1",
    "QUIT": b"221 bye",
}


@dataclass(slots=True)
class ScriptedSmtp:
    """Replies by its script; remembers commands and every mail whose final dot it has read."""

    script: Script
    port: int = 0
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if not await self._step("greeting", writer):
            return
        while line := await reader.readline():
            verb = line.split()[0].decode().upper()
            self.commands.append(line.decode().strip())
            if verb == "QUIT":
                self.left.set()
            if not await self._step(verb, writer):
                return
            if verb == "DATA" and self.script["DATA"] == POLITE["DATA"]:
                if "body" in self.script:
                    await reader.readexactly(1_000)
                    await self._step("body", writer)
                    return
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                self.arrived.set()
                if not await self._step("dot", writer):
                    return
            if verb == "QUIT":
                return

    async def _step(self, name: str, writer: asyncio.StreamWriter) -> bool:
        reply = self.script.get(name, b"502 what?")
        if reply is Act.DROP:
            return False
        if isinstance(reply, Act):
            await asyncio.Event().wait()
            return False
        writer.write(reply + b"\r\n")
        await writer.drain()
        return True


@asynccontextmanager
async def scripted(**changes: bytes | Act) -> AsyncIterator[ScriptedSmtp]:
    """A server that is polite but for *changes*."""
    it = ScriptedSmtp({**POLITE, **changes})
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await it.serve(reader, writer)
        except (asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listening = socket.socket()
    # Small, so that a large body cannot vanish into the buffers of the operating system.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(serve, sock=listening)
    it.port = listening.getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Mailbox:
    """The handler of an aiosmtpd server: keeps envelopes, and knows one user.

    Without slots: aiosmtpd looks through its members, which Python 3.11.2 cannot do on a dataclass with slots.
    """

    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)
    logins: int = 0
    implicit: bool = False

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        self.secured.append(session.ssl is not None or self.implicit)
        return "250 OK queued as Q1"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        self.logins += 1
        good = isinstance(data, LoginPassword) and data == LoginPassword(b"shop", b"right-password")
        return AuthResult(success=good, handled=False)


@asynccontextmanager
async def mailbox(
    *, starttls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None, auth: bool = False
) -> AsyncIterator[Mailbox]:
    """A real SMTP server in this event loop."""
    it = Mailbox(implicit=implicit is not None)
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            # aiosmtpd rightly dislikes a login without STARTTLS; on loopback it is what is tested.
            warnings.simplefilter("ignore")
            return SMTP(
                it,
                hostname="loopback",
                loop=loop,
                tls_context=starttls,
                require_starttls=starttls is not None,
                authenticator=it.authenticate if auth else None,
                auth_required=auth,
                auth_require_tls=False,
            )

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=implicit)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
