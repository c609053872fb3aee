"""What becomes of what a provider took, and in which mood the provider reports it: set through the control API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from examples.shop.sandbox.record import Channel
from examples.shop.sandbox.rules import (
    InForce,
    Rule,
    parse_channel,
    parse_object,
    parse_recipient,
    parse_seconds,
    parse_times,
)

Mood = Literal["normal", "none", "late", "doubled", "reordered", "early", "forged", "tampered", "unknown_id", "stale"]
Result = Literal["delivered", "undelivered", "failed", "sent", "paid", "rejected", "open"]

MOODS: tuple[Mood, ...] = get_args(Mood)
RESULTS: Mapping[Channel, tuple[Result, ...]] = {
    "sms": ("delivered", "undelivered", "failed", "sent"),
    "billing": ("paid", "rejected", "open"),
}
"""What may become of something in each channel that has receipts; the first one is what does if nothing is set."""

IMPOSSIBLE: Mapping[tuple[Channel, Mood], str] = {
    ("sms", "stale"): "Twilio's callbacks have no time stamp that could be old: set doubled or tampered",
    ("billing", "reordered"): "an invoice has one event alone, and no order: set late or doubled",
}
LATE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRule(Rule):
    """What becomes of the next things that are taken for one recipient, and how it is reported.

    `mood`: see `examples.shop.sandbox.receipt_plan`.
    `result`: what becomes of it; None is the usual, "delivered" or "paid".
    `seconds`: how much later than usual a "late" receipt comes (2 if None).
    """

    mood: Mood = "normal"
    result: Result | None = None
    seconds: float | None = None

    @property
    def late_seconds(self) -> float:
        return LATE_SECONDS if self.seconds is None else self.seconds


class ReceiptRules:
    """The rules in force, at most one for each channel and recipient; the last one set counts."""

    def __init__(self) -> None:
        self._rules: InForce[ReceiptRule] = InForce()

    def set(self, rule: ReceiptRule) -> None:
        """Put a rule in force in the place of any earlier one for the same channel and recipient."""
        self._rules.set(rule)

    def take(self, channel: Channel, recipient: str) -> ReceiptRule:
        """The rule for what has just been taken, counted as applied once; the usual if none is in force."""
        return self._rules.take(channel, recipient) or ReceiptRule(channel=channel, recipient=recipient)

    def in_force(self) -> list[ReceiptRule]:
        """All rules in force, each with the number of times that is left."""
        return self._rules.all()

    def clear(self) -> None:
        """Let all that is taken go well and be reported as usual."""
        self._rules.clear()


def parse(document: object) -> ReceiptRule:
    """Make a rule of the control API's JSON; raises ValueError with a text that says what is wrong."""
    fields = ("channel", "recipient", "mood", "result", "times", "seconds")
    found = parse_object(document, "a rule for receipts", fields)
    channel = parse_channel(found.get("channel"), tuple(RESULTS))
    mood, result = found.get("mood", "normal"), found.get("result")
    if mood not in MOODS:
        raise ValueError(f"mood is one of {', '.join(MOODS)}, not {mood!r}")
    if result is not None and result not in RESULTS[channel]:
        raise ValueError(f"result is one of {', '.join(RESULTS[channel])}, or null, not {result!r}")
    if (channel, mood) in IMPOSSIBLE:
        raise ValueError(IMPOSSIBLE[channel, mood])
    return ReceiptRule(
        channel=channel,
        recipient=parse_recipient(found.get("recipient")),
        mood=mood,
        result=result,
        times=parse_times(found.get("times")),
        seconds=parse_seconds("seconds", found.get("seconds")),
    )
