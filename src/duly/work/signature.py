"""What a handler needs is what its parameters say: read once, at start."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from duly.domain.aggregate import Aggregate
from duly.domain.projection import ReadModel
from duly.messages.message import Effect, Message
from duly.messages.outcomes import EffectOutcome
from duly.work.aggregate_type import AggregateType
from duly.work.attachments import Attachments
from duly.work.commands import Commands
from duly.work.context import Context
from duly.work.effect_requests import Effects
from duly.work.module import Definition, HandlerKind
from duly.work.read_model_type import ReadModelType
from duly.work.read_models import CommittedShelf, ReadModels
from duly.work.repository import Repository
from duly.work.routes import Call
from duly.work.scope import Scope
from duly.work.sql import Reader, Sql
from duly.work.templates import Templates

Supply: TypeAlias = Callable[[Scope], object]
"""Makes the argument of one parameter."""

ALLOWED: dict[HandlerKind, tuple[type, ...]] = {
    HandlerKind.COMMAND: (Repository, ReadModels, Effects, Commands, Templates, Attachments, Sql, Context),
    HandlerKind.IN_TRANSACTION: (Repository, ReadModels, Effects, Commands, Templates, Attachments, Sql, Context),
    HandlerKind.AFTER_COMMIT: (Repository, ReadModels, Effects, Commands, Templates, Attachments, Sql, Context),
    HandlerKind.QUERY: (Repository, ReadModels, Reader, Context),
    HandlerKind.PUBLISHES: (),
}


_GENERIC: tuple[type, ...] = (Repository, ReadModels)


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A handler's parameters, resolved."""

    message_parameter: str
    message_type: type[Message]
    repositories: dict[str, type[Aggregate]]
    others: dict[str, type]
    read_models: dict[str, type[ReadModel]]
    result: object
    is_coroutine: bool
    about: type[Effect] | None = None
    """The type of effect whose outcome it hears."""


class SignatureMistake(Exception):
    """A handler's parameters cannot be understood; the text names the cure."""


def read_signature(definition: Definition) -> Signature:
    """The parameters of a handler. Raises `SignatureMistake`."""
    function = definition.function
    where = f"Handler {definition.name}"
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise SignatureMistake(
            f"{where}: the annotation {error.name!r} cannot be resolved. Import it at the top of the module, not under "
            "TYPE_CHECKING, and define it outside of functions."
        ) from None
    except TypeError as error:
        raise SignatureMistake(f"{where}: its annotations cannot be read: {error}.") from None
    messages: dict[str, type[Message]] = {}
    repositories: dict[str, type[Aggregate]] = {}
    others: dict[str, type] = {}
    read_models: dict[str, type[ReadModel]] = {}
    about: type[Effect] | None = None
    allowed = ALLOWED[definition.kind]
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise SignatureMistake(f"{where}: parameter {parameter.name!r} must be a plain named one.")
        if parameter.name not in hints:
            raise SignatureMistake(
                f"{where}: parameter {parameter.name!r} has no annotation. Say what it takes: a message, "
                "Repository[…], Effects, Sql or Context."
            )
        hint = hints[parameter.name]
        if isinstance(hint, type) and issubclass(hint, Message):
            messages[parameter.name] = hint
        elif (outcome := _outcome(hint)) is not None:
            messages[parameter.name], about = outcome
        elif get_origin(hint) is Repository and Repository in allowed and _is_aggregate(get_args(hint)[0]):
            repositories[parameter.name] = get_args(hint)[0]
        elif get_origin(hint) is ReadModels and ReadModels in allowed and _is_read_model(get_args(hint)[0]):
            read_models[parameter.name] = get_args(hint)[0]
        elif isinstance(hint, type) and hint in allowed and hint not in _GENERIC:
            others[parameter.name] = hint
        else:
            choices = ", ".join(f"{kind.__name__}[…]" if kind in _GENERIC else kind.__name__ for kind in allowed)
            raise SignatureMistake(
                f"{where}: parameter {parameter.name!r} asks for {_spelled(hint)}, which a {definition.kind.value} "
                f"handler cannot have. It may take a message{' and ' + choices if choices else ' only'}."
            )
    if len(messages) != 1:
        found = ", ".join(messages) or "none"
        raise SignatureMistake(f"{where}: exactly one parameter must be a message; found {found}.")
    ((message_parameter, message_type),) = messages.items()
    return Signature(
        message_parameter=message_parameter,
        message_type=message_type,
        repositories=repositories,
        others=others,
        read_models=read_models,
        result=hints.get("return", inspect.Signature.empty),
        is_coroutine=inspect.iscoroutinefunction(function),
        about=about,
    )


def compile_call(
    definition: Definition,
    signature: Signature,
    aggregates: dict[type[Aggregate], AggregateType[Any]],
    read_models: Mapping[type[ReadModel], ReadModelType[Any]],
) -> Call:
    """A function that calls the handler with what its parameters ask for."""
    function: Callable[..., Any] = definition.function
    message_parameter = signature.message_parameter
    supplies: dict[str, Supply] = {name: _repository(aggregates[cls]) for name, cls in signature.repositories.items()}
    supplies |= {name: _read_models(read_models[cls]) for name, cls in signature.read_models.items()}
    supplies |= {name: _SUPPLIES[cls] for name, cls in signature.others.items()}
    by_name = tuple(supplies.items())
    in_order = _in_order(function, message_parameter, supplies)

    def call_in_order(scope: Scope, message: Message) -> Any:
        return function(message, *[supply(scope) for supply in in_order or ()])

    def call_by_name(scope: Scope, message: Message) -> Any:
        return function(**{message_parameter: message}, **{name: supply(scope) for name, supply in by_name})

    call = call_by_name if in_order is None else call_in_order

    async def call_plain(scope: Scope, message: Message) -> object:
        result = call(scope, message)
        return await result if inspect.isawaitable(result) else result

    return call if signature.is_coroutine else call_plain


def _in_order(
    function: Callable[..., Any], message_parameter: str, supplies: Mapping[str, Supply]
) -> list[Supply] | None:
    """What goes after the message, in the order of the parameters; None when they can only be given by their names."""
    parameters = inspect.signature(function, follow_wrapped=False).parameters
    names = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    if len(names) < len(parameters) or names[:1] != [message_parameter] or {*names[1:]} != supplies.keys():
        return None
    return [supplies[name] for name in names[1:]]


def context_of(scope: Scope) -> Context:
    """Where the present call stands."""
    handling = scope.handling()
    cause = handling.cause
    return Context(
        tenant=scope.tenant,
        message_id=cause.id,
        correlation=cause.correlation,
        handler=handling.handler,
        chain=handling.chain,
    )


def _repository(aggregate_type: AggregateType[Any]) -> Supply:
    return partial(Repository, aggregate_type=aggregate_type)


def _read_models(of: ReadModelType[Any]) -> Supply:
    return lambda scope: ReadModels(CommittedShelf(scope), of)


_SUPPLIES: dict[type, Supply] = {
    Effects: Effects,
    Commands: Commands,
    Templates: Templates,
    Attachments: Attachments,
    Sql: Sql,
    Context: context_of,
    Reader: lambda scope: Reader(scope.store),
}


def _outcome(hint: object) -> tuple[type[EffectOutcome], type[Effect]] | None:
    """The event and the effect of ``EffectFailed[Sms]``; None for any other annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if not isinstance(origin, type) or not issubclass(origin, EffectOutcome):
        return None
    (effect,) = arguments
    return (origin, effect) if isinstance(effect, type) and issubclass(effect, Effect) else None


def _is_read_model(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, ReadModel)


def _is_aggregate(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, Aggregate)


def _spelled(hint: object) -> str:
    return hint.__qualname__ if isinstance(hint, type) else str(hint)
