"""Keeping promises with two worker processes, against one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.loop import run
from benchmarks.measured import Measured
from benchmarks.places.place import Place
from benchmarks.places.processes import Processes
from benchmarks.subjects.baskets import LINES_PER_BASKET, fill
from benchmarks.targets import Target

if TYPE_CHECKING:
    from benchmarks.places.backlog import Backlog

HANDLER_WAIT_MS: Final = 2
DELIVERIES_MAX: Final = 4
"""How many handlers wait at once in a process: so few that the waiting counts, and not how fast the processors are."""


@dataclass(kw_only=True)
class TwoWorkers(Benchmark):
    """Workers run all the time, each side's on a database of its own; a round fills an outbox and waits."""

    work: ClassVar[str] = (
        f"Worker processes drain an outbox, with a handler that waits {HANDLER_WAIT_MS} ms, {DELIVERIES_MAX} at a time "
        "in each process, and writes a document."
    )
    more: ClassVar[str] = (
        "Both sides are duly's: ours are two processes, which share buckets of keys, the floor is one. Where handlers "
        "wait for nothing, see `scale_pg`."
    )
    is_filled_once: ClassVar[bool] = True
    place: Place
    target: Target
    _open: ExitStack = field(init=False, default_factory=ExitStack)
    _backlogs: dict[int, Backlog] = field(init=False, default_factory=dict)
    _processes: dict[int, Processes] = field(init=False, default_factory=dict)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=rate("messages/s"), target=self.target),)

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        from benchmarks.places.backlog import Backlog

        self.place.open()
        self.operations = max(1, self.operations // LINES_PER_BASKET) * LINES_PER_BASKET
        for workers in (1, 2):
            url = self.place.create()
            self._open.callback(self.place.remove, url)
            run(fill(url, self.operations))
            backlog = self._backlogs[workers] = self._open.enter_context(Backlog(url))
            backlog.set_aside()
            arguments = (url, str(HANDLER_WAIT_MS), str(DELIVERIES_MAX))
            self._processes[workers] = self._open.enter_context(Processes("packing_worker", workers, *arguments))
        for workers, backlog in self._backlogs.items():
            backlog.until_shared(workers)

    def close(self) -> None:
        self._open.close()

    def floor(self) -> Measured:
        return self._drained(1)

    def ours(self) -> Measured:
        return self._drained(2)

    def _drained(self, workers: int) -> Measured:
        processes = self._processes[workers]
        cpu_begun = processes.cpu_seconds()
        done = self._backlogs[workers].drain(self.operations)
        return Measured(
            operations=self.operations,
            seconds=done.watch.seconds,
            cpu_seconds=processes.cpu_seconds() - cpu_begun,
            rows={"outbox rows deleted": self.operations - done.left, "documents": done.documents},
        )
