"""The threads of SQLite's connections: what they are given, they do in turn, and whoever waits is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from duly.stores.sqlite.threads import Threads


@pytest.fixture
def one() -> Iterator[Threads]:
    threads = Threads(1, "one")
    yield threads
    threads.end()


async def test_a_thread_brings_back_results_and_failures(one: Threads) -> None:
    assert await one.run(lambda: threading.current_thread().name) == "one_0"
    with pytest.raises(ZeroDivisionError):
        await one.run(lambda: 1 // 0)
    assert await one.run(lambda: "goes on") == "goes on"


async def test_one_thread_does_one_thing_after_the_other_in_the_order_of_the_calls(one: Threads) -> None:
    done: list[int] = []
    await asyncio.gather(*(one.run(partial(done.append, number)) for number in range(100)))
    assert done == list(range(100))


async def test_what_is_cancelled_before_its_turn_is_not_done_and_what_has_begun_is(one: Threads) -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        go_on.wait()
        done.append("first")

    under_way, waiting = one.run(first), one.run(lambda: done.append("second"))
    await asyncio.to_thread(begun.wait)
    under_way.cancel()
    waiting.cancel()
    go_on.set()
    await one.run(lambda: done.append("third"))
    assert done == ["first", "third"]


async def test_another_thread_is_begun_only_when_all_others_are_busy() -> None:
    threads = Threads(2, "two")
    try:
        for _ in range(10):
            assert await threads.run(lambda: threading.current_thread().name) == "two_0"
        together = threading.Barrier(2)
        await asyncio.gather(threads.run(together.wait), threads.run(together.wait))
        names = await asyncio.gather(*(threads.run(lambda: threading.current_thread().name) for _ in range(100)))
        assert set(names) <= {"two_0", "two_1"}
    finally:
        threads.end()


def test_the_end_waits_for_what_is_under_way_and_minds_no_loop_that_was_closed() -> None:
    threads = Threads(1, "one")
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        go_on.wait()
        done.append("work")

    async def give() -> None:
        threads.run(work)
        threads.run(lambda: done.append("more"))

    asyncio.run(give())
    begun.wait()
    go_on.set()
    threads.end()
    assert done == ["work", "more"]
