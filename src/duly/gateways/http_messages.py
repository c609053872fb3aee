"""What goes to an HTTP provider and what comes back. Pure, without a driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

RESPONSE_BYTES_MAX: Final = 64 * 1024
PROVIDER_ID_CHARACTERS_MAX: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HttpRequest:
    """One request. It has no repr of its own: the URL and the headers may hold secrets."""

    url: str
    method: Literal["GET", "POST"] = "POST"
    content_type: str = ""
    body: bytes = b""
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

    def document(self) -> object:
        """The body as JSON of any kind; None when it is none."""
        return json_document(self.body)


def json_document(body: bytes) -> object:
    """*body* as JSON of any kind; None when it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def field_at(document: object, path: str) -> object:
    """What a JSON document holds at *path*: ``"data.id"`` looks inside ``data``, ``""`` is all of it; None without."""
    found = document
    for step in path.split(".") if path else ():
        found = found.get(step) if isinstance(found, dict) else None
    return found


def provider_id(value: object) -> str | None:
    """*value* of an answer's field as a provider's id; None when it cannot be one."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= PROVIDER_ID_CHARACTERS_MAX or not value.isprintable():
        return None
    return value


def time_of(value: object) -> datetime | None:
    """*value* of a report's field as a time; None when it is none. Without a zone it is in UTC."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time if time is None or time.tzinfo else time.replace(tzinfo=UTC)
