"""Processes of ours that do a part of a benchmark: started together, told when to go, and asked what they did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.processor_time import of_processes

ROOT: Final = Path(__file__).resolve().parents[2]
END_SECONDS_MAX: Final = 60


class Processes:
    """So many processes of a program in `benchmarks.programs`. Each says ``ready`` first, and ends with its input.

    *arguments* are for all of them; each gets its number, from 0, behind them.
    """

    def __init__(self, program: str, count: int, *arguments: str) -> None:
        self._program = program
        self._running: list[subprocess.Popen[str]] = []
        command = [sys.executable, "-m", f"benchmarks.programs.{program}", *arguments]
        try:
            for number in range(count):
                self._running.append(
                    subprocess.Popen(
                        [*command, str(number)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                    )
                )
            self.hear("ready")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def say(self, line: str) -> None:
        """Say a line to each of them."""
        for process in self._running:
            assert process.stdin is not None
            process.stdin.write(f"{line}\n")
            process.stdin.flush()

    def hear(self, word: str) -> list[str]:
        """Wait for the next line of each of them, which must begin with *word*; what follows it."""
        heard: list[str] = []
        for process in self._running:
            assert process.stdout is not None
            said, _, rest = process.stdout.readline().rstrip("\n").partition(" ")
            if said != word:
                raise RuntimeError(
                    f"A process of {self._program} should have said {word!r} and said {said!r} ({process.poll()}); "
                    "why is above."
                )
            heard.append(rest)
        return heard

    def cpu_seconds(self) -> float:
        """Processor time of all of them so far."""
        return of_processes(process.pid for process in self._running)

    def close(self) -> None:
        """Let them end; once more does nothing."""
        running, self._running = self._running, []
        for process in running:
            assert process.stdin is not None
            process.stdin.close()
        for process in running:
            try:
                process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
            assert process.stdout is not None
            process.stdout.close()
            process.wait()
