"""What it costs to get from a command to its handlers, no database in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import rate
from benchmarks.floors.dispatch import dispatch
from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.subjects.cascade import TENANT, AcceptingStore, Heard, PlaceOrder, application
from benchmarks.targets import Target

FLOOR_TIMES = 20
"""The floor takes microseconds; it does more commands, so that its time can be told."""


@dataclass(kw_only=True)
class Dispatch(Benchmark):
    """One command, two events, three handlers."""

    work: ClassVar[str] = "A command and its cascade: 2 events, 3 handlers, no database."
    more: ClassVar[str] = (
        "Two aggregates in repositories, ids derived from causes, encoding of both events and of both documents, the "
        "command's digest, the change as one value."
    )
    target: Target

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=rate("commands/s"), target=self.target),)

    def floor(self) -> Measured:
        operations = self.operations * FLOOR_TIMES
        watch, ran = dispatch(operations)
        return watch.measured(operations, {"handlers run": ran})

    def ours(self) -> Measured:
        return run(self._execute())

    async def _execute(self) -> Measured:
        store, heard = AcceptingStore(), Heard()
        async with application(store, heard) as app:
            with Stopwatch() as watch:
                for number in range(self.operations):
                    await app.execute(PlaceOrder(order_id=f"order-{number}", total=100), tenant=TENANT)
        return watch.measured(
            self.operations,
            {
                "handlers run": heard.handlers,
                "changes": store.changes,
                "documents": store.documents,
                "messages": store.messages,
            },
        )
