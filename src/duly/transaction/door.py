"""What is checked of a message's fields when it comes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from duly.messages.fields import Marker, marked_fields
from duly.messages.message import Message

FieldCheck: TypeAlias = Callable[[str, str], object]
"""Takes a value and the name of its field; raises `InvalidField`."""


class FieldChecks:
    """Checks fields that are marked as phone numbers or addresses, of types that were looked into."""

    def __init__(self, checks: Mapping[Marker, FieldCheck]) -> None:
        self._checks = checks
        self._fields: dict[type[Message], tuple[tuple[str, FieldCheck], ...]] = {}

    def look_into(self, cls: type[Message]) -> None:
        """Learn what is to be checked of messages of a type."""
        self._fields[cls] = tuple(
            (field, check) for marker, check in self._checks.items() for field in marked_fields(cls, marker)
        )

    def check(self, message: Message) -> None:
        """Raises `InvalidField`, naming the field."""
        cls = type(message)
        for field, check in self._fields[cls]:
            value = getattr(message, field)
            if value is not None:
                check(value, f"{cls.__duly__.name}.{field}")
