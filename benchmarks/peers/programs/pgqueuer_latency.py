"""From the commit of a job to its handler with pgqueuer, at the rate of ours. See the queue."""

from __future__ import annotations

import asyncio
import time

from pgqueuer.models import Job

from benchmarks.loop import run
from benchmarks.measured import Measured
from benchmarks.peers.asked import Asked, serve
from benchmarks.peers.programs.pgqueuer_queue import BATCH_DEFAULT, consumer, install, producer
from benchmarks.peers.programs.ticking import Ticking

ENTRYPOINT = "tick"


async def tick(asked: Asked) -> Measured:
    """A worker and a producer with a connection each."""
    await install(asked.url, is_tuned=asked.is_tuned)
    queries, queue = await producer(asked.url), await consumer(asked.url)
    ticking = Ticking(asked.operations)

    @queue.entrypoint(ENTRYPOINT)
    async def handle(job: Job) -> None:
        assert job.payload is not None
        ticking.handle(int(job.payload))

    async def commit(number: int) -> None:
        await queries.enqueue(ENTRYPOINT, str(number).encode())
        ticking.committed[number] = time.perf_counter()

    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run(batch_size=BATCH_DEFAULT))
        measured = await ticking.measured(commit)
        queue.shutdown.set()
    return measured


def measure(asked: Asked) -> Measured:
    """So many jobs, in a loop of its own."""
    return run(tick(asked))


if __name__ == "__main__":
    serve(measure)
