"""Places in a tenant's ledger as texts that a page hands out: opaque, and good as long as the ledger is."""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode
from typing import Final

from duly.errors import InvalidInput
from duly.ports.ledger_view import Place

_CURSOR: Final = re.compile(r"(\d{1,15})\.(\d{1,18})", re.ASCII)


def cursor_of(place: Place) -> str:
    """A place as the text that a page hands out."""
    return urlsafe_b64encode(f"{place.requested_ms}.{place.no}".encode()).decode().rstrip("=")


def place_of(cursor: str) -> Place:
    """The place that *cursor* stands for. Raises `InvalidInput`."""
    try:
        text = b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, AttributeError):
        text = ""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise InvalidInput(f"after={cursor!r:.100} is no cursor. Use `next` of the page before, unchanged.")
    return Place(int(found[1]), int(found[2]))
