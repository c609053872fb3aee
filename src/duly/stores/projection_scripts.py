"""Projections' checkpoints, as scripts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from duly.clock import from_milliseconds, to_milliseconds
from duly.ports.projections import Advance, Generation, Shape
from duly.stores.script import Row, Script, Statement, storable

ALL_PROJECTIONS: Final = "duly"
"""What is locked while projections are made: one process does it at a time."""

COLUMNS: Final = (
    "name, generation, state, position, digest, tables, CASE WHEN until_ms > duly.now_ms() THEN owner END, attempts, "
    "reason, CASE WHEN retry_ms > duly.now_ms() THEN retry_ms - duly.now_ms() ELSE 0 END"
)

# The position is the fence: of two that have read the same stretch of the log, one moves it; the other finds it moved,
# after it has waited for the lock on the row.
ADVANCE: Final = """
UPDATE duly.projection
   SET position = :ends, owner = :owner, until_ms = duly.now_ms() + :lease_ms, attempts = 0, retry_ms = 0, reason = '',
       changed_ms = duly.now_ms()
 WHERE name = :name AND generation = :generation AND position = :begins
"""
FAIL: Final = """
UPDATE duly.projection
   SET attempts = :attempts, retry_ms = duly.now_ms() + :wait_ms, reason = :reason, owner = :owner,
       until_ms = duly.now_ms() + :lease_ms, changed_ms = duly.now_ms()
 WHERE name = :name AND generation = :generation AND position = :begins
"""
CLAIM: Final = """
UPDATE duly.projection SET owner = :owner, until_ms = duly.now_ms() + :lease_ms
 WHERE name = :name AND generation = :generation
   AND (owner IS NULL OR owner = :owner OR until_ms <= duly.now_ms())
"""
RELEASE: Final = "UPDATE duly.projection SET owner = NULL, until_ms = 0 WHERE owner = :owner"
INSERT: Final = """
INSERT INTO duly.projection (name, generation, state, digest, tables, position, started_ms, changed_ms)
VALUES (:name, :generation, :state, :digest, :tables, 0, duly.now_ms(), duly.now_ms())
"""
# What is not numbered yet is behind, too.
UNPROJECTED: Final = """
SELECT count(*) FROM duly.projection AS p
 WHERE p.digest = ANY(:digests) AND p.state = 'live' AND p.retry_ms <= duly.now_ms() + :within_ms
   AND (p.position < (SELECT h.next_position - 1 FROM duly.log_head AS h)
        OR EXISTS (SELECT 1 FROM duly.unnumbered))
"""


def advance_script(advance: Advance) -> Script[bool]:
    """Move a checkpoint."""
    done = yield Statement(
        ADVANCE,
        {
            "name": advance.projection,
            "generation": advance.generation,
            "begins": advance.begins,
            "ends": advance.ends,
            "owner": advance.owner,
            "lease_ms": to_milliseconds(advance.lease),
        },
    )
    return done.changed == 1


def fail_script(at: Advance, attempts: int, wait: timedelta, reason: str) -> Script[bool]:
    """Write down why a generation stands still."""
    done = yield Statement(
        FAIL,
        {
            "name": at.projection,
            "generation": at.generation,
            "begins": at.begins,
            "attempts": attempts,
            "wait_ms": to_milliseconds(wait),
            "reason": storable(reason),
            "owner": at.owner,
            "lease_ms": to_milliseconds(at.lease),
        },
    )
    return done.changed == 1


def claim_script(name: str, number: int, owner: str, lease: timedelta) -> Script[Generation | None]:
    """Take a generation, if it is free."""
    parameters: dict[str, object] = {"name": name, "generation": number}
    yield Statement(CLAIM, {**parameters, "owner": owner, "lease_ms": to_milliseconds(lease)})
    found = yield Statement(
        f"SELECT {COLUMNS} FROM duly.projection WHERE name = :name AND generation = :generation", parameters
    )
    return _generation(found.rows[0]) if found.rows else None


def release_script(owner: str) -> Script[None]:
    """Let go of all generations of one owner."""
    yield Statement(RELEASE, {"owner": owner})


def generations_script(names: Collection[str] | None) -> Script[list[Generation]]:
    """Generations, by name, the live one first."""
    chosen, parameters = ("", {}) if names is None else (" WHERE name = ANY(:names)", {"names": sorted(names)})
    found = yield Statement(
        f"SELECT {COLUMNS} FROM duly.projection{chosen} ORDER BY name, CASE state WHEN 'live' THEN 0 ELSE 1 END, "
        "generation",
        parameters,
    )
    return [_generation(row) for row in found.rows]


def add_generation_script(shape: Shape, number: int, *, is_live: bool) -> Script[None]:
    """The row of a new generation, at position 0."""
    yield Statement(
        INSERT,
        {
            "name": shape.name,
            "generation": number,
            "state": "live" if is_live else "building",
            "digest": shape.digest,
            "tables": " ".join(shape.tables),
        },
    )


def unprojected_script(digests: Sequence[str], within: timedelta) -> Script[int]:
    """How many projections are behind the log."""
    found = yield Statement(UNPROJECTED, {"digests": list(digests), "within_ms": to_milliseconds(within)})
    count: int = found.rows[0][0]
    return count


def share_script(name: str) -> Script[Generation]:
    """Share a projection; its live generation."""
    yield Statement("SELECT duly.share_projection(:name)", {"name": name})
    # A statement of its own: it sees what was committed while the first one waited.
    found = yield Statement(
        f"SELECT {COLUMNS} FROM duly.projection WHERE name = :name AND state = 'live'", {"name": name}
    )
    return _generation(found.rows[0])


def lock_script(name: str) -> Script[None]:
    """Have a projection alone."""
    yield Statement("SELECT duly.lock_projection(:name)", {"name": name})


def _generation(row: Row) -> Generation:
    name, number, state, position, digest, tables, owner, attempts, reason, wait_ms = row
    return Generation(
        projection=name,
        number=number,
        is_live=state == "live",
        position=position,
        digest=digest,
        tables=tuple(tables.split()),
        owner=owner,
        attempts=attempts,
        reason=reason,
        wait=from_milliseconds(wait_ms),
    )
