"""Draining a full queue with procrastinate, by a worker that ends when it has caught up. See the queue."""

from __future__ import annotations

from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve
from benchmarks.peers.programs.procrastinate_queue import application
from benchmarks.peers.programs.values import LINES_PER_BASKET

DEFER_JOBS = 1_000
LEFT = "SELECT count(*) AS jobs FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
STORED = "SELECT count(*) AS jobs FROM procrastinate_jobs"


class Heard:
    jobs = 0


async def pack(basket_id: str, line: int, article: str) -> None:
    """Do nothing but count."""
    Heard.jobs += 1


async def fill_queue(asked: Asked) -> None:
    """Make the tables, and defer so many jobs."""
    app = application(asked.url, is_tuned=False)
    task = app.task(name="pack")(pack)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for first in range(0, asked.operations, DEFER_JOBS):
            numbers = range(first, min(first + DEFER_JOBS, asked.operations))
            await task.batch_defer_async(*(arguments(number) for number in numbers))
        await app.connector.execute_query_async("ANALYZE procrastinate_jobs")


def arguments(number: int) -> dict[str, str | int]:
    """As large as a message of ours."""
    basket, line = divmod(number, LINES_PER_BASKET)
    return {"basket_id": f"basket-{basket}", "line": line, "article": f"article-{line}"}


async def drain(asked: Asked) -> Measured:
    """From the worker's start until no job is left to do."""
    app = application(asked.url, is_tuned=asked.is_tuned)
    app.task(name="pack")(pack)
    async with app.open_async():
        with Stopwatch() as watch:
            await app.run_worker_async(wait=False, install_signal_handlers=False)
        left = (await app.connector.execute_query_one_async(LEFT))["jobs"]
        stored = (await app.connector.execute_query_one_async(STORED))["jobs"]
    rows = {
        "messages read": Heard.jobs,
        "jobs finished": asked.operations - left,
        "outbox rows deleted": asked.operations - stored,
    }
    return watch.measured(asked.operations, rows)


def fill(asked: Asked) -> None:
    """The full queue, in a loop of its own."""
    run(fill_queue(asked))


def measure(asked: Asked) -> Measured:
    """Its draining, in a loop of its own."""
    return run(drain(asked))


if __name__ == "__main__":
    serve(measure, fill)
