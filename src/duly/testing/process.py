"""Processes under test: started, spoken to over pipes, killed, started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final, Self

from duly.testing.history import History

START_SECONDS_MAX: Final = 30.0


class ProcessUnderTest:
    """``python -m MODULE ARGUMENTS``; it reads requests as JSON lines and acknowledges each as a JSON line.

    A request is written to the history before it is sent, an acknowledgement when it has come in: what was asked and
    not acknowledged has an unknown outcome.
    """

    def __init__(self, process: asyncio.subprocess.Process, history: History) -> None:
        self._process = process
        self._history = history
        self._reader = asyncio.create_task(self._read())
        self._ready = asyncio.Event()
        self._acknowledged: set[str] = set()
        self._told: set[str] = set()
        self._news = asyncio.Event()

    @classmethod
    async def start(cls, module: str, arguments: Sequence[str], history: History) -> Self:
        """Start it and wait until it says that it is ready."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        started = cls(process, history)
        history.add("started", str(process.pid), " ".join(arguments))
        ready = asyncio.create_task(started._ready.wait())
        await asyncio.wait({ready, started._reader}, timeout=START_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        return started

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def suspend(self) -> None:
        """SIGSTOP: it keeps everything it has, and does nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)
        self._history.add("stopped", str(self._process.pid))

    def resume(self) -> None:
        """SIGCONT: it goes on, and does not know that it had stopped."""
        self._history.add("resumed", str(self._process.pid))
        os.kill(self._process.pid, signal.SIGCONT)

    def is_stopped(self) -> bool:
        """Whether it has stopped, by itself or by `suspend`. Its end is left for the event loop to see."""
        seen = os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        return seen is not None

    async def ask(self, request_id: str, **request: object) -> None:
        """Send a request; a process that is gone by then leaves it unanswered."""
        self._history.add("asked", request_id)
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps({"id": request_id, **request}).encode() + b"\n")
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            self._history.add("not delivered", request_id)

    async def tell(self, request_id: str, **request: object) -> None:
        """Send a request that is no part of the history, and wait until it is acknowledged."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps({"id": request_id, **request}).encode() + b"\n")
        self._told.add(request_id)
        while request_id in self._told and not self._reader.done():
            self._news.clear()
            await self._news.wait()

    async def acknowledged(self, request_ids: set[str], *, seconds_max: float) -> bool:
        """Wait until all of these are acknowledged; False when the process ended or the time ran out before."""
        try:
            async with asyncio.timeout(seconds_max):
                while not request_ids <= self._acknowledged:
                    if self._reader.done():
                        return False
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def ended(self, *, seconds_max: float) -> int | None:
        """Wait for its end; the exit status (negative: the signal), None when it still runs."""
        try:
            async with asyncio.timeout(seconds_max):
                return await self._process.wait()
        except TimeoutError:
            return None

    async def kill(self) -> None:
        """SIGKILL, now. It ends a process that is stopped, too."""
        if self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._history.add("killed", str(self._process.pid))
        await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        while line := await stdout.readline():
            answer: dict[str, str] = json.loads(line)
            if answer["id"] == "ready":
                self._ready.set()
            elif answer["id"] in self._told:
                self._told.discard(answer["id"])
            else:
                self._acknowledged.add(answer["id"])
                self._history.add("acknowledged", answer["id"], answer.get("result", ""))
            self._news.set()
        self._news.set()
