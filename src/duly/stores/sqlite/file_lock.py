"""One writer among processes: every write and checkpoint runs under a lock on a file of its own.

SQLite's own waiting is unfair (a loser sleeps, then finds the next one there); the kernel's queue of `flock` is fair.
It also keeps checkpoints of several processes apart, which SQLite before 3.51.3 could not always do by itself.
Nobody may open and close the database file itself for this: that would drop SQLite's own POSIX locks.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NETWORK_FILE_SYSTEMS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph"})


class FileLock:
    """Held from `acquire` to `release`, by one thread of this process at a time."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def acquire(self) -> None:
        """Wait for the lock."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        """Give it to the next in the queue."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


@contextmanager
def held(lock: FileLock | None) -> Iterator[None]:
    """Hold *lock* in a block; a database in memory has none."""
    if lock is not None:
        lock.acquire()
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def network_file_system(path: Path) -> str | None:
    """The type of the file system under *path* if it is one where locks cannot be trusted (Linux only), else None."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return None
    folder = path.absolute().parent.resolve()
    found: tuple[int, str] = (-1, "")
    for line in mounts:
        _, point, kind, *_ = line.split()
        point = point.replace("\\040", " ")
        if folder.is_relative_to(point) and len(point) > found[0]:
            found = (len(point), kind)
    return found[1] if found[1] in NETWORK_FILE_SYSTEMS else None
