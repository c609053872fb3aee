"""Makes routes of projections: what their handlers ask for is read and checked once, at start."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from duly.domain.projection import HandlerDefinition, Projection, ReadModel
from duly.errors import SchemaOutdated, StoreError
from duly.messages.envelope import Envelope
from duly.messages.identity import digest_of
from duly.messages.message import DomainEvent, Message
from duly.messages.storable import storage_mistakes
from duly.messages.upcasting import Upcaster
from duly.ports.log import LogEvent
from duly.work.attachments import Attachments
from duly.work.commands import Commands
from duly.work.context import Context
from duly.work.effect_requests import Effects
from duly.work.module import HandlerKind, Module
from duly.work.projecting import (
    Invoke,
    Logged,
    Origin,
    ProjectionHandler,
    ProjectionRoute,
    Writing,
    logged_of,
    origin_of,
)
from duly.work.read_model_type import ReadModelType
from duly.work.read_models import ReadModels
from duly.work.repository import Repository
from duly.work.routes import Call, Handler
from duly.work.scope import Scope
from duly.work.sql import Reader, Sql
from duly.work.tables import Tables
from duly.work.templates import Templates

_REPLAYED: Final = (
    "A projection is run again from the first event on when it is rebuilt, and what it asked for would be done again "
    "each time: a replay has no way to send. Ask for it in a handler with @{module}.after_commit."
)
_PAST: Final = (
    "A rebuild runs it for events of years ago, and would meet what is there today: the outcome would not be the same. "
    "Take what you need from the event."
)
REFUSED: Final[Mapping[type, str]] = {
    Effects: _REPLAYED,
    Commands: _REPLAYED,
    Repository: _PAST,
    Templates: _PAST,
    Attachments: _PAST,
    Sql: "Statements of a projection name its tables by placeholders, so that a rebuild can write others: take Tables.",
    Reader: "A projection reads its own tables, of the generation that it writes: take Tables and fetch from them.",
    Context: "Take Origin, which is the same when it is rebuilt; or Logged, which also knows position and time.",
}
"""What other handlers may have and a projection may not, and why."""

_CHOICES: Final = "It may take a domain event, Tables, ReadModels[…], Origin and Logged."

Fixed: TypeAlias = Callable[[Writing], object]


class _Mistake(Exception):
    """A handler's parameters cannot be understood; the text names the cure."""


class _Signature(msgspec.Struct, frozen=True):
    event_parameter: str
    event_type: type[DomainEvent]
    read_models: dict[str, type[ReadModel]]
    others: dict[str, type]


class Projections(msgspec.Struct, frozen=True):
    """All projections of an application."""

    routes: tuple[ProjectionRoute, ...]
    read_models: Mapping[type[ReadModel], ReadModelType[Any]]
    heard: tuple[tuple[str, type[Message]], ...]
    """Modules, and the domain events that their projections hear."""
    mistakes: tuple[str, ...]

    def listeners(self) -> Iterator[tuple[type[Message], Handler]]:
        """The handlers of in-transaction projections, as handlers of the transaction."""
        for route in self.routes:
            if route.projection.in_transaction:
                for cls, handlers in route.handlers.items():
                    for handler in handlers:
                        yield cls, _listener(route, handler)


class _Wiring:
    def __init__(self, upcasters: Mapping[type, Mapping[int, Upcaster]]) -> None:
        self.upcasters = upcasters
        self.mistakes: list[str] = []
        self.read_models: dict[type[ReadModel], ReadModelType[Any]] = {}
        self.tables: dict[str, str] = {}

    def route(self, projection: Projection, module: str) -> ProjectionRoute:
        self.mistakes += projection.mistakes()
        self._check_tables(projection)
        found: dict[type[Message], list[ProjectionHandler]] = defaultdict(list)
        for definition in projection.definitions:
            where = f"Projection {projection.name!r}, handler {definition.name}"
            try:
                signature = _read(definition, where, projection, module)
            except _Mistake as mistake:
                self.mistakes.append(str(mistake))
                continue
            types = {name: self._read_model(cls, projection, where) for name, cls in signature.read_models.items()}
            found[signature.event_type].append(
                ProjectionHandler(
                    name=f"{module}.{projection.name}.{definition.name}",
                    message_type=signature.event_type,
                    bind=_bind(definition, signature, types),
                    read_models=tuple(types.values()),
                )
            )
        if not projection.definitions:
            self.mistakes.append(
                f"Projection {projection.name!r} hears nothing. Give it handlers: @….on, or handlers(…)."
            )
        return ProjectionRoute(
            projection=projection,
            module=module,
            handlers={cls: tuple(handlers) for cls, handlers in found.items()},
            digest=digest_of(f"{projection.name} {projection.shape()}"),
        )

    def _check_tables(self, projection: Projection) -> None:
        for table in projection.tables:
            other = self.tables.setdefault(table, projection.name)
            if other != projection.name:
                self.mistakes.append(
                    f"The projections {other!r} and {projection.name!r} both have a table {table!r}. Each is rebuilt "
                    "by itself and has its own: rename one."
                )

    def _read_model(self, cls: type[ReadModel], projection: Projection, where: str) -> ReadModelType[Any]:
        present = self.read_models.get(cls)
        if present is not None:
            if present.projection != projection.name:
                self.mistakes.append(
                    f"{where} writes {cls.__qualname__}, as projection {present.projection!r} does. Each is rebuilt "
                    "by itself: let one projection hear all events that it is made of."
                )
            return present
        mistakes = storage_mistakes(cls)
        for other in self.read_models:
            if other.__duly__.name == cls.__duly__.name:
                mistakes.append(
                    f"Two read models have the stored name {cls.__duly__.name!r}. Give one another: "
                    f"class {cls.__name__}(ReadModel, name='…')."
                )
        self.mistakes += mistakes
        made: ReadModelType[Any] = (
            _Unusable(projection)
            if mistakes
            else ReadModelType(
                cls, self.upcasters.get(cls, {}), projection=projection.name, every_tenant=projection.every_tenant
            )
        )
        self.read_models[cls] = made
        return made


class _Unusable(ReadModelType[Any]):
    """In the place of a type with mistakes: the start is refused."""

    def __init__(self, projection: Projection) -> None:
        super().__init__(ReadModel, {}, projection=projection.name, every_tenant=projection.every_tenant)


def compile_projections(modules: Sequence[Module], upcasters: Mapping[type, Mapping[int, Upcaster]]) -> Projections:
    """The projections of all modules, and what is wrong with them."""
    wiring = _Wiring(upcasters)
    owners: dict[str, str] = {}
    routes: list[ProjectionRoute] = []
    for module in modules:
        for projection in module.projections:
            if projection.name in owners:
                wiring.mistakes.append(
                    f"Two projections are called {projection.name!r}, in the modules {owners[projection.name]!r} and "
                    f"{module.name!r}. Give each its own name."
                )
                continue
            owners[projection.name] = module.name
            routes.append(wiring.route(projection, module.name))
    return Projections(
        routes=tuple(routes),
        read_models=wiring.read_models,
        heard=tuple((route.module, cls) for route in routes for cls in route.handlers),
        mistakes=tuple(wiring.mistakes),
    )


# Reading signatures.


def _read(definition: HandlerDefinition, where: str, projection: Projection, module: str) -> _Signature:
    try:
        hints = get_type_hints(definition.function)
    except NameError as error:
        raise _Mistake(
            f"{where}: the annotation {error.name!r} cannot be resolved. Import it at the top of the module, not under "
            "TYPE_CHECKING, and define it outside of functions."
        ) from None
    except TypeError as error:
        raise _Mistake(f"{where}: its annotations cannot be read: {error}.") from None
    events: dict[str, type[DomainEvent]] = {}
    read_models: dict[str, type[ReadModel]] = {}
    others: dict[str, type] = {}
    for parameter in inspect.signature(definition.function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise _Mistake(f"{where}: parameter {parameter.name!r} must be a plain named one.")
        if parameter.name not in hints:
            raise _Mistake(f"{where}: parameter {parameter.name!r} has no annotation. {_CHOICES}")
        hint = hints[parameter.name]
        origin = get_origin(hint)
        if isinstance(hint, type) and issubclass(hint, DomainEvent):
            events[parameter.name] = hint
        elif origin is ReadModels and _is_read_model(get_args(hint)[0]):
            read_models[parameter.name] = get_args(hint)[0]
        elif hint in (Tables, Origin, Logged):
            others[parameter.name] = hint
        else:
            raise _Mistake(_refusal(parameter.name, hint, where, module))
    if len(events) != 1:
        raise _Mistake(
            f"{where}: exactly one parameter must be a domain event; found {', '.join(events) or 'none'}. (A method "
            "that is no handler begins with _.)"
        )
    if Logged in others.values() and projection.in_transaction:
        raise _Mistake(
            f"{where} asks for Logged, but an in-transaction projection runs before its event has a position and a "
            "time. Take Origin."
        )
    if Tables in others.values() and not projection.tables:
        raise _Mistake(
            f"{where} asks for Tables, but the projection has none. Declare them: Projection(…, tables={{…}})."
        )
    ((event_parameter, event_type),) = events.items()
    return _Signature(event_parameter, event_type, read_models, others)


def _refusal(parameter: str, hint: object, where: str, module: str) -> str:
    asked = hint.__qualname__ if isinstance(hint, type) else str(hint)
    refused = REFUSED.get(get_origin(hint) or hint)  # type: ignore[arg-type]
    if refused is not None:
        return f"{where}: parameter {parameter!r} asks for {asked}. {refused.format(module=module)}"
    if isinstance(hint, type) and issubclass(hint, Message):
        return (
            f"{where} hears {asked}, which is no domain event. A projection is made from the log, and the log holds "
            "domain events only: hear the one that it follows from."
        )
    return f"{where}: parameter {parameter!r} asks for {asked}, which a projection cannot have. {_CHOICES}"


def _is_read_model(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, ReadModel)


# Making handlers.


def _bind(
    definition: HandlerDefinition, signature: _Signature, types: Mapping[str, ReadModelType[Any]]
) -> Callable[[Writing], Invoke]:
    function: Callable[..., Any] = definition.function
    event_parameter = signature.event_parameter
    tables = [name for name, cls in signature.others.items() if cls is Tables]
    logged = [name for name, cls in signature.others.items() if cls is Logged]
    origins = [name for name, cls in signature.others.items() if cls is Origin]

    def bind(writing: Writing) -> Invoke:
        arguments: dict[str, object] = dict.fromkeys(tables, writing.tables)
        arguments |= {name: writing.read_models(of) for name, of in types.items()}

        def invoke(event: Message, row: Envelope | LogEvent) -> object:
            # One dictionary for all calls: each copies it, and handlers of a batch run one after another.
            arguments[event_parameter] = event
            for name in logged:
                assert isinstance(row, LogEvent), "the start refuses Logged where there is no place yet"
                arguments[name] = logged_of(row)
            for name in origins:
                arguments[name] = origin_of(row)
            return function(**arguments)

        return invoke

    return bind


def _listener(route: ProjectionRoute, handler: ProjectionHandler) -> Handler:
    call = _in_transaction(route, handler)
    return Handler(
        kind=HandlerKind.IN_TRANSACTION,
        module=route.module,
        name=handler.name,
        identity=handler.name,
        formerly=(),
        message_type=handler.message_type,
        key=None,
        call=call,
        call_unwatched=call,
    )


def _in_transaction(route: ProjectionRoute, handler: ProjectionHandler) -> Call:
    async def call(scope: Scope, message: Message) -> object:
        transaction = await scope.sql_transaction()
        try:
            generation = await transaction.share_projection(route.name)
            if generation.digest != route.digest:
                raise SchemaOutdated(
                    f"The projection {route.name!r} was rebuilt by other code while this process ran: its tables or "
                    "version differ. Nothing was stored. Start this process with the newer code."
                )

            async def opening() -> Any:
                return transaction

            writing = Writing(route.projection, generation.number, shadow=None, source=transaction, opening=opening)
            envelope = scope.handling().cause
            writing.begin(envelope, message)
            try:
                made = handler.bind(writing)(message, envelope)
                if inspect.isawaitable(made):
                    await made
            finally:
                writing.end()
            await writing.flush(transaction)
        except StoreError as error:
            scope.doom(error)
            raise
        return None

    return call
