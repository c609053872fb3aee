"""One HTTP server on a free loopback port, whose connections an endpoint can cut instead of answering."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from examples.shop.sandbox.behaviours import stay_silent
from examples.shop.sandbox.loopback import free_socket


class _CuttableProtocol(H11Protocol):
    """HTTP/1.1 that lends each request its connection's transport, as `request.state.transport`.

    ASGI has no message for "close without an answer": uvicorn makes a 500 of an app that returns or raises
    without one. The state of the scope is the one place where a server may add something of its own.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _SignallessServer(uvicorn.Server):
    """A server that leaves SIGTERM and SIGINT alone: several run in one process, which stops them itself."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def cut(request: Request) -> Response:
    """Close the connection of this request at once; return what this gives, which is never sent."""
    transport: asyncio.Transport = request.state.transport
    transport.abort()
    # Until uvicorn has heard of it (`http.disconnect`) it would take the response below for a real one.
    await _gone(request)
    return Response(status_code=500)


async def hang(request: Request, seconds: float, stopping: asyncio.Event) -> None:
    """Say nothing for some seconds; ends early if the client goes away or the sandbox stops."""
    waits = {asyncio.create_task(stay_silent(seconds, stopping)), asyncio.create_task(_gone(request))}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()


class Outage:
    """Whether a provider is gone for now: what it then gets is cut, look-ups included."""

    def __init__(self) -> None:
        self._until = 0.0

    def begin(self, seconds: float) -> None:
        """Be gone for so long from now."""
        self._until = time.monotonic() + seconds

    def end(self) -> None:
        """Be back."""
        self._until = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the provider is gone."""
        return time.monotonic() < self._until


class HttpServer:
    """An application served on 127.0.0.1 at a port of the system's choice, known from the start as `url`."""

    def __init__(self, app: Starlette) -> None:
        self._socket = free_socket()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            http=_CuttableProtocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )
        self._server = _SignallessServer(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve from now on; returns once connections are answered. Raises what kept the server from it."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._serving.done():
                await self._serving
                raise RuntimeError(f"the server of {self.url} ended before it served")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Close idle connections, let answers that are under way finish (2 seconds at most), and end."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
