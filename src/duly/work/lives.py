"""Versions of documents: the lower half counts changes, the upper half tells one life of an id from the next.

A document that is removed and created again would begin with version 1 again, and who has read the first one would take
the second one for it at the commit. Nothing is left of a removed document that could say how far it came, so the upper
half is drawn by lot. See ADR-0028.
"""

from __future__ import annotations

from random import getrandbits
from typing import Final

COUNT_BITS: Final = 32
LIFE_BITS: Final = 31
_COUNT: Final = (1 << COUNT_BITS) - 1


def first_version() -> int:
    """The version of a new document: its first, of a life that no other document had."""
    return getrandbits(LIFE_BITS) << COUNT_BITS | 1


def changes_counted(version: int) -> int:
    """How many changes a document has seen since it was created, that included."""
    return version & _COUNT
