"""The same HTTP requests with no ledger: nobody knows afterwards what was sent, or would after a crash."""

from __future__ import annotations

from datetime import timedelta

import httpx

from benchmarks.loop import in_flight, run
from benchmarks.measured import Stopwatch
from duly.gateways.http import HTTP_CALL_TIMEOUT, HTTP_CONNECT_TIMEOUT, HTTP_READ_TIMEOUT

CONNECT_SECONDS = min(HTTP_CONNECT_TIMEOUT, HTTP_CALL_TIMEOUT / 4) / timedelta(seconds=1)
READ_SECONDS = min(HTTP_READ_TIMEOUT, HTTP_CALL_TIMEOUT) / timedelta(seconds=1)
TIMEOUT = httpx.Timeout(connect=CONNECT_SECONDS, pool=CONNECT_SECONDS, read=READ_SECONDS, write=READ_SECONDS)
HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "floor",
    "Content-Type": "application/json",
}


class NotTaken(Exception):
    """The provider did not answer as it should."""


def call_all(url: str, bodies: list[bytes], slots: int) -> tuple[Stopwatch, int]:
    """Post every body, *slots* of them at a time, each on a connection of its own; how many ids came back."""
    return run(_call_all(url, bodies, slots))


async def _call_all(url: str, bodies: list[bytes], slots: int) -> tuple[Stopwatch, int]:
    ids: set[str] = set()
    context = httpx.create_ssl_context(trust_env=False)
    # As the gateway's: the transport without a client, no connection kept, no second try, no proxy, HTTP/1.1.
    async with httpx.AsyncHTTPTransport(
        verify=context,
        trust_env=False,
        http1=True,
        http2=False,
        retries=0,
        limits=httpx.Limits(max_connections=slots, max_keepalive_connections=0),
    ) as transport:

        async def call(number: int) -> None:
            request = httpx.Request(
                "POST",
                url,
                headers={**HEADERS, "Idempotency-Key": f"key-{number}"},
                content=bodies[number],
                extensions={"timeout": TIMEOUT.as_dict()},
            )
            response = await transport.handle_async_request(request)
            try:
                answer = await response.aread()
            finally:
                await response.aclose()
            if response.status_code != httpx.codes.CREATED:
                raise NotTaken(f"The provider answered {response.status_code}: {answer!r:.200}")
            ids.add(response.json()["id"])

        with Stopwatch() as watch:
            await in_flight(slots, len(bodies), call)
    return watch, len(ids)
