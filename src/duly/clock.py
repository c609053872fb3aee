"""Durations. There is no *now* here: due times are compared by the database's clock, in SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_milliseconds(duration: timedelta) -> int:
    """A duration in whole milliseconds, rounded towards zero."""
    return duration // _MILLISECOND


def from_milliseconds(milliseconds: int) -> timedelta:
    """A duration of so many milliseconds."""
    return timedelta(milliseconds=milliseconds)


@lru_cache(maxsize=256)  # what one commit wrote has one time, and is read together
def time_of(milliseconds: int) -> datetime:
    """The UTC time so many milliseconds after 1970-01-01T00:00Z: how both stores keep times."""
    return EPOCH + timedelta(milliseconds=milliseconds)
