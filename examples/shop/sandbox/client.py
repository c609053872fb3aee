"""Start, steer and question a sandbox from Python, synchronously and with the standard library alone."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from examples.shop.sandbox import addresses
from examples.shop.sandbox.addresses import Addresses
from examples.shop.sandbox.behaviours import Behaviour, BehaviourName
from examples.shop.sandbox.receipt_rules import Mood, ReceiptRule, Result
from examples.shop.sandbox.record import RECEIPTS_FILE, Accepted, Attempt, Channel, Receipt, accepted_file, read_lines
from examples.shop.sandbox.settings import Settings

__all__ = [
    "Accepted",
    "Addresses",
    "Attempt",
    "Behaviour",
    "Receipt",
    "ReceiptRule",
    "Sandbox",
    "SandboxDidNotStart",
    "Settings",
    "start",
]

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

        `seconds` is how long "hang" and "accept_and_hang" last (60), what "rate_limit" tells as Retry-After (1), and
        how long the provider is gone after "accept_and_die" (1).
        Raises ValueError for what the control API does not take, and OSError if the sandbox is gone.
        """
        document = {"channel": channel, "recipient": recipient, "behaviour": behaviour}
        self._control("POST", "/behaviours", {**document, "times": times, "seconds": seconds})

    def behaviours(self) -> list[Behaviour]:
        """The behaviours in force, with the times that are left."""
        return [Behaviour(**item) for item in self._control("GET", "/behaviours")]

    def set_receipts(
        self,
        channel: Channel,
        recipient: str,
        mood: Mood = "normal",
        *,
        result: Result | None = None,
        times: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Say what becomes of what is taken for a recipient ("*": everyone else), and in which mood it is reported.

        It is for the next `times` things that are taken (None: all), whether or not their answer arrives. The moods are
        listed in `examples.shop.sandbox.receipt_plan`. `result`: None is "delivered" for "sms" and "paid" for
        "billing". `seconds`: how much later a "late" receipt comes (2).
        Raises ValueError for what the control API does not take, and OSError if the sandbox is gone.
        """
        document = {"channel": channel, "recipient": recipient, "mood": mood, "result": result}
        self._control("POST", "/receipts", {**document, "times": times, "seconds": seconds})

    def receipt_rules(self) -> list[ReceiptRule]:
        """The rules for receipts in force, with the times that are left."""
        return [ReceiptRule(**item) for item in self._control("GET", "/receipts")]

    def receipts(self, channel: Channel) -> list[Receipt]:
        """Every receipt that a provider has sent since the start or the last `reset`, and how it was answered."""
        found = [Receipt(**item) for item in self._control("GET", "/receipts/sent")]
        return [receipt for receipt in found if receipt.channel == channel]

    def pending_receipts(self) -> int:
        """How many receipts the providers have still to send."""
        return int(self._control("GET", "/receipts/pending")["pending"])

    def settings(self) -> Settings:
        """The settings in force."""
        return Settings(**self._control("GET", "/settings"))

    def set_settings(self, settings: Settings) -> None:
        """Put all settings in force: `set_settings(Settings(webhook_url=…))` has the defaults for the others.

        Raises ValueError for what the control API does not take, such as a URL that leads away from this machine.
        """
        self._control("PUT", "/settings", asdict(settings))

    def forget_keys(self) -> None:
        """Let the billing API forget its idempotency keys: each repeat makes another invoice. The invoices stay."""
        self._control("POST", "/forget-keys")

    def times_taken(self, channel: Channel) -> dict[str, int]:
        """How often a provider took something for each recipient since the start or the last `reset`."""
        return dict(Counter(taken.recipient for taken in self.accepted(channel)))

    def times_taken_by_reference(self, channel: Channel) -> dict[str, int]:
        """The same for each reference: the key of an invoice, the Message-ID of a mail for each of its recipients."""
        found = ((taken.reference, taken.recipient) for taken in self.accepted(channel) if taken.reference is not None)
        most: dict[str, int] = {}
        for (reference, _), times in Counter(found).items():
            most[reference] = max(times, most.get(reference, 0))
        return most

    def duplicates(self, channel: Channel) -> list[Accepted]:
        """What a provider took although it had it: an invoice whose key was forgotten, a mail that came again."""
        return [taken for taken in self.accepted(channel) if taken.duplicate_of is not None]

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

    def recorded_receipts(self, channel: Channel) -> list[Receipt]:
        """What the file says that a provider reported, over all `reset`s; works after `stop` too."""
        found = [Receipt(**line) for line in read_lines(self.directory / RECEIPTS_FILE)]
        return [receipt for receipt in found if receipt.channel == channel]

    def reset(self) -> None:
        """Clear behaviours, rules, settings and all that the providers remember (keys and invoices too).

        Receipts that are still to be sent are not. The files stay.
        """
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


def start(directory: Path, *, time_limit: float = 20.0, webhook_secret: str | None = None) -> Sandbox:
    """Start a sandbox with its files in `directory` (made if new) and wait, `time_limit` seconds, for its servers.

    `webhook_secret` ("whsec_" and base64) is what the billing API signs its events with; None is one that anybody may
    know. `addresses` tells it in either case.
    The sandbox ends when `stop` is called, its context is left, or this process ends in whatever way.
    Raises SandboxDidNotStart.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    # The file of an earlier sandbox in this place would send us to ports that are someone else's by now.
    (directory / addresses.FILE_NAME).unlink(missing_ok=True)
    command = [sys.executable, "-m", "examples.shop.sandbox", f"--directory={directory}", f"--parent-pid={os.getpid()}"]
    if webhook_secret is not None:
        command.append(f"--webhook-secret={webhook_secret}")
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
