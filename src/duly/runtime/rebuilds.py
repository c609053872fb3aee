"""Rebuilds of an application's projections."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Final
from uuid import uuid4

from duly.delivery.projector import Projector, Terms
from duly.delivery.rebuild import OnRebuild, Rebuilder, Rebuilt
from duly.errors import InvalidInput
from duly.ports.store import Store
from duly.runtime.settings import Settings
from duly.work.routes import Routes

POSITIONS_PER_BATCH_MAX: Final = 2_000
"""Of the log: how many a rebuild handles in one transaction."""
BATCH_TIME_MAX: Final = timedelta(seconds=1)


async def rebuild_projection(
    store: Store, routes: Routes, name: str, settings: Settings, *, fresh: bool, on_progress: OnRebuild | None
) -> Rebuilt:
    """Rebuild one projection. Raises `InvalidInput`, `RebuildRefused`, `RebuildFailed`, `StoreError`."""
    known = {route.name: route for route in routes.projections}
    if name not in known:
        raise InvalidInput(f"There is no projection {name!r}. Projections are: {', '.join(sorted(known)) or 'none'}.")
    terms = Terms(
        events_max=POSITIONS_PER_BATCH_MAX,
        batch_time_max=BATCH_TIME_MAX,
        handler_time_max=settings.handler_time_max,
        lease=settings.lease,
    )
    owner = f"rebuild:{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
    projector = Projector(known[name], routes.catalog, store, terms, owner=owner)
    rebuilder = Rebuilder(projector, store, page_max=terms.events_max, on_progress=on_progress)
    return await rebuilder.rebuild(fresh=fresh)
