"""Cancelling at one await: not at a moment, but where a coroutine waits for the n-th time."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

R = TypeVar("R")


def cancel_this_task() -> None:
    """Cancel the task that calls this, at the await where it stands."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def at_await(number: int, awaitable: Awaitable[R], then: Callable[[], None] = cancel_this_task) -> R:
    """Await *awaitable*; when it waits for the *number*-th time, do *then*."""
    return await _stepped(number, awaitable, then)


@types.coroutine
def _stepped(number: int, awaitable: Awaitable[R], then: Callable[[], None]) -> Generator[Any, Any, R]:
    steps = awaitable.__await__()
    error: BaseException | None = None
    waits = 0
    while True:
        try:
            waited_for = next(steps) if error is None else steps.throw(error)
        except StopIteration as stop:
            result: R = stop.value
            return result
        waits += 1
        if waits == number:
            then()
        try:
            yield waited_for
            error = None
        except BaseException as thrown:
            error = thrown
