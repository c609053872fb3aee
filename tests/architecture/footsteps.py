"""Records which functions a program enters, in order: the footsteps of a message through the files."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Footsteps:
    """Every entry (and resumption) of a function in the packages watched, as ``module:qualified.name``."""

    def __init__(self, *packages: str) -> None:
        self.entered: list[str] = []
        self._packages = packages
        self._recording = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch this thread and those begun within the block: the stores have threads of their own."""
        before, before_threads = sys.getprofile(), threading.getprofile()
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(before)
            threading.setprofile(before_threads)
            self._recording = False

    def begin(self) -> None:
        """Record from now on."""
        self._recording = True

    async def begin_when_still(self, still_seconds: float = 0.1, tries_max: int = 50) -> None:
        """Record from the moment on when nobody of duly has entered anything for so long."""
        self.begin()
        for _ in range(tries_max):
            self.entered.clear()
            await asyncio.sleep(still_seconds)
            # Whoever waits here is resumed, and so entered, himself.
            if not any(step.startswith("duly.") for step in self.entered):
                self.entered.clear()
                return
        raise TimeoutError("There is always somebody at work.")

    def first(self) -> list[str]:
        """Functions in the order of their first entry."""
        return list(dict.fromkeys(self.entered))

    def modules(self) -> list[str]:
        """Modules in the order of their first entry."""
        return list(dict.fromkeys(step.partition(":")[0] for step in self.entered))

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self._recording or event != "call":
            return
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in self._packages or module in self._packages:
            self.entered.append(f"{module}:{frame.f_code.co_qualname}")
