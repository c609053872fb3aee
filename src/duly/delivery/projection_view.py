"""What people see of projections."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import msgspec

from duly.ports.log import LogStore
from duly.ports.projections import Generation, ProjectionStore
from duly.work.projecting import ProjectionRoute


class ProjectionState(Enum):
    """How a generation of a projection stands."""

    CURRENT = "current"
    """It has seen everything that has a position."""
    BEHIND = "behind"
    FAILING = "failing"
    """It stands still at an event that fails, and tries again."""
    WAITING = "waiting"
    """It stands still at an event that newer code has written."""
    OUTDATED = "outdated"
    """Its tables or its version differ from those of this code: rebuild it. Other code may keep it up meanwhile."""
    IN_TRANSACTION = "in transaction"
    """Commands write it themselves."""
    BUILDING = "building"
    """A shadow, which takes the place of the live one when it is built."""
    OLD = "old"
    """A rebuild has replaced it; what is left of it is being removed."""
    UNKNOWN = "unknown"
    """This code has no such projection."""


class ProjectionView(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of a projection."""

    name: str
    generation: int
    state: ProjectionState
    position: int
    """Of the last event that it has seen."""
    lag: int
    """How many positions it is behind."""
    attempts: int
    """Failures at the next event so far."""
    reason: str
    """Why it stands still; empty when it does not."""


class ViewStore(LogStore, ProjectionStore, Protocol):
    """What a view of projections needs."""


async def projection_views(store: ViewStore, routes: Sequence[ProjectionRoute]) -> list[ProjectionView]:
    """All generations that the database knows, by name, the live one first."""
    generations = await store.projections()
    head = await store.log_head()
    known = {route.name: route for route in routes}
    return [_view(generation, known.get(generation.projection), head) for generation in generations]


def _view(generation: Generation, route: ProjectionRoute | None, head: int) -> ProjectionView:
    in_transaction = route is not None and route.projection.in_transaction and generation.is_live
    return ProjectionView(
        name=generation.projection,
        generation=generation.number,
        state=_state(generation, route, head),
        position=max(generation.position, 0),
        lag=0 if in_transaction or generation.is_old else max(head - generation.position, 0),
        attempts=generation.attempts,
        reason=generation.reason,
    )


def _state(generation: Generation, route: ProjectionRoute | None, head: int) -> ProjectionState:
    if not generation.is_live:
        return ProjectionState.OLD if generation.is_old else ProjectionState.BUILDING
    if route is None:
        return ProjectionState.UNKNOWN
    if generation.digest != route.digest:
        return ProjectionState.OUTDATED
    if route.projection.in_transaction:
        return ProjectionState.IN_TRANSACTION
    if generation.attempts:
        return ProjectionState.FAILING
    if generation.reason:
        return ProjectionState.WAITING
    return ProjectionState.CURRENT if generation.position >= head else ProjectionState.BEHIND
