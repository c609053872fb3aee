"""What the figures were seen on. Absolute figures mean little without it."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version

import msgspec

from benchmarks.loop import loop_name

PROBE_WRITES = 40
PAGE_BYTES = 4096
UNSTEADY_TIMES = 3.0


class Syncs(msgspec.Struct, frozen=True, kw_only=True):
    """What an fdatasync of one page cost while a benchmark ran, in microseconds: it decides what a commit costs."""

    median_us: float
    min_us: float
    max_us: float

    @property
    def is_steady(self) -> bool:
        """Whether the disk was as fast in one round as in the other."""
        return self.max_us <= UNSTEADY_TIMES * self.min_us


def sync_us() -> float:
    """The median cost of an fdatasync of one page now, where the databases are, in microseconds."""
    with tempfile.TemporaryFile() as file:
        os.pwrite(file.fileno(), b"\0" * PAGE_BYTES * PROBE_WRITES, 0)
        os.fsync(file.fileno())
        spent: list[float] = []
        for number in range(PROBE_WRITES):
            os.pwrite(file.fileno(), b"x" * PAGE_BYTES, number * PAGE_BYTES)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            spent.append(time.perf_counter() - begun)
    return statistics.median(spent) * 1e6


def syncs_of(probes: list[float]) -> Syncs:
    """At least one probe, put together."""
    return Syncs(median_us=statistics.median(probes), min_us=min(probes), max_us=max(probes))


def machine_note() -> str:
    """Processor, memory, versions, in one line."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {loop_name()}, SQLite {sqlite3.sqlite_version}, "
        f"asyncpg {_version('asyncpg')}; other work may share the machine"
    )


def load() -> float:
    """How many processes wanted a core in the last minute."""
    return os.getloadavg()[0]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
