"""Effects in words: states, times, what comes next. Whoever sees no colours reads the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from rich.text import Text

from duly.cli.target import plain
from duly.ports.ledger_view import AttemptView, EffectView
from duly.ports.operation_rules import INSTEAD
from duly.states.attempt import Origin
from duly.states.effect import FINAL, Dispatch, Step

STYLES: Final = {
    Dispatch.ACCEPTED: "green",
    Dispatch.FAILED: "bold red",
    Dispatch.UNKNOWN: "bold yellow",
    Dispatch.HELD: "yellow",
    Dispatch.ATTEMPTING: "cyan",
    Dispatch.SUPPRESSED: "dim",
    Dispatch.EXPIRED: "dim",
    Dispatch.CANCELLED: "dim",
}
NOTHING: Final = "–"


def state_text(view: EffectView) -> Text:
    """State, delivery, reason and possible duplicates."""
    text = Text(view.state.value, style=STYLES.get(view.state, ""))
    if view.delivery is not None:
        text.append(f", {view.delivery.value}")
    if view.reason:
        text.append(f": {plain(view.reason)}", style="default not bold")
    duplicates = sum(attempt.possible_duplicate for attempt in view.attempts)
    if duplicates:
        text.append(f"\npossible duplicates: {duplicates}", style="magenta not bold")
    return text


def next_words(view: EffectView, now: datetime) -> str:
    """What comes next by itself, and when."""
    if view.next_step is not None and view.next_step_at is not None:
        what = "attempt" if view.next_step is Step.ATTEMPT else "look-up"
        return f"{what} {_when(view.next_step_at - now)}"
    if view.state is Dispatch.ATTEMPTING:
        return "an attempt is under way"
    if view.state is Dispatch.UNKNOWN:
        return "settle it"
    return NOTHING if view.state in FINAL else "waits for a person"


def hint(view: EffectView) -> str:
    """What a person may do about it; empty when there is nothing to do."""
    return "" if view.state in FINAL and view.state is not Dispatch.FAILED else INSTEAD[view.state]


def attempt_words(attempt: AttemptView) -> str:
    """What is special about an attempt."""
    by_hand = "" if attempt.origin is Origin.SCHEDULED else "by hand"
    duplicate = "possible duplicate" if attempt.possible_duplicate else ""
    return ", ".join(word for word in (by_hand, duplicate) if word)


def moment(at: datetime | None) -> str:
    """A time to the second, in UTC."""
    return NOTHING if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def span_words(span: timedelta) -> str:
    """A duration, roughly."""
    seconds = span.total_seconds()
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _when(wait: timedelta) -> str:
    return "now" if wait <= timedelta() else f"in {span_words(wait)}"
