"""The routes at which providers report: one per gateway account, ``POST /{name of the gateway}``.

A plain ASGI application, after https://asgi.readthedocs.io/en/latest/specs/www.html: it needs no web framework, and
every one can mount it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import timedelta
from typing import Final, TypeAlias, cast

import msgspec

from duly.effects.receipts import (
    RECEIPT_BYTES_MAX,
    Answer,
    NoSuchGateway,
    ReceiptTaker,
    Refused,
    Taken,
    TooLarge,
    Unavailable,
)
from duly.runtime.application import Duly

BODY_TIME_MAX: Final = timedelta(seconds=10)
"""How long a request may take to come in."""
BODIES_BYTES_MAX: Final = 32 * RECEIPT_BYTES_MAX
"""How much of unread requests one process holds at once."""
RETRY_AFTER: Final = timedelta(seconds=30)
"""When a provider should send again what could not be kept."""

Scope: TypeAlias = MutableMapping[str, object]
Event: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]


class Reply(msgspec.Struct, frozen=True):
    """A status, without a body: whoever forges receipts learns nothing."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()


# What was not read to its end makes the connection useless.
CLOSE: Final = ((b"connection", b"close"),)
AGAIN: Final = ((b"retry-after", str(int(RETRY_AFTER.total_seconds())).encode()),)
NOT_FOUND: Final = Reply(404)
NOT_POST: Final = Reply(405, ((b"allow", b"POST"),))
TOO_SLOW: Final = Reply(408, CLOSE)
GONE: Final = Reply(0)
"""The client is no longer there: nothing is said."""
TOO_LARGE: Final = Reply(413, CLOSE)
TOO_BUSY: Final = Reply(503, (*AGAIN, *CLOSE))


class ReceiptsApp:
    """An ASGI application that hands requests to a `ReceiptTaker`, and makes statuses of its answers."""

    def __init__(self, taker: ReceiptTaker, *, body_time_max: timedelta = BODY_TIME_MAX) -> None:
        self._taker = taker
        self._body_time_max = body_time_max
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        match scope["type"]:
            case "http":
                reply = await self._reply(scope, receive)
                if reply is not GONE:
                    await _send_reply(send, reply)
            case "lifespan":
                await _live(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000})
            case _:
                raise RuntimeError(f"duly takes receipts over HTTP, not over {scope['type']!r}.")

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        path, method = str(scope["path"]), str(scope["method"])
        gateway = self._gateway(_below(path, str(scope.get("root_path") or "")).lstrip("/"))
        if gateway is None:
            return NOT_FOUND
        if method != "POST":
            return NOT_POST
        headers = _headers(cast("Iterable[tuple[bytes, bytes]]", scope["headers"]))
        announced = next((value for name, value in headers if name == "content-length"), "0")
        if not announced.isascii() or not announced.isdigit() or int(announced[:20]) > RECEIPT_BYTES_MAX:
            return TOO_LARGE
        query = cast("bytes", scope.get("query_string") or b"").decode("latin-1")
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_time_max.total_seconds()):
                incomplete = await self._read(receive, body)
            if incomplete is not None:
                return incomplete
            answer = await self._taker.take(gateway, bytes(body), headers, query=query, path=path, method=method)
            return _reply_to(answer)
        except TimeoutError:
            return TOO_SLOW
        finally:
            self._held_bytes -= len(body)

    async def _read(self, receive: Receive, body: bytearray) -> Reply | None:
        """Read a request into *body*; None when it is whole, else what is to be said instead."""
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return GONE
            chunk = cast("bytes", event.get("body") or b"")
            body += chunk
            self._held_bytes += len(chunk)
            if len(body) > RECEIPT_BYTES_MAX:
                return TOO_LARGE
            if self._held_bytes > BODIES_BYTES_MAX:
                return TOO_BUSY
            if not event.get("more_body"):
                return None

    def _gateway(self, route: str) -> str | None:
        """The gateway that a route begins with."""
        names = [name for name in self._taker.gateways if route == name or route.startswith(f"{name}/")]
        return max(names, key=len, default=None)


def receipts_app(app: Duly) -> ReceiptsApp:
    """The receipt routes of *app*, to be mounted under any prefix. *app* is started and stopped elsewhere."""
    return ReceiptsApp(app.receipts)


def _below(path: str, root_path: str) -> str:
    """The path below the prefix that the application is mounted at: ASGI's ``path`` includes ``root_path``."""
    if root_path and (path == root_path or path.startswith(f"{root_path.rstrip('/')}/")):
        return path[len(root_path) :]
    return path


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw)


def _reply_to(answer: Answer) -> Reply:
    match answer:
        case Taken():
            return Reply(204)
        case Refused():
            return Reply(400)
        case TooLarge():
            return Reply(413)
        case NoSuchGateway():
            return NOT_FOUND
        case Unavailable():
            return Reply(503, AGAIN)


async def _send_reply(send: Send, reply: Reply) -> None:
    # 204 has no length: RFC 9110, section 8.6.
    length = () if reply.status == 204 else ((b"content-length", b"0"),)
    await send({"type": "http.response.start", "status": reply.status, "headers": [*reply.headers, *length]})
    await send({"type": "http.response.body", "body": b""})


async def _live(receive: Receive, send: Send) -> None:
    """Nothing begins or ends with a server that serves this alone."""
    while True:
        event = await receive()
        kind = str(event["type"])
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
