"""Processes and their histories, as they are seen. Personal fields lie apart, and can be left out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol, TypeAlias

import msgspec

from duly.messages.envelope import Kind
from duly.messages.standard_effects import JsonValue

PROCESS_DOCUMENT: Final = "duly.process."
"""What the types of the documents of processes begin with; the oldest stored name of the manager follows."""
PROCESS_ROWS_MAX: Final = 1_000
"""How many processes one page may hold."""

JsonFields: TypeAlias = Mapping[str, JsonValue]


class ProcessView(msgspec.Struct, frozen=True, kw_only=True):
    """A process as it stands."""

    process: str
    """The oldest stored name of its manager."""
    id: str
    version: int
    """Of the fields of its state."""
    state: JsonFields
    """Without personal fields."""
    waiting: tuple[str, ...]
    """The timeouts that are set."""
    is_ended: bool
    steps: int
    """How many things it has heard."""


class ProcessStepView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a process heard, and what it decided."""

    number: int
    """From 1."""
    at: datetime
    """By the database's clock."""
    message_id: str
    kind: Kind
    name: str
    version: int
    heard: JsonFields
    """The fields of the stored message, without the personal ones."""
    personal: JsonFields | None = None
    """These, as long as they are not erased."""
    decision: JsonFields
    """``version`` and ``state`` after it, ``commands``, ``timeouts`` that were set, those ``waiting``, ``ended``; and
    ``part``: which of the messages it was that the stored one had become. Without personal fields."""


class ProcessHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one process has heard and decided, in order."""

    process: str
    """The oldest stored name of its manager."""
    id: str
    steps: tuple[ProcessStepView, ...]

    def without_personal(self) -> ProcessHistory:
        """The same for other eyes."""
        steps = tuple(msgspec.structs.replace(step, personal=None) for step in self.steps)
        return msgspec.structs.replace(self, steps=steps)


class ProcessStore(Protocol):
    """What is needed to look at processes."""

    async def processes(
        self, tenant: str, process: str | None, after: tuple[str, str], rows_max: int
    ) -> list[ProcessView]:
        """A tenant's processes, by manager and id, after a place (``("", "")`` for the first); of one manager only."""

    async def process_steps(self, tenant: str, process: str, process_id: str) -> list[ProcessStepView]:
        """The history of a process, in order."""
