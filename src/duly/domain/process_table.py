"""What a process manager hears by what: read from the class once, with everything that is wrong with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec

from duly.domain.process_manager import Hearing, Next, ProcessManager, hearings_of
from duly.messages.fields import field_names
from duly.messages.message import DomainEvent, Effect, Message, PublicEvent
from duly.messages.outcomes import EffectOutcome
from duly.messages.process_messages import CommandRejected, TimedOut
from duly.messages.storable import storage_mistakes

Heard: TypeAlias = tuple[type[Message], str]
"""A type of messages, and which of them: the effect's type, the timeout's or the command's name; "" for all others."""


class Ear(msgspec.Struct, frozen=True, kw_only=True):
    """One method, and what it hears."""

    method: str
    hearing: Hearing
    cls: type[Message]
    about: type[Effect] | None = None
    """The type of effect whose outcome it hears; None for all of them, and for what is no outcome."""

    @property
    def key(self) -> str:
        """The field that holds the process's id."""
        if self.cls is TimedOut:
            return "id"
        return self.hearing.key or "process_id"


class ProcessTable(msgspec.Struct, frozen=True, kw_only=True):
    """What is heard by what."""

    cls: type[ProcessManager]
    ears: Mapping[Heard, Ear]

    @property
    def name(self) -> str:
        """The stored name."""
        return self.cls.__duly__.name

    @property
    def identity(self) -> str:
        """The oldest stored name, under which processes and their histories lie."""
        formerly = self.cls.__duly__.formerly
        return formerly[-1] if formerly else self.name

    @property
    def types(self) -> frozenset[type[Message]]:
        """Every type of messages that it may be handed."""
        return frozenset(cls for cls, _ in self.ears) | {TimedOut, CommandRejected}

    @property
    def timeouts(self) -> frozenset[str]:
        """The names of its timeouts."""
        return frozenset(which for cls, which in self.ears if cls is TimedOut)

    def ear(self, message: Message) -> Ear | None:
        """What hears *message*; None: it is not for this process manager, or not any more."""
        match message:
            case TimedOut() | CommandRejected() if message.process != self.identity:
                return None
            case TimedOut(name=name):
                return self.ears.get((TimedOut, name))
            case CommandRejected(command=name):
                return self.ears.get((CommandRejected, name)) or self.ears.get((CommandRejected, ""))
            case EffectOutcome(effect_type=name):
                return self.ears.get((type(message), name)) or self.ears.get((type(message), ""))
            case _:
                return self.ears.get((type(message), ""))

    def hears_rejection(self, command: type[Message]) -> bool:
        """Whether it hears that a command of this type was not carried out."""
        name = command.__duly__.name
        return (CommandRejected, name) in self.ears or (CommandRejected, "") in self.ears

    def outcomes(self) -> list[tuple[type[EffectOutcome], type[Effect] | None]]:
        """The outcomes of effects that it hears, each with the type of effect; None for all of them."""
        return [(ear.cls, ear.about) for ear in self.ears.values() if issubclass(ear.cls, EffectOutcome)]

    def id_of(self, message: Message) -> str | None:
        """The id of the process that a message is about; None when it is about none."""
        ear = self.ear(message)
        value: object = None if ear is None else getattr(message, ear.key)
        return None if value is None else str(value)


def build_process_table(cls: type[ProcessManager]) -> tuple[ProcessTable, list[str]]:
    """The table of *cls*, and what is wrong with it, a sentence each with the cure."""
    mistakes = [*storage_mistakes(cls), *_mistakes_of_fields(cls)]
    ears: dict[Heard, Ear] = {}
    for function in _methods(cls):
        for heard, ear in _ears_of(cls, function, mistakes):
            other = ears.setdefault(heard, ear)
            if other.method != ear.method:
                mistakes.append(
                    f"{cls.__qualname__} hears {_spelled(heard)} twice: in {other.method} and in {ear.method}. "
                    "Keep one."
                )
    if not any(ear.hearing.starts for ear in ears.values()):
        mistakes.append(
            f"{cls.__qualname__} never starts. Write @starts(key='…') before the method of an event that a process "
            "begins with."
        )
    return ProcessTable(cls=cls, ears=ears), mistakes


def _mistakes_of_fields(cls: type[ProcessManager]) -> Iterator[str]:
    for each in msgspec.structs.fields(cls):  # type: ignore[arg-type] # a Struct, which type checkers are not told
        if each.required and each.name != "id":
            yield (
                f"{cls.__qualname__}.{each.name} has no default. It has a value before anything is heard: write "
                f"{each.name}: … = …."
            )


def _methods(cls: type) -> list[FunctionType]:
    found = {name: value for owner in reversed(cls.__mro__) for name, value in vars(owner).items()}
    return [value for value in found.values() if isinstance(value, FunctionType) and hearings_of(value)]


def _ears_of(cls: type, function: FunctionType, mistakes: list[str]) -> Iterator[tuple[Heard, Ear]]:
    where = f"{cls.__qualname__}.{function.__name__}"
    parameters = list(inspect.signature(function).parameters.values())
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        mistakes.append(f"{where} is a coroutine function. A process only decides: def, not async def.")
        return
    if len(parameters) != 2:
        mistakes.append(f"{where} cannot hear anything. Write it as def {function.__name__}(self, event: …) -> Next.")
        return
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError) as error:
        mistakes.append(
            f"{where}: its annotations cannot be read ({error}). Import what they name at the top of the module, not "
            "under TYPE_CHECKING, and define it outside of functions."
        )
        return
    returned = hints.get("return")
    if returned is not Next and get_origin(returned) is not Next:
        mistakes.append(f"{where} does not say that it returns what is next. Annotate it: -> Next[Self].")
    hint = hints.get(parameters[1].name)
    for hearing in hearings_of(function):
        for member in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
            yield from _heard_by(where, function.__name__, hearing, member, mistakes)


def _heard_by(
    where: str, method: str, hearing: Hearing, hint: object, mistakes: list[str]
) -> Iterator[tuple[Heard, Ear]]:
    cls, about = _event_of(hint)
    if hearing.timeout is not None or hearing.rejected is not None:
        wanted: type[Message] = CommandRejected if hearing.timeout is None else TimedOut
        if cls is not wanted:
            mistakes.append(f"{where} hears {_named(hint)}, but is told of a {wanted.__name__}. Annotate that.")
            return
        ear = Ear(method=method, hearing=hearing, cls=cls)
        if hearing.timeout is not None:
            if not hearing.timeout or not hearing.timeout.isidentifier():
                mistakes.append(f"{where}: {hearing.timeout!r} cannot name a timeout. Use letters, digits and '_'.")
            yield (cls, hearing.timeout), ear
            return
        for command in hearing.rejected or ():
            yield (cls, command.__duly__.name), ear
        if not hearing.rejected:
            yield (cls, ""), ear
        return
    if cls is None or cls in (DomainEvent, PublicEvent, EffectOutcome, CommandRejected):
        mistakes.append(
            f"{where} hears {_named(hint)}. Annotate its parameter with a domain event of its own module, a public "
            "event, or what became of an effect: EffectFailed[…]."
        )
        return
    if hearing.key not in field_names(cls):
        known = ", ".join(field_names(cls)) or "none"
        mistakes.append(f"{where}: key={hearing.key!r} is no field of {cls.__qualname__}. It has: {known}.")
        return
    which = about.__duly__.name if about is not None else ""
    yield (cls, which), Ear(method=method, hearing=hearing, cls=cls, about=about)


def _event_of(hint: object) -> tuple[type[Message] | None, type[Effect] | None]:
    """The event of an annotation, and the effect of ``EffectFailed[Sms]``."""
    origin: object = get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, EffectOutcome):
        (effect,) = get_args(hint)
        return origin, effect if isinstance(effect, type) and effect is not Effect else None
    if isinstance(hint, type) and issubclass(hint, (DomainEvent, PublicEvent, TimedOut)):
        return hint, None
    return None, None


def _named(hint: object) -> str:
    if hint is None:
        return "what it does not say"
    return hint.__qualname__ if isinstance(hint, type) else str(hint)


def _spelled(heard: Heard) -> str:
    cls, which = heard
    return f"{cls.__qualname__} {which!r}" if which else cls.__qualname__


def method_of(state: ProcessManager, ear: Ear) -> Callable[[Message], Next[Any]]:
    """The bound method of an ear."""
    method: Callable[[Message], Next[Any]] = getattr(state, ear.method)
    return method
