"""Draining a full queue with pgqueuer, in its drain mode, handlers that do nothing. See the queue."""

from __future__ import annotations

import json

from pgqueuer.models import Job
from pgqueuer.types import QueueExecutionMode

from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve
from benchmarks.peers.programs.pgqueuer_queue import batch_size, consumer, install, producer
from benchmarks.peers.programs.values import LINES_PER_BASKET

ENTRYPOINT = "pack"
ENQUEUE_JOBS = 1_000


async def fill_queue(asked: Asked) -> None:
    """Install, and enqueue so many jobs."""
    await install(asked.url, is_tuned=asked.is_tuned)
    queries = await producer(asked.url)
    for first in range(0, asked.operations, ENQUEUE_JOBS):
        payloads = [payload(number) for number in range(first, min(first + ENQUEUE_JOBS, asked.operations))]
        await queries.enqueue([ENTRYPOINT] * len(payloads), list(payloads), [0] * len(payloads))
    await queries.driver.execute("ANALYZE pgqueuer")


def payload(number: int) -> bytes:
    """As large as a message of ours."""
    basket, line = divmod(number, LINES_PER_BASKET)
    return json.dumps({"basket_id": f"basket-{basket}", "line": line, "article": f"article-{line}"}).encode()


async def drain(asked: Asked) -> Measured:
    """From the worker's start until the queue is empty and every job is acknowledged."""
    heard = 0
    queue = await consumer(asked.url)
    client = await producer(asked.url)

    @queue.entrypoint(ENTRYPOINT)
    async def pack(job: Job) -> None:
        nonlocal heard
        heard += 1

    with Stopwatch() as watch:
        await queue.run(batch_size=batch_size(is_tuned=asked.is_tuned), mode=QueueExecutionMode.drain)
    left = sum(size.count for size in await client.queue_size())
    return watch.measured(asked.operations, {"messages read": heard, "outbox rows deleted": asked.operations - left})


def fill(asked: Asked) -> None:
    """The full queue, in a loop of its own."""
    run(fill_queue(asked))


def measure(asked: Asked) -> Measured:
    """Its draining, in a loop of its own."""
    return run(drain(asked))


if __name__ == "__main__":
    serve(measure, fill)
