"""Markers for fields of messages and aggregates. To a type checker each is the plain type.

``Personal[str]`` is stored beside the message, keyed by subject, so that it can be erased. ``PhoneNumber`` and
``EmailAddress`` are checked at the door. ``Index[str]`` and ``Unique[str]`` make a field of an aggregate findable.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_type_hints

T = TypeVar("T")


class Marker(Enum):
    """What an annotated field is, beyond its type."""

    PERSONAL = "personal"
    PHONE_NUMBER = "phone number"
    EMAIL_ADDRESS = "e-mail address"
    INDEX = "index"
    UNIQUE = "unique"


Personal: TypeAlias = Annotated[T, Marker.PERSONAL]
PhoneNumber: TypeAlias = Annotated[str, Marker.PHONE_NUMBER]
EmailAddress: TypeAlias = Annotated[str, Marker.EMAIL_ADDRESS]
Index: TypeAlias = Annotated[T, Marker.INDEX]
Unique: TypeAlias = Annotated[T, Marker.UNIQUE]

ERASED: Final = "[erased]"
"""What a `Personal` field reads as once its subject was erased."""


def field_names(cls: type) -> tuple[str, ...]:
    """Names of the stored fields of a message or aggregate class, in order of definition."""
    names: tuple[str, ...] = getattr(cls, "__struct_fields__", ())
    return names


def marked_fields(cls: type, marker: Marker) -> tuple[str, ...]:
    """Names of the fields of *cls* that carry *marker*, in order of definition."""
    if not field_names(cls):
        return ()
    hints: dict[str, Any] = get_type_hints(cls, include_extras=True)
    return tuple(name for name, hint in hints.items() if marker in _metadata(hint))


def _metadata(hint: object) -> tuple[object, ...]:
    """The annotations of a hint, also of the members of a union such as ``Personal[str] | None``."""
    found: tuple[object, ...] = tuple(getattr(hint, "__metadata__", ()))
    for part in getattr(hint, "__args__", ()):
        found += _metadata(part)
    return found
