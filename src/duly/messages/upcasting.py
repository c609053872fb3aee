"""How stored fields of an older version become what they are today: others, several messages, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from duly.errors import InvalidMessage, UpcastFailed
from duly.messages.message import Message

UPCASTS_PER_MESSAGE_MAX: Final = 1_000
"""How many upcasters one stored message may pass, those of the messages that it became included."""

JsonFields: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Upcasted:
    """One of the messages that a stored one has become: its fields as JSON has them, those of *version* of its type.

    *version* is written down, since the class goes on: upcasters from there on see these fields, too.
    """

    type: type[Message]
    fields: Mapping[str, object]
    version: int = field(kw_only=True)


Upcaster: TypeAlias = Callable[[JsonFields], JsonFields | Sequence[Upcasted] | None]
"""Takes the stored fields of one version, returns those of the next; a `Splitter` may return messages, or nothing."""


@dataclass(frozen=True, slots=True)
class Splitter:
    """An upcaster whose messages may be several ones, of the types *into*, or none."""

    step: Upcaster
    into: tuple[type[Message], ...]

    def __call__(self, fields: JsonFields) -> JsonFields | Sequence[Upcasted] | None:
        """What *fields* have become."""
        return self.step(fields)


Upcasters: TypeAlias = Mapping[int, Upcaster]
"""The upcasters of one type, by the version that they start from."""


def upcast_fields(fields: JsonFields, stored: int, present: int, upcasters: Upcasters) -> JsonFields:
    """*fields* of version *stored* as those of *present*, one to one; versions without an upcaster pass unchanged.

    Raises `UpcastFailed`, `InvalidMessage`.
    """
    for version in range(stored, present):
        step = upcasters.get(version)
        if step is None:
            continue
        made = _run(step, fields, version, "a document")
        if not isinstance(made, dict):
            raise InvalidMessage(
                f"{_named(step, version)} returned {_shown(made)} for a document. A document stays one document: "
                "return its fields."
            )
        fields = made
    return fields


def upcast_message(
    first: Upcasted, types: Mapping[type[Message], Upcasters], described: str
) -> tuple[tuple[type[Message], JsonFields], ...]:
    """What *first* is today, in order: types and the fields of their present versions.

    *types* are all known ones with their upcasters. Raises `UpcastFailed`, `InvalidMessage`.
    """
    done: list[tuple[type[Message], JsonFields]] = []
    waiting = [first]
    steps = 0
    while waiting:
        one = waiting.pop()
        step = types[one.type].get(one.version)
        if one.version == one.type.__duly__.version:
            done.append((one.type, dict(one.fields)))
            continue
        steps += 1
        if steps > UPCASTS_PER_MESSAGE_MAX:
            raise InvalidMessage(
                f"{described} passed {UPCASTS_PER_MESSAGE_MAX:,} upcasters and is not through, the last that of "
                f"{one.type.__qualname__} from version {one.version}. Look for upcasters that make each other's types."
            )
        waiting += reversed(_next(one, step, described))
    return tuple(done)


def _next(one: Upcasted, step: Upcaster | None, described: str) -> Sequence[Upcasted]:
    """What *one* is after its next upcaster, checked against what that one has declared."""
    if step is None:
        return (Upcasted(one.type, one.fields, version=one.version + 1),)
    made = _run(step, dict(one.fields), one.version, described)
    if isinstance(made, dict):
        return (Upcasted(one.type, made, version=one.version + 1),)
    where = _named(step, one.version)
    if not isinstance(step, Splitter):
        raise InvalidMessage(
            f"{where} returned {_shown(made)} for {described}. An upcaster that returns messages or nothing says "
            "which types it makes: @module.upcasts(…, into=(…)), into=() for nothing at all."
        )
    if made is None:
        return ()
    if not isinstance(made, list | tuple):
        raise InvalidMessage(f"{where} returned {_shown(made)} for {described}. Return fields, a list, or None.")
    for each in made:
        _check_made(each, one, step.into, where, described)
    return made


def _check_made(made: object, of: Upcasted, into: tuple[type[Message], ...], where: str, described: str) -> None:
    if not isinstance(made, Upcasted):
        raise InvalidMessage(f"{where} made {_shown(made)} of {described}. Make an Upcasted(type, fields, version=…).")
    if made.type not in into:
        declared = ", ".join(cls.__qualname__ for cls in into) or "nothing"
        raise InvalidMessage(
            f"{where} made a {made.type.__qualname__} of {described}, but declares {declared}. Name it in its into=(…)."
        )
    newest = made.type.__duly__.version
    oldest = of.version + 1 if made.type is of.type else 1
    if not oldest <= made.version <= newest:
        raise InvalidMessage(
            f"{where} made a {made.type.__qualname__} of version {made.version} of {described}; "
            f"it may be one of {oldest} to {newest}."
        )


def _run(step: Upcaster, fields: JsonFields, version: int, described: str) -> JsonFields | Sequence[Upcasted] | None:
    try:
        return step(fields)
    except Exception as error:
        raise UpcastFailed(
            f"{_named(step, version)} failed on {described}: {type(error).__name__}: {error}. Correct it and deploy; "
            "what was parked for it is then put back with app.unpark."
        ) from error


def _named(step: Upcaster, version: int) -> str:
    function = step.step if isinstance(step, Splitter) else step
    return f"The upcaster {getattr(function, '__qualname__', 'of a type')} from version {version}"


def _shown(made: object) -> str:
    """What an upcaster returned, without its values: they may be personal."""
    return "None" if made is None else f"a {type(made).__name__}"


def type_names(types: Iterable[type[Message]]) -> frozenset[str]:
    """The stored names of *types*, present and former."""
    return frozenset(name for cls in types for name in (cls.__duly__.name, *cls.__duly__.formerly))
