"""From the commit of a job to its handler with procrastinate, at the rate of ours. See the queue."""

from __future__ import annotations

import asyncio
import time

from benchmarks.loop import run
from benchmarks.measured import Measured
from benchmarks.peers.asked import Asked, serve
from benchmarks.peers.programs.procrastinate_queue import application
from benchmarks.peers.programs.ticking import Ticking


async def tick(asked: Asked) -> Measured:
    """One application defers, another works, each with a pool of its own."""
    ticking = Ticking(asked.operations)
    deferring, working = (application(asked.url, is_tuned=is_tuned) for is_tuned in (False, asked.is_tuned))

    async def handle(number: int) -> None:
        ticking.handle(number)

    deferred = deferring.task(name="tick")(handle)
    working.task(name="tick")(handle)

    async def commit(number: int) -> None:
        await deferred.defer_async(number=number)
        ticking.committed[number] = time.perf_counter()

    async with deferring.open_async(), working.open_async():
        await deferring.schema_manager.apply_schema_async()
        worker = asyncio.create_task(working.run_worker_async(install_signal_handlers=False))
        measured = await ticking.measured(commit)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    return measured


def measure(asked: Asked) -> Measured:
    """So many jobs, in a loop of its own."""
    return run(tick(asked))


if __name__ == "__main__":
    serve(measure)
