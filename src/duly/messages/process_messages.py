"""What processes hear beside events: a time that has come, and a command of theirs that was refused."""

from __future__ import annotations

from duly.messages.fields import Personal
from duly.messages.message import Message, PublicEvent


class TimedOut(Message, name="duly.timeout"):
    """A timeout that a process has set for itself; one that was set again or cancelled since is passed over."""

    process: str
    """The process's oldest stored name."""
    id: str
    """The process's key."""
    name: str
    generation: int
    """How often a timeout of this name was set when this one was, counted from 1."""


class CommandRejected(PublicEvent, name="duly.command_rejected"):
    """A command that a process has sent was not carried out. Only that process hears of it."""

    process: str
    """The process's oldest stored name."""
    process_id: str
    command: str
    """The stored name of the command."""
    command_id: str
    """The id of its message."""
    rule: str | None
    """The name of the rule that was broken; None for other reasons."""
    permanent: bool
    """True: it is refused, and gone. False: its attempts are spent, and a person may still put it back."""
    reason: Personal[str]
    """The words of the error. They may hold what the command held, and so are erased with it."""
