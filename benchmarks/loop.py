"""The event loop that both sides run in: uvloop's where it is installed (``duly[speed]``), else asyncio's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any, Final, TypeVar

T = TypeVar("T")

SECONDS_MAX: Final = 300
"""No side of a round takes so long unless it hangs."""


def run(work: Coroutine[Any, Any, T], *, seconds_max: float = SECONDS_MAX) -> T:
    """Run *work* to its end in a loop of its own. Raises `TimeoutError` after *seconds_max*."""
    with new_runner() as runner:
        return runner.run(_within(work, seconds_max))


def new_runner() -> asyncio.Runner:
    """A runner with a new loop of this kind."""
    return asyncio.Runner(loop_factory=_factory())


async def _within(work: Coroutine[Any, Any, T], seconds_max: float) -> T:
    async with asyncio.timeout(seconds_max):
        return await work


def loop_name() -> str:
    """Which loop that is."""
    return "asyncio" if _factory() is None else "uvloop"


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


async def in_flight(count: int, total: int, once: Callable[[int], Coroutine[Any, Any, object]]) -> None:
    """Call *once* with 0 … *total* - 1, *count* of them under way at any time."""
    numbers = iter(range(total))

    async def one_after_another() -> None:
        for number in numbers:
            await once(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(count, total)):
            group.create_task(one_after_another())
