"""A peer's program that does half of what it is asked."""

from __future__ import annotations

from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve


def measure(asked: Asked) -> Measured:
    with Stopwatch() as watch:
        done = asked.operations // 2
    return watch.measured(asked.operations, {"rows": done})


if __name__ == "__main__":
    serve(measure)
