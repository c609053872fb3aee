"""The page of what the ledger says, from the cells of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from duly import Policy

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs/what-the-ledger-says.md"

INTRODUCTION: Final = """\
# What the ledger says

What becomes of an effect depends on three things: what the provider does with the call, where the worker dies, and
which [policy](states.md) was chosen. This page shows every combination. It is not written by hand: a test plays them
all on SQLite and on PostgreSQL, and turns red when this page says something else. The command that writes it is
`python -m tests.reliability.ledger_table`.

How it is played: the row says what the provider does with the *first call* of an effect. From the second call on it
takes it and answers. The column says where the first worker dies; another one comes after it. There are three attempts
at most. Then every wait passes, until nothing comes by itself any more.

Each cell has the state at the end, the number of attempts, and how often the provider took it. *Marked* attempts are
possible duplicates, and are shown as such. **unknown** means that a receipt or a person settles it.

- Nowhere: no worker dies.
- Before the call: the attempt is on disk, and the call has not begun.
- After the call: the answer is there, and is not written down.
- After the record: the outcome of the first attempt is on disk.
"""

SAYINGS: Final[Mapping[Policy, str]] = {
    Policy.KEYED: "The provider remembers a key: the same key is sent again, and it makes no second one of it.",
    Policy.RECONCILE: "The provider can be asked by our reference. Found: accepted. Twice not there: tried again.",
    Policy.AT_MOST_ONCE: "Nothing can be known: what may have gone through is never tried again.",
    Policy.AT_LEAST_ONCE: "The receiver deduplicates: what may have gone through is tried again, and marked.",
}


def page(cells: Mapping[tuple[str, str, str], str], moods: Sequence[str], crashes: Sequence[str]) -> str:
    """The whole page."""
    lines = [INTRODUCTION]
    for policy in Policy:
        lines += [f"## `{policy.value}`", "", SAYINGS[policy], ""]
        lines.append(f"| the provider | {' | '.join(_heading(crash) for crash in crashes)} |")
        lines.append("|---" * (1 + len(crashes)) + "|")
        for mood in moods:
            said = [cells.get((policy.value, mood, crash), "?") for crash in crashes]
            lines.append(f"| {mood} | {' | '.join(said)} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _heading(crash: str) -> str:
    return "no worker dies" if crash == "nowhere" else f"dies {crash}"
