"""Whole processes: how long an import takes, and how long it is from the start to the first command."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import ClassVar

from benchmarks.benchmark import Benchmark, Comparison
from benchmarks.figures import milliseconds_each
from benchmarks.floors.shop_rows import BARE_COUNTS, DULY_COUNTS
from benchmarks.measured import Measured
from benchmarks.places.place import Place
from benchmarks.targets import Target

ROOT = Path(__file__).resolve().parents[2]
PROCESS_SECONDS_MAX = 60


@dataclass(kw_only=True)
class Import(Benchmark):
    """The time within the process, from the first line of the program to its second."""

    work: ClassVar[str] = "A fresh process imports duly."
    more: ClassVar[str] = "The floor imports asyncio and msgspec, on which duly stands."
    target: Target

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=milliseconds_each(), target=self.target),)

    def floor(self) -> Measured:
        return self._imports("import_floor")

    def ours(self) -> Measured:
        return self._imports("import_duly")

    def _imports(self, program: str) -> Measured:
        seconds, cpu_seconds = 0.0, 0.0
        for _ in range(self.operations):
            cpu_begun = _children_cpu_seconds()
            seconds += float(_output_of("-m", f"benchmarks.programs.{program}"))
            cpu_seconds += _children_cpu_seconds() - cpu_begun
        return Measured(
            operations=self.operations, seconds=seconds, cpu_seconds=cpu_seconds, rows={"processes": self.operations}
        )


@dataclass(kw_only=True)
class ColdStart(Benchmark):
    """The time seen from outside, until the program says that its command is committed."""

    work: ClassVar[str] = "A fresh process executes one command on a new SQLite file."
    more: ClassVar[str] = "Imports the framework, checks the wiring, sets up the schema, takes the file lock."
    place: Place
    target: Target

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (Comparison(figure=milliseconds_each(), target=self.target),)

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        self.place.open()

    def floor(self) -> Measured:
        return self._starts("first_insert", BARE_COUNTS)

    def ours(self) -> Measured:
        return self._starts("first_command", DULY_COUNTS)

    def _starts(self, program: str, counts: dict[str, str]) -> Measured:
        seconds, cpu_seconds = 0.0, 0.0
        rows = dict.fromkeys(counts, 0)
        for _ in range(self.operations):
            url = self.place.create()
            cpu_begun = _children_cpu_seconds()
            seconds += _seconds_to_first_line("-m", f"benchmarks.programs.{program}", url)
            cpu_seconds += _children_cpu_seconds() - cpu_begun
            for kind, query in counts.items():
                rows[kind] += self.place.count(url, query)
            self.place.remove(url)
        return Measured(operations=self.operations, seconds=seconds, cpu_seconds=cpu_seconds, rows=rows)


def _seconds_to_first_line(*arguments: str) -> float:
    begun = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - begun
        if process.wait(PROCESS_SECONDS_MAX) or not line:
            raise RuntimeError(f"{arguments} ended with {process.returncode} and said {line!r}.")
    return seconds


def _output_of(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=PROCESS_SECONDS_MAX,
    ).stdout


def _children_cpu_seconds() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
