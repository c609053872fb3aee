"""Places orders, 32 at a time: ``… ordering URL SECONDS NUMBER``.

It says ``ready``; on each line that it reads, which names a tenant, it places orders for so many seconds, and says
``placed``, how many, and in how many seconds. It ends with its standard input.
"""

import asyncio
import os
import sys
import time

from benchmarks.loop import new_runner
from benchmarks.subjects.shop import application, order
from duly import Duly

IN_FLIGHT = 32


async def main(url: str, seconds: float, process: int) -> None:
    """Do as we are told."""
    async with application(url) as app:
        await _place(app, 0.2, process, f"warm-up-{os.getpid()}")
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            placed, took = await _place(app, seconds, process, line.strip())
            print("placed", placed, took, flush=True)


async def _place(app: Duly, seconds: float, process: int, tenant: str) -> tuple[int, float]:
    begun = time.perf_counter()
    placed = 0

    async def one_after_another(lane: int) -> None:
        nonlocal placed
        number = 0
        while time.perf_counter() - begun < seconds:
            await app.execute(order((number * IN_FLIGHT + lane) * 100 + process), tenant=tenant)
            placed, number = placed + 1, number + 1

    async with asyncio.TaskGroup() as group:
        for lane in range(IN_FLIGHT):
            group.create_task(one_after_another(lane))
    return placed, time.perf_counter() - begun


if __name__ == "__main__":
    with new_runner() as runner:
        runner.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
