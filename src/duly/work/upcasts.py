"""The upcasters of all modules: gathered and checked once, at start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Union, get_args, get_origin, get_type_hints

from duly.messages.message import Command, DomainEvent, Effect, Message, PublicEvent, Query
from duly.messages.upcasting import Splitter, Upcasted, Upcaster
from duly.work.module import Module, Upcast

_ROOTS = (Command, Query, DomainEvent, PublicEvent, Effect)


def gather_upcasters(modules: Sequence[Module]) -> tuple[dict[type, dict[int, Upcaster]], list[str]]:
    """Upcasters by type and by the version that they start from; and what is wrong with them, with the cures."""
    found: dict[type, dict[int, Upcaster]] = defaultdict(dict)
    mistakes: list[str] = []
    for module in modules:
        for upcast in module.upcasts_defined:
            version = upcast.cls.__duly__.version
            if not 1 <= upcast.from_version < version:
                mistakes.append(
                    f"Module {module.name!r} upcasts {upcast.cls.__qualname__} from version {upcast.from_version}, "
                    f"but the class is version {version}. Say version={upcast.from_version + 1} in its class "
                    "statement."
                )
            if upcast.from_version in found[upcast.cls]:
                mistakes.append(
                    f"{upcast.cls.__qualname__} is upcast from version {upcast.from_version} twice. Remove one."
                )
            mistakes += _mistakes_of(upcast)
            found[upcast.cls][upcast.from_version] = upcast.step
    return found, mistakes


def types_of_upcasts(modules: Sequence[Module]) -> Iterator[type[Message]]:
    """The message types that upcasters start from or make: stored ones are read though nobody hears them any more."""
    for module in modules:
        for upcast in module.upcasts_defined:
            if issubclass(upcast.cls, Message):
                yield upcast.cls
            if isinstance(upcast.step, Splitter):
                yield from filter(_is_message, upcast.step.into)


def _mistakes_of(upcast: Upcast) -> Iterator[str]:
    where = f"The upcaster of {upcast.cls.__qualname__} from version {upcast.from_version}"
    if not isinstance(upcast.step, Splitter):
        if _says_other_than_fields(upcast.step):
            cure = (
                "say which types it makes: into=(…), and into=() for nothing at all."
                if issubclass(upcast.cls, Message)
                else "a document stays one document: return its fields."
            )
            yield f"{where} is annotated to return something else than fields; {cure}"
        return
    if not issubclass(upcast.cls, Message):
        yield f"{where} has into=(…), but a document stays one document. Leave into= out."
        return
    for cls in upcast.step.into:
        if not _is_message(cls):
            yield f"{where} names {cls!r} in into=(…), which is no type of messages."
        elif _root_of(cls) is not _root_of(upcast.cls):
            root = _root_of(upcast.cls).__name__
            yield f"{where} makes {cls.__qualname__}, but what was a {root} becomes {root}s only. Name another type."


def _is_message(cls: object) -> bool:
    """Whether it is a type of messages: modules without a type checker name anything."""
    return isinstance(cls, type) and issubclass(cls, Message)


def _root_of(cls: type) -> type:
    return next((root for root in _ROOTS if issubclass(cls, root)), cls)


def _says_other_than_fields(step: Upcaster) -> bool:
    """Whether an upcaster is annotated to return nothing, or messages; False where that cannot be read."""
    try:
        hint = get_type_hints(step).get("return", dict)
    except (NameError, TypeError):
        return False
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return any(member in (None, NoneType) or Upcasted in get_args(member) for member in members)
