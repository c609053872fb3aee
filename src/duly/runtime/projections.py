"""Projections of an application, as it starts and while people wait for them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from duly.errors import SchemaOutdated
from duly.ports.store import Store
from duly.telemetry import log
from duly.work.projecting import ProjectionRoute


async def prepare_projections(store: Store, routes: Sequence[ProjectionRoute], *, is_new: bool) -> None:
    """Make the rows of new projections; with *is_new* (a database made now) also their tables.

    Raises `SchemaOutdated` when tables are missing, or those of an in-transaction projection are others.
    """
    if not routes:
        return
    shapes = [route.shape() for route in routes]
    await store.make_projections([shape for shape in shapes if is_new or not shape.statements])
    live = {generation.projection: generation for generation in await store.projections() if generation.is_live}
    missing = sorted({route.name for route in routes} - live.keys())
    if missing:
        raise SchemaOutdated(
            f"The database {store.url} lacks the tables of projections: {', '.join(missing)}. "
            "Run: duly migrate module:application"
        )
    for route in routes:
        if live[route.name].digest == route.digest:
            continue
        told = f"Projection {route.name!r} was built in {store.url} with other tables, or another version"
        if route.projection.in_transaction:
            raise SchemaOutdated(f"{told}, and commands would write into it. Rebuild it first.")
        log(logging.WARNING, f"{told}. It is left to older code, and otherwise stands still, until it is rebuilt.")


def kept_up(routes: Sequence[ProjectionRoute]) -> list[ProjectionRoute]:
    """Those that are run from the log."""
    return [route for route in routes if not route.projection.in_transaction]
