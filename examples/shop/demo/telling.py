"""Tells what goes on: bars in a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Step:
    """One step of the story, on its way."""

    def __init__(self, bars: Progress | None, task: TaskID | None) -> None:
        self._bars = bars
        self._task = task

    def advance(self) -> None:
        """One more is done."""
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task)

    def show(self, done: int, total: int) -> None:
        """So many are done, of so many."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=done, total=total)


class Telling:
    """The steps of a run, told as they happen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._bars: Progress | None = None

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the bars while the block runs."""
        if not self._console.is_interactive:
            yield
            return
        columns = (
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as self._bars:
            yield
        self._bars = None

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Step]:
        """One step with *total* parts."""
        if self._bars is None:
            self._console.print(f"{time.monotonic() - self._begun:5.1f} s  {title}", highlight=False)
            yield Step(None, None)
            return
        task = self._bars.add_task(title, total=total)
        yield Step(self._bars, task)
        done = self._bars.tasks[self._bars.task_ids.index(task)]
        end = done.total or 1
        self._bars.update(task, completed=end, total=end)
