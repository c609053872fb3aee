"""Workers as processes: started, killed, and never left behind."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).resolve().parents[3]
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 15.0


class WorkerDied(Exception):
    """A worker process ended that nobody had killed, or never began; the text has the end of its log."""


class WorkerProcess:
    """One worker."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.is_killed = False

    def check(self) -> None:
        """Raises `WorkerDied` if it has ended by itself."""
        status = self.process.poll()
        if status is not None and not self.is_killed:
            told = self.log.read_text(encoding="utf-8", errors="replace")[-2_000:]
            raise WorkerDied(f"Worker {self.process.pid} ended with status {status}. The end of {self.log}:\n{told}")


class Workers:
    """All worker processes of a run. Leaving the block ends those that are left."""

    def __init__(self, store: str, sandbox: Path, receipts_url: str, logs: Path) -> None:
        where = (f"--store={store}", f"--sandbox={sandbox}", f"--receipts={receipts_url}")
        self._command = [sys.executable, "-m", "examples.shop.demo.worker", *where]
        self._logs = logs
        self._started: list[WorkerProcess] = []

    async def start(self) -> WorkerProcess:
        """Start one more and wait until it works. Raises `WorkerDied`."""
        worker = self._spawn()
        output = worker.process.stdout
        assert output is not None
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                said = await asyncio.to_thread(output.readline)
        except TimeoutError:
            raise WorkerDied(f"Worker {worker.process.pid} was not ready after {START_SECONDS_MAX} s.") from None
        if said != b"ready\n":
            await asyncio.to_thread(worker.process.wait, STOP_SECONDS_MAX)
        worker.check()
        return worker

    def _spawn(self) -> WorkerProcess:
        log = self._logs / f"worker-{len(self._started) + 1}.log"
        search_path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": search_path},
            )
        worker = WorkerProcess(process, log)
        self._started.append(worker)
        return worker

    def kill(self, worker: WorkerProcess) -> None:
        """End one in the middle of whatever it does: SIGKILL."""
        worker.is_killed = True
        worker.process.kill()
        worker.process.wait()

    def check(self) -> None:
        """Raises `WorkerDied` if one has ended by itself."""
        for worker in self._started:
            worker.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._started:
            if worker.process.poll() is None:
                worker.process.terminate() if kind is None else worker.process.kill()
        for worker in self._started:
            try:
                worker.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            for pipe in (worker.process.stdin, worker.process.stdout):
                if pipe is not None:
                    pipe.close()
