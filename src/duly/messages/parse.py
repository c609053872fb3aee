"""Messages from outside data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from duly.messages.codec import Codec
from duly.messages.message import Message

M = TypeVar("M", bound=Message)


def parse_message(cls: type[M], data: str | bytes | Mapping[str, object]) -> M:
    """A message from JSON text or a mapping: every field checked, unknown ones refused. Raises `InvalidMessage`."""
    return Codec(cls, cls.__duly__.name).parse(data)
