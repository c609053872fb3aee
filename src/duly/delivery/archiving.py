"""Puts finished streams away: their events leave the table of messages, and stay in the log, in their places."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from duly.delivery.replay import NAME_CHARACTERS_MAX, REASON_CHARACTERS_MAX
from duly.domain.aggregate import Aggregate, stream_of
from duly.errors import InvalidInput
from duly.failpoints import hit
from duly.messages.identity import checked_tenant
from duly.ports.archive import ARCHIVED_EVENTS_MAX, ArchiveStore
from duly.ports.change import Change, VersionCheck
from duly.ports.store import Committing
from duly.work.aggregate_type import AggregateType
from duly.work.stream_type import StreamType

STREAMS_PER_CALL_MAX: Final = 10_000


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one stream."""

    stream: str
    events: int
    """How many were put away now; what was put away before is not counted."""
    refused: str = ""
    """Why the rest of it stays where it is, in a sentence; empty when nothing is left."""


class ArchivingStore(Committing, ArchiveStore, Protocol):
    """What archiving needs of a store."""


class Archiver:
    """One person's order to put streams of a tenant away. It may be repeated, and goes on where it was cut short."""

    def __init__(
        self,
        store: ArchivingStore,
        aggregates: Mapping[type[Aggregate], AggregateType[Any]],
        *,
        tenant: str | None,
        digests: Collection[str],
        by: str,
        reason: str,
    ) -> None:
        """*digests* are those of the projections that have to be past an event. Raises `InvalidInput`."""
        self._store = store
        self._aggregates = aggregates
        self._tenant = checked_tenant(tenant)
        self._digests = digests
        self._by = _checked("by", by, NAME_CHARACTERS_MAX, "anna@example.com")
        self._reason = _checked("reason", reason, REASON_CHARACTERS_MAX, "closed in 2024")

    async def archive(self, aggregate: type[Aggregate] | str, ids: str | Sequence[str]) -> list[Archived]:
        """Put the streams of these aggregates away; what became of each. Raises `InvalidInput`, `StoreError`."""
        of = self._type(aggregate)
        wanted = [ids] if isinstance(ids, str) else list(dict.fromkeys(ids))
        if len(wanted) > STREAMS_PER_CALL_MAX:
            raise InvalidInput(
                f"{len(wanted):,} streams were named; the limit of one call is {STREAMS_PER_CALL_MAX:,}. Make several "
                "calls."
            )
        return [await self._one(of, aggregate_id) for aggregate_id in wanted]

    def _type(self, aggregate: type[Aggregate] | str) -> AggregateType[Any]:
        for cls, of in self._aggregates.items():
            if aggregate in (cls, of.name):
                return of
        known = ", ".join(sorted(of.name for of in self._aggregates.values())) or "none"
        name = aggregate if isinstance(aggregate, str) else aggregate.__qualname__
        raise InvalidInput(f"No module has aggregates {name!r}. Types of aggregates are: {known}.")

    async def _one(self, of: AggregateType[Any], aggregate_id: str) -> Archived:
        if isinstance(of, StreamType):
            await self._take_snapshot(of, aggregate_id)
        stream = stream_of(of.name, aggregate_id)
        events = 0
        while True:
            step = await self._store.archive(
                self._tenant,
                stream,
                digests=self._digests,
                by=self._by,
                reason=self._reason,
                events_max=ARCHIVED_EVENTS_MAX,
            )
            hit("archive.after_step")
            events += step.events
            if not step.has_more:
                return Archived(stream=stream, events=events, refused=step.refused)

    async def _take_snapshot(self, of: StreamType[Any], aggregate_id: str) -> None:
        """Have `get` leave the archive alone, if aggregates of this type take snapshots."""
        stored = await of.read(self._store, self._tenant, aggregate_id)
        snapshot = None if stored is None else of.snapshot_at_head(stored)
        if stored is None or snapshot is None:
            return
        # Whoever has changed it meanwhile has taken one, or the next archiving does.
        await self._store.commit(
            Change(
                tenant=self._tenant,
                checks=(VersionCheck(of.name, aggregate_id, stored.version),),
                snapshots=(snapshot,),
            )
        )


def _checked(name: str, text: str, characters_max: int, example: str) -> str:
    said = text.strip()
    if not 0 < len(said) <= characters_max or not said.isprintable():
        raise InvalidInput(
            f"{name} has 1 to {characters_max} printable characters; this one has {len(said)}. For instance: "
            f"{name}={example!r}."
        )
    return said
