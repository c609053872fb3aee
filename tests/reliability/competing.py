"""One writer among others: ``python -m tests.reliability.competing OPTIONS``, these as JSON.

It says that it is ready, reads from when until when it shall write, and says what came of it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Final

import msgspec

from duly.errors import StoreBusy, StoreError
from duly.ports.change import Done
from duly.ports.store import Store
from duly.runtime.store_url import store_from_url
from duly.testing.store_exam import change, command, document, event
from tests.reliability.bugs import put_back

SECOND: Final = 1_000_000_000


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a writer is told when it starts. So many changes of it are under way at once."""

    store: str
    name: str
    in_flight: int
    bug: str = ""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """From when until when to write: nanoseconds of the clock that all processes share."""

    begins: int
    ends: int


class Written(msgspec.Struct, kw_only=True):
    """What came of it."""

    name: str
    commits: int = 0
    busy: int = 0
    failed: list[str] = []
    waits_ms: list[float] = []


async def compete(store: Store, options: Options, window: Window) -> Written:
    """Commit one change after the other, each with its inbox row, a document and an event."""
    written = Written(name=options.name)
    await asyncio.sleep(max(0, window.begins - time.monotonic_ns()) / SECOND)

    async def write(place: int) -> None:
        number = 0
        while (begun := time.monotonic_ns()) < window.ends:
            number += 1
            name = f"{options.name}-{place}-{number}"
            wanted = change(
                inbox=command(name), documents=(document(name),), messages=(event(f"shop.Order/{name}"),), events=1
            )
            try:
                verdict = await store.commit(wanted)
            except StoreBusy:
                written.busy += 1
                continue
            except StoreError as error:
                written.failed.append(str(error))
                continue
            ended = time.monotonic_ns()
            written.waits_ms.append((ended - begun) / 1e6)
            if not isinstance(verdict, Done):
                written.failed.append(f"{name}: {verdict}")
            elif ended < window.ends:
                written.commits += 1

    await asyncio.gather(*(write(place) for place in range(options.in_flight)))
    return written


async def main(options: Options) -> None:
    """Write when told so."""
    logging.getLogger("duly").setLevel(logging.CRITICAL)
    store = store_from_url(options.store)
    await store.open()
    try:
        print("ready", flush=True)
        line = await asyncio.to_thread(sys.stdin.readline)
        written = await compete(store, options, msgspec.json.decode(line, type=Window))
    finally:
        await store.close()
    print(msgspec.json.encode(written).decode(), flush=True)


if __name__ == "__main__":
    told = msgspec.json.decode(sys.argv[1], type=Options)
    with put_back(told.bug):
        asyncio.run(main(told))
