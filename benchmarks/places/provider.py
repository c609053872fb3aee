"""The HTTP provider of a benchmark: a process of its own, so that both sides find the same one on the other core."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.request import ProxyHandler, build_opener

from benchmarks.benchmark import NotRun

ROOT: Final = Path(__file__).resolve().parents[2]
ANSWER_SECONDS_MAX: Final = 10


class ProviderPlace:
    """Starts `benchmarks.programs.json_provider`, and asks it how many requests it has taken."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    def open(self) -> None:
        """Start it. Raises `NotRun` where an HTTP gateway cannot be had."""
        try:
            import httpx  # noqa: F401
        except ImportError:
            raise NotRun("httpx is not installed: pip install 'duly[http]'") from None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.programs.json_provider"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            self.close()
            raise RuntimeError("The provider ended before it had said its port; what it said is above.")
        self._port = int(said)

    def close(self) -> None:
        """Let it end; once more does nothing."""
        process, self._process = self._process, None
        if process is not None:
            with process:  # closes its standard input, which is the sign, and waits
                pass

    @property
    def url(self) -> str:
        """Where it takes requests."""
        return f"http://127.0.0.1:{self._port}/messages"

    def made(self) -> int:
        """How many requests it has taken since it was started."""
        opener = build_opener(ProxyHandler({}))
        with opener.open(self.url, timeout=ANSWER_SECONDS_MAX) as answer:
            return int(answer.read())
