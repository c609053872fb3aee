"""What objects held at a moment, so that the very same objects can hold it again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec


class Memory:
    """What an aggregate and everything mutable in it held: fields, entities, lists, recorded events not yet heard.

    Whoever has a part of it in hand, such as one line of an order, sees that part restored too.
    """

    def __init__(self, value: object) -> None:
        self._held: dict[int, tuple[Any, Any]] = {}
        """By identity: each mutable object, and a copy of its contents."""
        self._remember(value)

    def restore(self) -> None:
        """Put everything back. It may be done again."""
        for value, contents in self._held.values():
            match value:
                case list() | bytearray():
                    value[:] = contents
                case dict() | set():
                    value.clear()
                    value.update(contents)
                case msgspec.Struct():
                    for name, part in contents.items():
                        msgspec.Struct.__setattr__(value, name, part)  # also where the class guards its fields
                case _:
                    for name, part in contents.items():
                        object.__setattr__(value, name, part)  # also where a class has hooks of its own

    def _remember(self, value: Any) -> None:
        if id(value) in self._held:
            return
        contents: Any
        parts: Iterable[object] = ()
        match value:
            case list():
                contents = parts = list(value)
            case dict():
                contents = dict(value)
                parts = contents.values()
            case set() | bytearray():
                contents = value.copy()
            case tuple():
                contents, parts = None, value
            case _:
                names = _fields(value)
                if not names:
                    return
                contents = {name: getattr(value, name) for name in names}
                parts = (*contents.values(), getattr(value, "__dict__", None))
        if not _is_frozen(value):
            self._held[id(value)] = (value, contents)
        for part in parts:
            self._remember(part)


def _fields(value: object) -> Collection[str]:
    """Names of the fields of whatever has fields and can be in a document; empty for a text, a number, a time."""
    match value:
        case msgspec.Struct():
            return value.__struct_fields__
        case _ if hasattr(value, "__dataclass_fields__"):
            return tuple(value.__dataclass_fields__)
        case _:
            return tuple(attribute.name for attribute in getattr(value, "__attrs_attrs__", ()))


def _is_frozen(value: object) -> bool:
    return isinstance(value, tuple) or (isinstance(value, msgspec.Struct) and value.__struct_config__.frozen)
