"""Finds, at start, types that could not be stored."""

from __future__ import annotations

from typing import Any

import msgspec

from duly.messages.fields import Marker, marked_fields


def storage_mistakes(cls: type) -> list[str]:
    """What stands in the way of storing *cls* as JSON, one sentence each; empty when nothing does."""
    try:
        info = msgspec.inspect.type_info(cls)
    except (TypeError, NameError) as error:
        return [f"{cls.__qualname__} cannot be stored: {error}. Use types that JSON can hold."]
    mistakes: list[str] = []
    _walk(info, cls.__qualname__, mistakes, set())
    hints = {field.name: field for field in msgspec.structs.fields(cls)}
    mistakes += [
        f"{cls.__qualname__}.{name} is Personal but no str. Make it Personal[str] (or | None)."
        for name in marked_fields(cls, Marker.PERSONAL)
        if not _is_text(hints[name].type)
    ]
    try:
        msgspec.json.Decoder(cls)
    except TypeError as error:
        mistakes.append(f"{cls.__qualname__} cannot be read back from JSON: {error}.")
    return mistakes


def _walk(info: msgspec.inspect.Type, path: str, mistakes: list[str], seen: set[type]) -> None:
    match info:
        case msgspec.inspect.CustomType(cls=custom):
            mistakes.append(
                f"{path} has the type {custom.__qualname__}, which JSON cannot hold. Use str, int, float, bool, "
                "Decimal, datetime, date, UUID, Enum, list, dict, or a Value."
            )
        case msgspec.inspect.StructType(cls=struct, fields=fields):
            if struct in seen:
                return
            seen.add(struct)
            for field in fields:
                _walk(field.type, f"{path}.{field.name}", mistakes, seen)
        case msgspec.inspect.UnionType(types=types):
            for part in types:
                _walk(part, path, mistakes, seen)
        case msgspec.inspect.CollectionType(item_type=item):
            _walk(item, f"{path}[]", mistakes, seen)
        case msgspec.inspect.TupleType(item_types=items):
            for item in items:
                _walk(item, f"{path}[]", mistakes, seen)
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            _walk(key, f"{path} (key)", mistakes, seen)
            _walk(value, f"{path} (value)", mistakes, seen)
        case _:
            pass


def _is_text(hint: Any) -> bool:
    """Whether a hint is ``str`` or ``str | None``, markers aside."""
    parts = [part for part in getattr(hint, "__args__", ()) if part is not type(None)]
    if hasattr(hint, "__metadata__"):
        return _is_text(hint.__origin__)
    return hint is str or (len(parts) == 1 and _is_text(parts[0]))
