"""The past of one subscriber: to look at without doing anything, or to be promised again on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol, TypeAlias

import msgspec

from duly.messages.envelope import Envelope

Place: TypeAlias = tuple[int, int]
"""Where a message lies: its commit, and its number in it."""

BEFORE_EVERYTHING: Final[Place] = (0, -1)


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """The messages of one tenant that a subscriber would hear, and has not heard yet."""

    tenant: str
    subscriber: int
    names: tuple[str, ...]
    """Stored names of the messages that it hears."""
    effect_type: str = ""
    """Of outcomes: those of effects of this type only."""
    since: datetime | None = None
    """Committed at this time or later."""
    until: datetime | None = None
    """Committed before this time."""
    even_if_heard: bool = False
    """Also what was promised to it before: by its commit, or by another backfill."""


class PastCount(msgspec.Struct, frozen=True, kw_only=True):
    """How much past there is, as of one moment; nothing is done."""

    past: Past
    by_name: tuple[tuple[str, int], ...]
    """Stored names of messages, and how many of each, the most frequent first."""
    heard: int
    """How many more there are in the range that the subscriber heard already, or will: they are left out."""
    first_at: datetime | None
    """When the first of them was committed, by the database's clock."""
    last_at: datetime | None
    began_at: datetime
    """Since when the subscriber hears what is committed."""
    through: int
    """The last commit that was counted: what follows it does not belong to this count."""

    @property
    def messages(self) -> int:
        """How many messages it is about."""
        return sum(number for _, number in self.by_name)


class PastMessage(msgspec.Struct, frozen=True):
    """One of them."""

    place: Place
    envelope: Envelope


class PastPromise(msgspec.Struct, frozen=True):
    """An outbox row to be, for a message of the past."""

    place: Place
    lane: str
    bucket: int


class Backfill(msgspec.Struct, frozen=True, kw_only=True):
    """A request to promise the past to a subscriber, and how far it has come. It can be gone on with at any time."""

    id: str
    past: Past
    through: int
    total: int
    """How many messages it was counted to be about."""
    by: str
    reason: str
    place: Place = BEFORE_EVERYTHING
    """The last message that was promised."""
    promised: int = 0
    begun_at: datetime | None = None
    ended_at: datetime | None = None


class ReplayStore(Protocol):
    """What replays need of a store."""

    async def count_past(self, past: Past) -> PastCount:
        """Count."""

    async def read_past(
        self, past: Past, *, through: int, after: Place, rows_max: int, backfill: str = ""
    ) -> list[PastMessage]:
        """The messages after a place, in the order of their commits; with *backfill*, this one counts not as heard."""

    async def effect_digests(self, ids: Sequence[str]) -> Mapping[str, str]:
        """The digests of those effects that the ledger has, or had."""

    async def begin_backfill(self, backfill: Backfill) -> Backfill:
        """Write the request and its audit row, unless that was done before; the backfill as it stands.

        It is another one when that one is unfinished: a subscriber has one at a time in a tenant.
        """

    async def promise_past(
        self, backfill: Backfill, promises: Sequence[PastPromise], *, place: Place, ends: bool
    ) -> Backfill:
        """Promise the next messages, up to *place*, if *backfill* is still where it was; how it stands now."""

    async def backfills(self, tenant: str, subscriber: int, rows_max: int) -> list[Backfill]:
        """What was asked for in this tenant, the latest first."""
