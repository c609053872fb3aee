"""Named places where a test may stop the process. Inert unless `duly.testing` arms them.

Nothing here reads the environment: a hook cannot become active in production by a stray variable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

NAMES: Final = (
    "command.before_commit",
    "command.after_commit",
    "relay.before_commit",
    "relay.after_commit",
    "sender.before_claim",
    "sender.after_claim",
    "sender.before_call",
    "sender.after_call",
    "sender.after_record",
    "reconciler.after_claim",
    "reconciler.after_look_up",
    "reconciler.after_record",
    "projection.before_commit",
    "projection.after_commit",
    "rebuild.after_batch",
    "rebuild.before_swap",
    "rebuild.after_swap",
    "rebuild.after_drop",
    "backfill.before_commit",
    "backfill.after_commit",
    "archive.after_step",
)

_hook: Callable[[str], None] | None = None


def hit(name: str) -> None:
    """Tell an armed test that the flow has come to *name*; nothing otherwise."""
    if _hook is not None:
        _hook(name)


def arm(hook: Callable[[str], None] | None) -> None:
    """Set or remove the hook. Only `duly.testing` calls this (an architecture test says so)."""
    global _hook
    _hook = hook


def armed() -> bool:
    """Whether a hook is set."""
    return _hook is not None
