"""Arms failpoints: the process ends, or stops, at a named place, as if the power had gone or the host had frozen."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from duly import failpoints


def exit_at(name: str, *, hit_number: int = 1) -> None:
    """Kill this process with SIGKILL when the flow comes to *name* for the *hit_number*-th time: no clean-up."""
    _signal_at(name, signal.SIGKILL, hit_number)


def stop_at(name: str, *, hit_number: int = 1) -> None:
    """Stop this process with SIGSTOP when the flow comes to *name*; it goes on when somebody sends it SIGCONT."""
    _signal_at(name, signal.SIGSTOP, hit_number)


def go_on() -> None:
    """Neither end nor stop anywhere any more."""
    failpoints.arm(None)


@contextmanager
def at_failpoints(hook: Callable[[str], None]) -> Iterator[None]:
    """Call *hook* with the name of each failpoint that the flow comes to, as long as the block runs.

    What the hook raises is raised there.
    """
    failpoints.arm(hook)
    try:
        yield
    finally:
        failpoints.arm(None)


def _signal_at(name: str, sent: signal.Signals, hit_number: int) -> None:
    if name not in failpoints.NAMES:
        raise ValueError(f"{name!r} is no failpoint. There are: {', '.join(failpoints.NAMES)}.")
    hits: Counter[str] = Counter()

    def hook(point: str) -> None:
        hits[point] += 1
        if point == name and hits[point] == hit_number:
            os.kill(os.getpid(), sent)

    failpoints.arm(hook)
