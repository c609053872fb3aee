"""What a verified report says of the dispatch of its effect: the provider has taken it, whatever came of it there.

Rules
 1. `unknown` is settled by it: `accepted`. A retry or a look-up that was to come is called off.
 2. While an effect is `attempting` the report waits; it is applied once the attempt has ended.
 3. `requested`, `scheduled`, `queued` and `held` say that nothing has gone through, and yet something has: the effect
    is `held`, and a person is told. It is not attempted again by itself.
 4. `failed`, `suppressed`, `expired` and `cancelled` are final: they stay, and a person is told.
 5. `accepted` it was before.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from duly.states.effect import Dispatch


class Meaning(Enum):
    """What a report means for the dispatch of its effect. Its delivery is recorded in every case but *wait*."""

    SETTLES = "settles"
    """An unknown outcome is settled: it was accepted."""
    WAITS = "waits"
    """An attempt is under way: the report is applied when it has ended."""
    HOLDS_BACK = "holds back"
    """What was to be attempted has been taken already: it is held, for a person."""
    CONTRADICTS = "contradicts"
    """What is closed as not sent has been taken: a person should know."""
    AGREES = "agrees"


_D = Dispatch

MEANINGS: Final[Mapping[Dispatch, Meaning]] = {
    _D.UNKNOWN: Meaning.SETTLES,
    _D.ATTEMPTING: Meaning.WAITS,
    _D.REQUESTED: Meaning.HOLDS_BACK,
    _D.SCHEDULED: Meaning.HOLDS_BACK,
    _D.QUEUED: Meaning.HOLDS_BACK,
    _D.HELD: Meaning.HOLDS_BACK,
    _D.FAILED: Meaning.CONTRADICTS,
    _D.SUPPRESSED: Meaning.CONTRADICTS,
    _D.EXPIRED: Meaning.CONTRADICTS,
    _D.CANCELLED: Meaning.CONTRADICTS,
    _D.ACCEPTED: Meaning.AGREES,
}
"""What a report means in each state."""
