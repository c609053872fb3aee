"""Threads that do what an event loop gives them, and bring back what comes of it.

An executor of `concurrent.futures` does so through a second future, its condition and its callbacks; that took more of
the processor than SQLite takes for a small statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """At most *threads_max* threads, each begun when all others are busy. For one event loop."""

    def __init__(self, threads_max: int, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self._threads: list[Thread] = []
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._under_way = 0

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have a thread run *work*, in the order of the calls. Cancelled before its turn, it does not run."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._under_way += 1
        if self._under_way > len(self._threads) < self._threads_max:
            self._begin_thread()
        self._jobs.put(partial(self._do, work, future))
        return future

    def post(self, work: Callable[[], object]) -> None:
        """Have a thread that was begun already run *work*, in the same order; nobody is told of its end."""
        self._jobs.put(work)

    def end(self) -> None:
        """Wait until everything is done, and end the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _begin_thread(self) -> None:
        # A daemon: an application that ends without closing its store must not hang. What such an end cuts off, nobody
        # was told of, and SQLite takes it back.
        thread = Thread(target=self._serve, name=f"{self._name}_{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # an idle thread keeps nothing alive

    def _do(self, work: Callable[[], object], future: asyncio.Future[Any]) -> None:
        result: object = None
        failure: BaseException | None = None
        if not future.cancelled():
            try:
                result = work()
            except BaseException as error:
                failure = error
        try:
            future.get_loop().call_soon_threadsafe(self._settle, future, result, failure)
        except RuntimeError:
            pass  # the loop was closed: nobody waits any more
        finally:
            failure = None  # its traceback holds this frame

    def _settle(self, future: asyncio.Future[Any], result: object, failure: BaseException | None) -> None:
        """In the loop's thread."""
        self._under_way -= 1
        if future.cancelled():
            return
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)
