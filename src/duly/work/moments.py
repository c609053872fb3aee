"""Times to come, as callers give them: with a zone, or so long after the commit. Compared by the database's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from duly.clock import EPOCH, to_milliseconds
from duly.errors import InvalidInput

Moment: TypeAlias = datetime | timedelta
"""A time with a zone, or a wait from the commit on."""

WAIT_DAYS_MAX: Final = 3_650
"""How far ahead something may be scheduled by a wait; by a time, until the year 9000."""
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)


def milliseconds_of(name: str, moment: Moment | None) -> tuple[int | None, int | None]:
    """A time as milliseconds since 1970, or a wait in milliseconds. Raises `InvalidInput`."""
    match moment:
        case None:
            return None, None
        case timedelta():
            if moment < timedelta():
                raise InvalidInput(f"{name}={moment} lies before the commit. Use a wait of zero or more.")
            if moment.days >= WAIT_DAYS_MAX:
                raise InvalidInput(f"{name}={moment} is too far ahead. Use a wait of less than {WAIT_DAYS_MAX:,} days.")
            return None, to_milliseconds(moment)
        case datetime():
            if moment.tzinfo is None:
                raise InvalidInput(f"{name}={moment} has no time zone. Use datetime(…, tzinfo=UTC) or another zone.")
            if not EPOCH <= moment < _LATEST:
                raise InvalidInput(f"{name}={moment} is no time to wait for. Use one between 1970 and 9000.")
            return to_milliseconds(moment - EPOCH), None
