"""What projections need of a store: generations with their checkpoints, and what is written with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol, TypeAlias

import msgspec

from duly.ports.user_sql import SqlValue


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A projection as a database must know it: how its tables are made, and a digest of all that it depends on."""

    name: str
    tables: tuple[str, ...]
    """Their plain names."""
    statements: tuple[str, ...]
    digest: str


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One making of a projection's read model: the one that is read, or a shadow that is being built."""

    projection: str
    number: int
    is_live: bool
    position: int
    """Of the last event that it has seen."""
    digest: str
    """Of the shape that it was begun with."""
    tables: tuple[str, ...]
    """The plain names of its tables."""
    owner: str | None
    attempts: int
    """Failures at the next event so far."""
    reason: str
    """Why it stands still; empty when it does not."""
    wait: timedelta
    """How long until it is tried again."""

    @property
    def is_old(self) -> bool:
        """Whether a rebuild has replaced it: it is to be removed, and its checkpoint never moves."""
        return self.position < 0

    @property
    def shadow(self) -> int | None:
        """Its number when it is a shadow: what its tables are called by."""
        return None if self.is_live else self.number


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """Moves a generation's checkpoint from *begins* to *ends*, if it is there: of two that try, one does."""

    projection: str
    generation: int
    begins: int
    ends: int
    owner: str
    lease: timedelta


class StatementRun(msgspec.Struct, frozen=True):
    """One statement with ``:name`` parameters, to be executed for each of *rows* in order."""

    text: str
    rows: list[Mapping[str, SqlValue]]


class StoredReadModel(msgspec.Struct, frozen=True):
    """A document of a read model. Of a projection of every tenant, *tenant* is empty."""

    tenant: str
    id: str
    schema: int
    body: str


class ReadModelWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A document to be, or to be removed (without a body), and how its findable values change."""

    model: str
    tenant: str
    id: str
    schema: int
    body: str | None
    entries_removed: tuple[tuple[str, str], ...] = ()
    """Field and value."""
    entries_added: tuple[tuple[str, str], ...] = ()


class ReadModelPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where documents of one type lie. Without a generation: in the one that is live when they are looked for."""

    projection: str
    model: str
    generation: int | None = None


class ReadModelRange(msgspec.Struct, frozen=True, kw_only=True):
    """Documents of one tenant, those after an id, by id; with a field only those that have a value in it."""

    tenant: str
    rows_max: int
    after: str = ""
    field: str | None = None
    value: str = ""


DocumentKey: TypeAlias = tuple[str, str]
"""Tenant and id."""


class ReadModelReading(Protocol):
    """Reads documents of read models."""

    async def read_models(self, place: ReadModelPlace, keys: Collection[DocumentKey]) -> list[StoredReadModel]:
        """Those of *keys* that exist, in no order."""

    async def read_models_in(self, place: ReadModelPlace, wanted: ReadModelRange) -> list[StoredReadModel]:
        """A stretch of documents."""


class ProjectingTransaction(ReadModelReading, Protocol):
    """What an open transaction does for projections."""

    async def execute_many(self, statement: str, rows: Sequence[Mapping[str, SqlValue]]) -> None:
        """Run a statement of the user's own for each of *rows*."""

    async def advance(self, advance: Advance) -> bool:
        """Move a checkpoint, which is locked from then on; False when it was elsewhere."""

    async def write_read_models(self, generation: int, writes: Sequence[ReadModelWrite]) -> None:
        """Write documents."""

    async def share_projection(self, name: str) -> Generation:
        """Keep rebuilds of an in-transaction projection away until the end; its live generation."""

    async def lock_projection(self, name: str) -> None:
        """Wait for all who share a projection, and keep them away until the end."""

    async def add_generation(self, shape: Shape, number: int, *, is_live: bool) -> None:
        """Write the row of a new generation, at position 0."""

    async def generations(self, name: str) -> list[Generation]:
        """The generations of a projection as this transaction sees them, the live one first."""


class ProjectionStore(ReadModelReading, Protocol):
    """What runs projections needs."""

    async def make_projections(self, shapes: Sequence[Shape]) -> list[str]:
        """Make those that the database does not know: their tables and their rows; what was done, by line."""

    async def projections(self, names: Collection[str] | None = None) -> list[Generation]:
        """All generations, or those of some projections, by name, the live one first."""

    async def claim_generation(self, name: str, number: int, owner: str, lease: timedelta) -> Generation | None:
        """A generation, now *owner*'s if nobody else has it (see its `owner`); None when it is gone."""

    async def release_generations(self, owner: str) -> None:
        """Let go of all of *owner*'s generations at once: a planned end."""

    async def project(
        self, advance: Advance, statements: Sequence[StatementRun], documents: Sequence[ReadModelWrite]
    ) -> bool:
        """Commit rows and documents with the checkpoint, in this order; False, and nothing, when that was elsewhere."""

    async def fail_generation(self, at: Advance, *, attempts: int, wait: timedelta, reason: str) -> bool:
        """Write down that the event after *at.begins* failed; False when somebody else has moved on."""

    async def unprojected(self, digests: Collection[str], within: timedelta) -> int:
        """How many live generations of these shapes are behind, those that wait longer than *within* left out."""
