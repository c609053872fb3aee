"""Which method of an event-sourced aggregate applies which event: read from annotations, once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType, UnionType
from typing import Any, Final, TypeGuard, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from duly.domain.aggregate import Aggregate
from duly.messages.fields import Marker, marked_fields
from duly.messages.message import DomainEvent

APPLIES: Final = "__duly_applies__"
"""The mark of an applies method."""


class ApplyTable(msgspec.Struct, frozen=True, kw_only=True):
    """What is applied by what."""

    cls: type[Any]
    open: type[Any]
    """The class without the guard of its fields."""
    methods: dict[type[DomainEvent], Callable[..., None]]
    ignored: frozenset[type[DomainEvent]]
    mutable: tuple[str, ...]
    """The fields whose values can change in themselves: lists, entities."""
    blank: bytes
    """What these fields hold before the first event, as MessagePack."""

    @property
    def events(self) -> tuple[type[DomainEvent], ...]:
        """All events that it may record."""
        return (*self.methods, *self.ignored)


def build_table(
    cls: type[Aggregate], ignores: Sequence[type[DomainEvent]], snapshot_every: int | None
) -> tuple[ApplyTable, list[str]]:
    """The table of *cls*, and what is wrong with it."""
    mistakes: list[str] = []
    methods: dict[type[DomainEvent], Callable[..., None]] = {}
    for function in _applies_methods(cls, mistakes):
        for event in _events_of(cls, function, mistakes):
            other = methods.setdefault(event, function)
            if other is not function:
                mistakes.append(
                    f"{cls.__qualname__} applies {event.__qualname__} twice: in {other.__name__} and in "
                    f"{function.__name__}. Keep one."
                )
    mistakes += _mistakes_of_ignores(cls, ignores, methods)
    mistakes += _mistakes_of_snapshots(cls, snapshot_every, (*methods, *ignores))
    mutable, blank = _mutable_fields(cls, mistakes)
    table = ApplyTable(cls=cls, open=cls, methods=methods, ignored=frozenset(ignores), mutable=mutable, blank=blank)
    return table, mistakes


def _applies_methods(cls: type, mistakes: list[str]) -> list[FunctionType]:
    found: dict[str, FunctionType] = {}
    for owner in reversed(cls.__mro__):
        for name, value in vars(owner).items():
            if isinstance(value, FunctionType) and APPLIES in value.__dict__:
                found[name] = value
            elif name in found:
                mistakes.append(
                    f"{owner.__qualname__}.{name} takes the place of an applies method without being one. Write "
                    "@applies before it, or give it another name."
                )
    return list(found.values())


def _events_of(cls: type, function: FunctionType, mistakes: list[str]) -> Iterator[type[DomainEvent]]:
    where = f"{cls.__qualname__}.{function.__name__}"
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 2 or inspect.iscoroutinefunction(function):
        mistakes.append(f"{where} cannot apply events. Write it as @applies def …(self, event: …) -> None.")
        return
    try:
        hint = get_type_hints(function).get(parameters[1].name)
    except (NameError, TypeError) as error:
        mistakes.append(
            f"{where}: its annotations cannot be read ({error}). Import what they name at the top of the module, not "
            "under TYPE_CHECKING, and define it outside of functions."
        )
        return
    for member in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if _is_event(member):
            yield member
        else:
            spelled = member.__qualname__ if isinstance(member, type) else str(member)
            mistakes.append(
                f"{where} applies {spelled}, which is no DomainEvent of yours. Annotate its parameter with the event."
            )


def _mistakes_of_ignores(
    cls: type, ignores: Sequence[object], methods: dict[type[DomainEvent], Callable[..., None]]
) -> Iterator[str]:
    for event in ignores:
        if not _is_event(event):
            yield f"{cls.__qualname__} ignores {event!r}, which is no type of domain events. Take it out."
        elif event in methods:
            yield f"{cls.__qualname__} ignores {event.__qualname__}, and {methods[event].__name__} applies it. Choose."


def _mistakes_of_snapshots(cls: type, snapshot_every: int | None, events: Sequence[type[DomainEvent]]) -> Iterator[str]:
    if snapshot_every is None:
        return
    if snapshot_every < 1:
        yield f"{cls.__qualname__} has snapshot_every={snapshot_every}. Use a number of events, such as 100, or none."
    for event in events:
        if _is_event(event) and (personal := marked_fields(event, Marker.PERSONAL)):
            yield (
                f"{cls.__qualname__} takes snapshots and applies {event.__qualname__}, whose {', '.join(personal)} can "
                "be erased; a snapshot would keep it. Leave snapshot_every out, or keep personal data in an aggregate "
                "of its own."
            )


def _is_event(value: object) -> TypeGuard[type[DomainEvent]]:
    """Whether it is a type of domain events: classes that are not checked may be given anything."""
    return isinstance(value, type) and issubclass(value, DomainEvent) and value is not DomainEvent


def _mutable_fields(cls: type[Aggregate], mistakes: list[str]) -> tuple[tuple[str, ...], bytes]:
    try:
        fields = msgspec.structs.fields(cast("type[msgspec.Struct]", cls))
        kinds = msgspec.inspect.type_info(cls)
    except (NameError, TypeError):
        return (), b""  # told by whoever looks whether it can be stored
    without = [field.name for field in fields if field.required and field.name != "id"]
    if without:
        mistakes += [
            f"{cls.__qualname__}.{name} has no default. It has a value before the first event: write {name}: … = …."
            for name in without
        ]
        return (), b""
    assert isinstance(kinds, msgspec.inspect.StructType)
    mutable = tuple(field.name for field in kinds.fields if _is_mutable(field.type, set()))
    defaults = {field.name: field for field in fields}
    blank = [_default(defaults[name]) for name in mutable]
    return mutable, msgspec.msgpack.encode(blank)


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _is_mutable(info: msgspec.inspect.Type, seen: set[type]) -> bool:
    """Whether a value of this type can change without being replaced."""
    match info:
        case msgspec.inspect.StructType(cls=struct, fields=fields):
            if struct in seen:
                return False
            seen.add(struct)
            frozen = struct.__struct_config__.frozen
            return not frozen or any(_is_mutable(field.type, seen) for field in fields)
        case msgspec.inspect.UnionType(types=types):
            return any(_is_mutable(part, seen) for part in types)
        case msgspec.inspect.VarTupleType(item_type=item) | msgspec.inspect.FrozenSetType(item_type=item):
            return _is_mutable(item, seen)
        case msgspec.inspect.TupleType(item_types=items):
            return any(_is_mutable(item, seen) for item in items)
        case msgspec.inspect.NamedTupleType(fields=fields):
            return any(_is_mutable(field.type, seen) for field in fields)
        case msgspec.inspect.Metadata(type=plain):
            return _is_mutable(plain, seen)
        case _:
            return not isinstance(info, _IMMUTABLE)


_IMMUTABLE: Final = (
    msgspec.inspect.NoneType,
    msgspec.inspect.BoolType,
    msgspec.inspect.IntType,
    msgspec.inspect.FloatType,
    msgspec.inspect.StrType,
    msgspec.inspect.BytesType,
    msgspec.inspect.DateTimeType,
    msgspec.inspect.TimeType,
    msgspec.inspect.DateType,
    msgspec.inspect.TimeDeltaType,
    msgspec.inspect.UUIDType,
    msgspec.inspect.DecimalType,
    msgspec.inspect.EnumType,
    msgspec.inspect.LiteralType,
)
