"""Which receipts are sent when: pure, and the same for every provider. The moods are these.

normal      each change of status when it happens
none        nothing: the receipts are lost
late        as normal, some seconds later
doubled     each receipt twice, one after the other, under the same id
reordered   the last change first: delivered before sent
early       all at once, before the answer to the request
forged      instead of the truth one receipt that says the opposite, signed with another secret
tampered    instead of the truth one receipt that says the opposite, under the signature of the truth
unknown_id  as normal and rightly signed, but about something that nobody has sent
stale       as normal and rightly signed, with a time stamp that is ten minutes old
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from examples.shop.sandbox.receipt_rules import ReceiptRule

Flaw = Literal["wrong_secret", "changed_after_signing", "unknown_id", "old_timestamp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One receipt: how long after the acceptance it goes out, what it says, what is wrong with it."""

    at_seconds: float
    status: str
    flaw: Flaw | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What becomes of one thing, whether or not anyone is told.

    `statuses`: one after the other, `delay_seconds` apart; the first so long after `taken_at` (monotonic seconds).
    """

    statuses: tuple[str, ...]
    taken_at: float
    delay_seconds: float

    def status(self, now: float) -> str | None:
        """The status at this moment; None while it is what it was at the acceptance."""
        happened = sum(now >= self.taken_at + at for at in self._moments())
        return self.statuses[happened - 1] if happened else None

    def reports(self) -> list[Step]:
        """Each change of status at the moment when it happens."""
        return [Step(at_seconds=at, status=status) for at, status in zip(self._moments(), self.statuses, strict=True)]

    def _moments(self) -> list[float]:
        return [self.delay_seconds * number for number in range(1, len(self.statuses) + 1)]


def plan(progress: Progress, lie: str, rule: ReceiptRule) -> Sequence[Step]:
    """The receipts of one thing in the order in which they go out. `lie` is the opposite of what becomes of it."""
    usual = progress.reports()
    at_end = progress.delay_seconds * max(1, len(usual))
    match rule.mood:
        case "normal":
            return usual
        case "none":
            return []
        case "late":
            return [replace(step, at_seconds=step.at_seconds + rule.late_seconds) for step in usual]
        case "doubled":
            return [step for step in usual for _ in range(2)]
        case "reordered":
            backwards = reversed(progress.statuses)
            return [replace(step, status=status) for step, status in zip(usual, backwards, strict=True)]
        case "early":
            return [replace(step, at_seconds=0.0) for step in usual]
        case "forged":
            return [Step(at_seconds=at_end, status=lie, flaw="wrong_secret")]
        case "tampered":
            return [Step(at_seconds=at_end, status=lie, flaw="changed_after_signing")]
        case "unknown_id":
            return [replace(step, flaw="unknown_id") for step in usual]
        case "stale":
            return [replace(step, flaw="old_timestamp") for step in usual]
