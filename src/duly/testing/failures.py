"""Arms failpoints: the process ends at a named place, as if the power had gone."""

from __future__ import annotations

import os
import signal
from collections import Counter

from duly import failpoints


def exit_at(name: str, *, hit_number: int = 1) -> None:
    """Kill this process with SIGKILL when the flow comes to *name* for the *hit_number*-th time: no clean-up."""
    if name not in failpoints.NAMES:
        raise ValueError(f"{name!r} is no failpoint. There are: {', '.join(failpoints.NAMES)}.")
    hits: Counter[str] = Counter()

    def hook(point: str) -> None:
        hits[point] += 1
        if point == name and hits[point] == hit_number:
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.arm(hook)
