"""How a run is getting on: a bar on a terminal, plain lines elsewhere. Written to standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.measured import Measured
from benchmarks.table import number


class Teller(Protocol):
    """Hears what happens."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""

    def begin(self, key: str, sides: int, rounds: int) -> None:
        """A benchmark begins."""

    def told(self, key: str, round_number: int, side: str, measured: Measured) -> None:
        """One side of a round was measured; round 0 is the warm-up."""

    def end(self, key: str, verdict: str) -> None:
        """A benchmark has ended so."""


class Lines:
    """A line for each round, for logs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, key: str, sides: int, rounds: int) -> None:
        self._say(f"{key}: {rounds} rounds")

    def told(self, key: str, round_number: int, side: str, measured: Measured) -> None:
        if round_number:
            self._say(f"{key}: round {round_number}, {side} {number(measured.rate)}/s")

    def end(self, key: str, verdict: str) -> None:
        self._say(f"{key}: {verdict}")

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Bars:
    """A bar for the benchmark that runs, and a line for each that has ended."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._progress.add_task("", visible=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.update(self._task, visible=False)
        self._progress.stop()

    def begin(self, key: str, sides: int, rounds: int) -> None:
        self._progress.reset(self._task, total=sides * (rounds + 1), description=key, visible=True)

    def told(self, key: str, round_number: int, side: str, measured: Measured) -> None:
        self._progress.advance(self._task)

    def end(self, key: str, verdict: str) -> None:
        self._progress.console.print(f"{key}: {verdict}", highlight=False)


def teller() -> Teller:
    """The one that fits standard error."""
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines()
