"""A worker that packs what is added to baskets: ``… packing_worker URL WAIT_MS DELIVERIES_MAX NUMBER``.

It says ``ready`` when it runs, and ends when its standard input does.
"""

import asyncio
import sys
from datetime import timedelta

from benchmarks.loop import new_runner
from benchmarks.subjects.baskets import Packing, baskets
from duly import Duly, Settings

LEASE = timedelta(seconds=3)
"""Short, so that workers that are started together soon have shared the buckets."""


async def main(url: str, wait_ms: int, deliveries_max: int) -> None:
    """Work until nobody holds our standard input any more."""
    settings = Settings(lease=LEASE, poll_interval=timedelta(milliseconds=20), deliveries_max=deliveries_max)
    module = baskets(Packing(0), wait_seconds=wait_ms / 1000)
    async with Duly(modules=[module], store=url, settings=settings):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    with new_runner() as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
