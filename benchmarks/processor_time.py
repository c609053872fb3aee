"""Processor time of other processes, as Linux tells it. Source: proc(5)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PROCESSES: Final = Path("/proc")
# Of what follows the name of a process in its file `stat`.
PARENT, USER, SYSTEM = 1, 11, 12


def of_processes(pids: Iterable[int]) -> float:
    """Seconds of those that are there, all their threads, in steps of a clock tick (mostly 10 ms)."""
    found = (_stat(PROCESSES / str(pid)) for pid in pids)
    return sum(_ticks(fields) for fields in found if fields is not None)


def of_family(parent: int) -> dict[int, float]:
    """Seconds of a process and of each of its children, by process id; nothing where the system does not say.

    They have one thread each. To the nanosecond where the kernel tells it: ticks hide what many processes spend a
    little of.
    """
    found: dict[int, float] = {}
    for folder in PROCESSES.glob("[0-9]*"):
        pid, fields = int(folder.name), _stat(folder)
        if fields is None or (pid != parent and int(fields[PARENT]) != parent):
            continue
        found[pid] = _precise(folder) or _ticks(fields)
    return found


def _stat(folder: Path) -> list[str] | None:
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended meanwhile
        return None


def _ticks(fields: list[str]) -> float:
    return (int(fields[USER]) + int(fields[SYSTEM])) / os.sysconf("SC_CLK_TCK")


def _precise(folder: Path) -> float | None:
    try:
        return int((folder / "schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return None
