"""What the providers took and what they were asked, as append-only JSON lines and in memory."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

Channel = Literal["sms", "email", "billing"]
Outcome = Literal[
    "accepted",
    "refused",
    "unavailable",
    "hung",
    "dropped",
    "rate_limited",
    "unauthorized",
    "replayed",
    "conflicted",
    "failed",
    "silent",
    "down",
]
"""How a request ended for the provider. It took what was "accepted", "dropped" (and cut the connection), "failed" (and
answered 500) or "silent" (and kept silent); "hung" is a silence without taking anything, "down" the cut connection of a
provider that is gone."""

CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)
REQUESTS_FILE = "requests.jsonl"
RECEIPTS_FILE = "receipts.jsonl"


def accepted_file(channel: Channel) -> str:
    """The file, inside the sandbox's directory, with what one provider took."""
    return f"accepted-{channel}.jsonl"


def now() -> str:
    """This moment in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One thing that a provider took, and will do or has done, whether or not its answer arrived.

    `at`: UTC, ISO 8601.
    `provider_id`: the provider's own name for it: Twilio's sid, the mail server's queue id, the invoice's id.
    `recipient`: a phone number, a mail address, a customer.
    `reference`: what the sender named it: the Message-ID of a mail, the idempotency key of an invoice, None for SMS.
    `body`: the text; for mail the subject, an empty line and the decoded text; for billing the request's JSON.
    `behaviour`: the behaviour that was applied to it ("accept_and_drop"), else None.
    `effect`: the header X-Duly-Effect of a mail, if it has one.
    `status_callback`: the StatusCallback of an SMS, if it has one.
    `duplicate_of`: the provider_id of what was taken earlier from the same sender, since the start or a reset: for the
    same recipient under the same reference. The record finds it. An SMS has no reference, and so never one of these.
    """

    at: str = field(default_factory=now)
    provider_id: str
    recipient: str
    reference: str | None
    body: str
    behaviour: str | None = None
    effect: str | None = None
    status_callback: str | None = None
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt to send, for one recipient, and how it ended for the provider."""

    at: str = field(default_factory=now)
    channel: Channel
    recipient: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One report of a provider to its customer's URL, and what became of it.

    `provider_id`, `status`: as the receipt says them, which is not the truth if it has a flaw.
    `mood`: in which the provider was; `flaw`: what is wrong with it ("wrong_secret", "changed_after_signing",
    "unknown_id", "old_timestamp"), or None for the truth.
    `answer`: the receiver's HTTP status; None if there was none, and then `error` says why.
    """

    at: str = field(default_factory=now)
    channel: Channel
    provider_id: str
    recipient: str
    status: str
    mood: str
    flaw: str | None
    url: str
    answer: int | None
    error: str | None


class Record:
    """Keeps what was accepted and asked, in DIR/*.jsonl for good and in memory until `forget`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.forget()

    def accept(self, channel: Channel, accepted: Accepted) -> None:
        """Write down that a provider took something. Call it before the answer is sent; raises OSError.

        What was taken before under the same reference is a duplicate, and is written down as one.
        """
        if accepted.reference is not None:
            first = self._first.setdefault((channel, accepted.reference, accepted.recipient), accepted.provider_id)
            if first != accepted.provider_id:
                accepted = replace(accepted, duplicate_of=first)
        # Synced in the event loop itself: nobody may get an answer while this is not on the disk, and the
        # order of the lines is then the order in which things were taken.
        self._append(accepted_file(channel), asdict(accepted), sync=True)
        self._accepted[channel].append(accepted)

    def request(self, channel: Channel, recipient: str, outcome: Outcome) -> None:
        """Write down one request and its outcome. Call it before the answer is sent; raises OSError."""
        attempt = Attempt(channel=channel, recipient=recipient, outcome=outcome)
        self._append(REQUESTS_FILE, asdict(attempt), sync=False)
        self._attempts.append(attempt)

    def receipt(self, receipt: Receipt) -> None:
        """Write down a receipt that was sent, once it is known how it went; raises OSError."""
        self._append(RECEIPTS_FILE, asdict(receipt), sync=False)
        self._receipts.append(receipt)

    def accepted(self) -> dict[Channel, list[Accepted]]:
        """What each provider took since the start or the last `forget`, oldest first."""
        return {channel: list(taken) for channel, taken in self._accepted.items()}

    def requests(self) -> list[Attempt]:
        """Every request since the start or the last `forget`, oldest first."""
        return list(self._attempts)

    def receipts(self) -> list[Receipt]:
        """Every receipt that was sent since the start or the last `forget`, oldest first."""
        return list(self._receipts)

    def forget(self) -> None:
        """Empty the memory. The files stay as they are: they are the evidence of the whole run."""
        self._accepted: dict[Channel, list[Accepted]] = {channel: [] for channel in CHANNELS}
        self._attempts: list[Attempt] = []
        self._receipts: list[Receipt] = []
        self._first: dict[tuple[Channel, str, str], str] = {}

    def _append(self, name: str, line: dict[str, Any], *, sync: bool) -> None:
        with (self._directory / name).open("ab") as file:
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            if sync:
                os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read one of the .jsonl files; an absent file is empty, and a last line still being written is left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines[:-1]]
