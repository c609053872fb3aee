"""What goes to an HTTP provider and what comes back. Pure, without a driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

RESPONSE_BYTES_MAX: Final = 64 * 1024
PROVIDER_ID_CHARACTERS_MAX: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HttpRequest:
    """One POST. It has no repr of its own: the URL and the headers may hold secrets."""

    url: str
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HttpResponse:
    """A status that came in. *whole* is False, and the body empty, when that did not or is too large."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    def json(self) -> dict[str, object]:
        """The body as a JSON object; empty when it is none."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}


def provider_id(value: object) -> str | None:
    """*value* of an answer's field as a provider's id; None when it cannot be one."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= PROVIDER_ID_CHARACTERS_MAX or not value.isprintable():
        return None
    return value
