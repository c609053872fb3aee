"""Where providers report: the receipts of a running shop, served on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from duly import Duly
from duly.web.receipts import receipts_app

POLL_SECONDS = 0.005


class _SignallessServer(uvicorn.Server):
    """A server that leaves SIGTERM and SIGINT to the demo."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Receiver:
    """A port that is known before the shop is put together: the gateways tell their providers where to report."""

    def __init__(self) -> None:
        # The protocol is named since asyncio sets TCP_NODELAY only where it is.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @asynccontextmanager
    async def serving(self, app: Duly) -> AsyncIterator[None]:
        """Take the receipts of *app* while the block runs. Raises what kept the server from it."""
        config = uvicorn.Config(
            receipts_app(app),
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )
        server = _SignallessServer(config)
        serving = asyncio.create_task(server.serve(sockets=[self._socket]))
        try:
            while not server.started:
                if serving.done():
                    await serving
                    raise RuntimeError(f"the server of {self.url} ended before it served")
                await asyncio.sleep(POLL_SECONDS)
            yield
        finally:
            server.should_exit = True
            await serving
