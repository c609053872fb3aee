"""Start, steer and question a sandbox from Python, synchronously and with the standard library alone."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from examples.shop.sandbox import addresses
from examples.shop.sandbox.addresses import Addresses
from examples.shop.sandbox.behaviours import Behaviour, BehaviourName
from examples.shop.sandbox.record import Accepted, Attempt, Channel, accepted_file, read_lines

__all__ = ["Accepted", "Addresses", "Attempt", "Behaviour", "Sandbox", "SandboxDidNotStart", "start"]

REPOSITORY = Path(__file__).resolve().parents[3]
STDERR_FILE = "stderr.txt"
# A proxy of the environment must not see requests to loopback.
_open = build_opener(ProxyHandler({})).open


class SandboxDidNotStart(Exception):
    """The process ended or kept silent before its servers answered; the text has its exit status and stderr."""


class Sandbox:
    """A running sandbox. `directory` holds its records, `addresses` tells where its servers listen."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes], found: Addresses) -> None:
        self.directory = directory
        self.addresses = found
        self._process = process

    def set_behaviour(
        self,
        channel: Channel,
        recipient: str,
        behaviour: BehaviourName,
        *,
        times: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Let a provider behave so toward a recipient ("*": everyone else), for the next `times` requests (None: all).

        `seconds` is how long "hang" lasts (60) and what "rate_limit" tells as Retry-After (1).
        Raises ValueError for what the control API does not take, and OSError if the sandbox is gone.
        """
        document = {"channel": channel, "recipient": recipient, "behaviour": behaviour}
        self._control("POST", "/behaviours", {**document, "times": times, "seconds": seconds})

    def behaviours(self) -> list[Behaviour]:
        """The behaviours in force, with the times that are left."""
        return [Behaviour(**item) for item in self._control("GET", "/behaviours")]

    def accepted(self, channel: Channel) -> list[Accepted]:
        """What a provider took since the start or the last `reset`, oldest first."""
        return [Accepted(**item) for item in self._control("GET", "/accepted")[channel]]

    def requests(self, channel: Channel) -> list[Attempt]:
        """Every attempt that a provider saw since the start or the last `reset`, oldest first."""
        found = [Attempt(**item) for item in self._control("GET", "/requests")]
        return [attempt for attempt in found if attempt.channel == channel]

    def recorded(self, channel: Channel) -> list[Accepted]:
        """What the file says that a provider took, over all `reset`s; works after `stop` too."""
        return [Accepted(**line) for line in read_lines(self.directory / accepted_file(channel))]

    def reset(self) -> None:
        """Clear behaviours and all that the providers remember (keys and invoices too); the files stay."""
        self._control("POST", "/reset")

    def stop(self) -> int:
        """End the process (SIGTERM, SIGKILL after 10 seconds) and return its exit status; once more does no harm."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _control(self, method: str, path: str, document: object = None) -> Any:
        body = None if document is None else json.dumps(document).encode()
        request = Request(self.addresses.control_url + path, data=body, method=method)
        try:
            with _open(request, timeout=10) as response:
                answer = response.read()
        except HTTPError as refused:
            with refused:
                raise ValueError(refused.read().decode()) from None
        return json.loads(answer) if answer else None


def start(directory: Path, *, time_limit: float = 20.0) -> Sandbox:
    """Start a sandbox with its files in `directory` (made if new) and wait, `time_limit` seconds, for its servers.

    The sandbox ends when `stop` is called, its context is left, or this process ends in whatever way.
    Raises SandboxDidNotStart.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    # The file of an earlier sandbox in this place would send us to ports that are someone else's by now.
    (directory / addresses.FILE_NAME).unlink(missing_ok=True)
    command = [sys.executable, "-m", "examples.shop.sandbox", f"--directory={directory}", f"--parent-pid={os.getpid()}"]
    search_path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    # To a file, since a pipe that nobody reads would stop the sandbox once it is full.
    with (directory / STDERR_FILE).open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env={**os.environ, "PYTHONPATH": search_path})
    try:
        return Sandbox(directory, process, _wait_for_addresses(directory, process, time_limit))
    except BaseException:
        process.kill()
        process.wait()
        raise


def _wait_for_addresses(directory: Path, process: subprocess.Popen[bytes], time_limit: float) -> Addresses:
    deadline = time.monotonic() + time_limit
    while True:
        status = process.poll()
        try:
            return Addresses.read(directory)
        except FileNotFoundError:
            pass
        if status is not None or time.monotonic() > deadline:
            what = f"kept silent for {time_limit} s" if status is None else f"ended with status {status}"
            stderr = (directory / STDERR_FILE).read_text(encoding="utf-8", errors="replace")
            raise SandboxDidNotStart(f"the sandbox {what}; its stderr:\n{stderr or '(empty)'}")
        time.sleep(0.01)
