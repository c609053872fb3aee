"""The part of an application that is about positions: reading the log, and waiting until others have read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, TypeVar

from duly.domain.projection import Projection
from duly.errors import InvalidInput, NotReached
from duly.messages.identity import checked_tenant
from duly.messages.message import Command, Message
from duly.ports.projections import Generation
from duly.ports.store import Store
from duly.transaction.tracking import COMMITS_PER_STEP_MAX, Committed, Executed, Reached, Tracking, mark_of
from duly.work.event_log import EventLog
from duly.work.routes import Routes

R = TypeVar("R")

LOOK_AGAIN_SECONDS: Final = 0.002
"""The first wait for another look; they double."""
LOOK_AGAIN_SECONDS_MAX: Final = 0.02


class Bell:
    """Wakes whoever waits for projections of this process."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """A projection has moved on."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def heard(self, seconds_max: float) -> None:
        """Return when it rings, or after *seconds_max*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                await self._rung.wait()


class LogAccess:
    """What `Duly` offers of it."""

    _store: Store
    _routes: Routes
    _tracking: Tracking
    _bell: Bell

    async def execute_tracked(
        self, command: Command[R], *, tenant: str | None = None, command_id: str | None = None
    ) -> Executed[R]:
        """As `execute`, with a token: a short text for `wait_until`, which may travel in a cookie."""
        self._check_open()
        return await self._tracking.execute(command, tenant=self._scope(tenant), command_id=command_id)

    async def wait_until(
        self, token: str, *projections: Projection | str, time_max: timedelta = timedelta(seconds=5)
    ) -> None:
        """Return when *projections* show what the execution did that *token* came from; without any, all of them do.

        What subscribers do after the commit is not waited for. Raises `InvalidInput`, `StoreError`, and `NotReached`
        when it takes longer than *time_max*.
        """
        self._check_open()
        mark = mark_of(token)
        names = self._waited_for(projections)
        wait = _Wait(self._store, self._bell, time_max, on_numbered=self._numbered)
        match mark:
            case Reached(position=position):
                await wait.for_projections(names, position)
            case Committed(commit=commit) if names:
                await wait.for_projections(names, await wait.for_position(commit))
            case Committed():
                pass

    def log(
        self,
        tenant: str | None = None,
        *,
        after: int = 0,
        types: Collection[type[Message]] | None = None,
        every_tenant: bool = False,
    ) -> EventLog:
        """A tenant's domain events after a position, to be iterated over; with *every_tenant* those of all.

        With *types* only these. Events that nobody hears must be among *types*, or be offered by a module:
        ``Module(…, messages=[…])``. Raises `InvalidTenant`.
        """
        self._check_open()
        return EventLog(
            self._store,
            self._routes.catalog,
            tenant=None if every_tenant else checked_tenant(self._scope(tenant)),
            after=after,
            types=types,
        )

    def _waited_for(self, projections: Sequence[Projection | str]) -> list[str]:
        """Names of those that are run from the log: others show everything at once. Raises `InvalidInput`."""
        known = {route.name: route for route in self._routes.projections}
        named = [projection if isinstance(projection, str) else projection.name for projection in projections]
        unknown = sorted(set(named) - known.keys())
        if unknown:
            raise InvalidInput(
                f"There is no projection {', '.join(map(repr, unknown))}. This application has: "
                f"{', '.join(sorted(known)) or 'none'}. Give it to a module: Module(…, projections=[…])."
            )
        return sorted(name for name in set(named or known) if not known[name].projection.in_transaction)

    def _numbered(self) -> None:
        raise NotImplementedError

    def _check_open(self) -> None:
        raise NotImplementedError

    def _scope(self, tenant: str | None) -> str | None:
        raise NotImplementedError


class _Wait:
    """One call's waiting, until its time is over."""

    def __init__(self, store: Store, bell: Bell, time_max: timedelta, *, on_numbered: Callable[[], None]) -> None:
        self._store = store
        self._on_numbered = on_numbered
        self._bell = bell
        self._time_max = time_max
        self._deadline = asyncio.get_running_loop().time() + time_max.total_seconds()
        self._seconds = LOOK_AGAIN_SECONDS

    async def for_position(self, commit: int) -> int:
        """The position of a commit's last event. If it has none yet, nobody else is waited for."""
        while (position := await self._store.position_of(commit)) is None:
            if await self._store.number_commits(COMMITS_PER_STEP_MAX):
                self._on_numbered()  # no sequencer finds them any more
            else:
                await self._again(f"commit {commit} has no position yet")
        return position

    async def for_projections(self, names: Sequence[str], position: int) -> None:
        """Return when all of them are there."""
        left = list(names) if position else []
        while left:
            live = {at.projection: at for at in await self._store.projections(left) if at.is_live}
            left = [name for name in left if name not in live or live[name].position < position]
            if left:
                await self._again("; ".join(_told(name, live.get(name), position) for name in left))

    async def _again(self, what: str) -> None:
        if asyncio.get_running_loop().time() >= self._deadline:
            raise NotReached(f"After {self._time_max}, {what}. Is a worker running? See: await app.projections()")
        await self._bell.heard(self._seconds)
        self._seconds = min(2 * self._seconds, LOOK_AGAIN_SECONDS_MAX)


def _told(name: str, at: Generation | None, position: int) -> str:
    if at is None:
        return f"projection {name!r} is not in the database"
    why = f", and stands still: {at.reason}" if at.reason else ""
    return f"projection {name!r} has seen the log up to {at.position}, not {position}{why}"
