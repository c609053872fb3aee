"""Makes routes of modules: everything is checked here, once, and all mistakes are reported together."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, get_args, get_origin

from duly.domain.aggregate import Aggregate
from duly.domain.event_sourced import EventSourced, apply_mistakes
from duly.errors import ConfigurationError
from duly.messages.catalog import Catalog
from duly.messages.codec import Codec
from duly.messages.fields import field_names
from duly.messages.message import Command, DomainEvent, Message, PublicEvent, Query
from duly.messages.outcomes import EffectOutcome
from duly.messages.storable import storage_mistakes
from duly.messages.upcasting import Upcaster
from duly.ports.attachments import AttachmentKeeper
from duly.ports.gateway import Gateway
from duly.ports.templates import TemplateKeeper
from duly.work.aggregate_type import AggregateType
from duly.work.attachments import Attachments
from duly.work.context import HandlerCall, Middleware, Watching
from duly.work.module import Definition, HandlerKind, Module
from duly.work.moments import WAIT_DAYS_MAX
from duly.work.process_type import ProcessType
from duly.work.process_wiring import (
    domain_events,
    process_call,
    process_definition,
    process_handler,
    process_mistakes,
    read_processes,
)
from duly.work.projection_wiring import Projections, compile_projections
from duly.work.routes import Call, CommandRoute, Handler, Publisher, Routes
from duly.work.scope import Scope
from duly.work.sending import Sending, Ways, resolve_ways
from duly.work.signature import Signature, SignatureMistake, compile_call, context_of, read_signature
from duly.work.stream_type import StreamType
from duly.work.templates import Templates
from duly.work.upcasts import gather_upcasters, types_of_upcasts

_HEARS: dict[HandlerKind, tuple[type[Message], ...]] = {
    HandlerKind.COMMAND: (Command,),
    HandlerKind.QUERY: (Query,),
    HandlerKind.IN_TRANSACTION: (DomainEvent,),
    HandlerKind.AFTER_COMMIT: (DomainEvent, PublicEvent),
    HandlerKind.PUBLISHES: (DomainEvent,),
}


def compile_routes(
    modules: Sequence[Module],
    gateways: Sequence[Gateway],
    middleware: Sequence[Middleware],
    *,
    sendings: Sequence[Sending] = (),
    replay: timedelta = timedelta(),
    templates: TemplateKeeper | None = None,
    attachments: AttachmentKeeper | None = None,
) -> Routes:
    """The routes of an application. Raises `ConfigurationError` with everything that is wrong."""
    return _Wiring(modules, gateways, middleware, sendings, replay, templates, attachments).compile()


class _Wiring:
    def __init__(
        self,
        modules: Sequence[Module],
        gateways: Sequence[Gateway],
        middleware: Sequence[Middleware],
        sendings: Sequence[Sending],
        replay: timedelta,
        templates: TemplateKeeper | None,
        attachments: AttachmentKeeper | None,
    ) -> None:
        self.templates = templates
        self.attachments = attachments
        self.sendings = sendings
        self.replay = replay
        self.modules = modules
        self.gateways = gateways
        self.middleware = tuple(middleware)
        self.mistakes: list[str] = []
        self.read: list[tuple[Definition, Signature]] = []
        self.aggregates: dict[type[Aggregate], AggregateType[Any]] = {}
        self.projections = Projections((), {}, (), ())
        self.processes: list[ProcessType] = []

    def compile(self) -> Routes:
        self._check_modules()
        self._read_signatures()
        upcasters = self._upcasters()
        self.processes, mistakes = read_processes(self.modules, upcasters)
        self.mistakes += mistakes
        self._collect_aggregates(upcasters)
        self._compile_projections(upcasters)
        types = self._collect_messages()
        self._check_names()
        self._check_hearing()
        commands = self._results(HandlerKind.COMMAND)
        queries = self._results(HandlerKind.QUERY)
        ways, mistakes = resolve_ways(self.gateways, self.sendings, replay=self.replay)
        self.mistakes += mistakes
        self._check_outcomes(ways)
        self._check_keepers()
        self.mistakes += process_mistakes(
            self.processes, offered=self._offered(), commands=commands, effects=ways.effects()
        )
        for module in self.modules:
            for cls in module.messages:
                if issubclass(cls, Command) and cls not in commands:
                    self.mistakes.append(
                        f"Module {module.name!r} offers the command {cls.__qualname__}, which has no handler. "
                        f"Write one with @{module.name}.command."
                    )
        if self.mistakes:
            raise ConfigurationError(self.mistakes)
        catalog = Catalog({cls: upcasters.get(cls, {}) for cls in types})
        for cls in types:
            catalog.codec(cls)  # made now, and not with the first message
        for of in self._streams():
            of.read_with(catalog)
        return Routes(
            catalog=catalog,
            commands=commands,
            queries=queries,
            listeners=self._listeners(),
            publishers=self._publishers(),
            subscribers=self._subscribers(),
            aggregates=self.aggregates,
            ways=ways,
            templates=self.templates,
            attachments=self.attachments,
            projections=self.projections.routes,
        )

    # Reading what is there.

    def _check_modules(self) -> None:
        names = [module.name for module in self.modules]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.mistakes.append(f"Two modules are called {name!r}. Give each its own name.")
        for name in names:
            if not name or not name.replace("_", "a").isalnum():
                self.mistakes.append(f"{name!r} cannot name a module. Use letters, digits and '_'.")

    def _read_signatures(self) -> None:
        for module in self.modules:
            for definition in module.definitions:
                try:
                    signature = read_signature(definition)
                except SignatureMistake as mistake:
                    self.mistakes.append(str(mistake))
                    continue
                hears = _HEARS[definition.kind]
                if not issubclass(signature.message_type, hears):
                    self.mistakes.append(
                        f"Handler {definition.name}: @{definition.kind.value} hears "
                        f"{' or '.join(cls.__name__ for cls in hears)}, not {signature.message_type.__qualname__}."
                    )
                    continue
                if definition.kind is HandlerKind.PUBLISHES and signature.is_coroutine:
                    self.mistakes.append(
                        f"Handler {definition.name} is a coroutine function. What makes a public event is a plain one: "
                        "def, not async def."
                    )
                    continue
                self.read.append((definition, signature))

    def _upcasters(self) -> dict[type, dict[int, Upcaster]]:
        found, mistakes = gather_upcasters(self.modules)
        self.mistakes += mistakes
        return found

    def _collect_aggregates(self, upcasters: dict[type, dict[int, Upcaster]]) -> None:
        for _, signature in self.read:
            for cls in signature.repositories.values():
                if cls in self.aggregates:
                    continue
                mistakes = storage_mistakes(cls)
                if issubclass(cls, EventSourced):
                    mistakes += apply_mistakes(cls)
                elif cls.__duly__.formerly:
                    kept = cls.__duly__.formerly[-1]
                    mistakes.append(
                        f"{cls.__qualname__} has formerly=(…), but the stored name of an aggregate is part of its rows "
                        f"and never changes. Keep it: class {cls.__name__}(Aggregate, name={kept!r})."
                    )
                self.mistakes += mistakes
                if not mistakes:
                    kind = StreamType if issubclass(cls, EventSourced) else AggregateType
                    self.aggregates[cls] = kind(cls, upcasters.get(cls, {}))
        self._check_stored_names(list(self.aggregates), "aggregates")

    def _streams(self) -> list[StreamType[Any]]:
        return [of for of in self.aggregates.values() if isinstance(of, StreamType)]

    def _compile_projections(self, upcasters: dict[type, dict[int, Upcaster]]) -> None:
        self.projections = compile_projections(self.modules, upcasters)
        self.mistakes += self.projections.mistakes
        for definition, signature in self.read:
            for cls in signature.read_models.values():
                if cls not in self.projections.read_models:
                    self.mistakes.append(
                        f"Handler {definition.name} reads {cls.__qualname__}, which no projection writes. Give the one "
                        "that does to its module: Module(…, projections=[…])."
                    )

    def _collect_messages(self) -> list[type[Message]]:
        types: dict[type[Message], None] = {}
        for module in self.modules:
            types.update(dict.fromkeys(module.messages))
        for _, signature in self.read:
            types[signature.message_type] = None
        for process in self.processes:
            types.update(dict.fromkeys(process.table.types))
        for gateway in self.gateways:
            types.update(dict.fromkeys(gateway.effects))
        types.update(dict.fromkeys(cls for _, cls in self.projections.heard))
        types.update(dict.fromkeys(types_of_upcasts(self.modules)))
        types.update(dict.fromkeys(event for of in self._streams() for event in of.events))
        for cls in types:
            self.mistakes += storage_mistakes(cls)
            subject = cls.__duly__.subject
            if subject is not None and subject not in field_names(cls):
                self.mistakes.append(f"{cls.__qualname__} has no field {subject!r}, which its subject= names.")
        self._check_stored_names(list(types), "messages")
        return list(types)

    def _check_stored_names(self, types: Sequence[type[Message] | type[Aggregate]], what: str) -> None:
        owners: dict[str, type] = {}
        for cls in types:
            for name in (cls.__duly__.name, *cls.__duly__.formerly):
                other = owners.setdefault(name, cls)
                if other is not cls:
                    self.mistakes.append(
                        f"Two {what} have the stored name {name!r}: {other.__module__}.{other.__qualname__} and "
                        f"{cls.__module__}.{cls.__qualname__}. Give one another: class {cls.__name__}(…, name='…')."
                    )

    # Checking how things fit.

    def _check_names(self) -> None:
        owners: dict[str, Definition] = {}
        for definition in (*(read for read, _ in self.read), *map(process_definition, self.processes)):
            for name in (definition.name, *definition.formerly):
                other = owners.setdefault(name, definition)
                if other is not definition:
                    self.mistakes.append(
                        f"Two handlers have, or had, the stored name {name!r}. Pass name='…' to one of them."
                    )

    def _check_hearing(self) -> None:
        offered = self._offered()
        hearers: dict[type[Message], set[str]] = defaultdict(set)
        for process in self.processes:
            for event in domain_events(process):
                hearers[event].add(process.module)
        for module_name, heard in self.projections.heard:
            hearers[heard].add(module_name)
        for definition, signature in self.read:
            cls = signature.message_type
            if not issubclass(cls, DomainEvent):
                continue
            owner = offered.get(cls)
            hearers[cls].add(definition.module)
            if owner not in (None, definition.module) and definition.kind is HandlerKind.AFTER_COMMIT:
                self.mistakes.append(
                    f"Handler {definition.name} hears {cls.__qualname__} of module {owner!r} after the commit. Between "
                    f"modules only public events are heard then: make one with @{owner}.publishes and hear that."
                )
            if owner not in (None, definition.module) and definition.kind is HandlerKind.PUBLISHES:
                self.mistakes.append(
                    f"Handler {definition.name} publishes {cls.__qualname__}, an event of module {owner!r}. "
                    "Only its own module publishes it."
                )
            if definition.after is not None and not timedelta() < definition.after < timedelta(days=WAIT_DAYS_MAX):
                self.mistakes.append(
                    f"Handler {definition.name}: after={definition.after} is no wait. Use one between zero and "
                    f"{WAIT_DAYS_MAX:,} days."
                )
            if definition.key is not None and definition.key not in field_names(cls):
                self.mistakes.append(
                    f"Handler {definition.name}: key={definition.key!r} is no field of {cls.__qualname__}."
                )
        for cls, modules in hearers.items():
            if len(modules) > 1 and cls not in offered:
                self.mistakes.append(
                    f"{cls.__qualname__} is heard by the modules {', '.join(sorted(modules))}, but none offers it. Its "
                    "owner says so: Module(…, messages=[…])."
                )

    def _offered(self) -> dict[type[Message], str]:
        """The domain events that modules offer to each other, and which one does."""
        return {cls: module.name for module in self.modules for cls in module.messages if issubclass(cls, DomainEvent)}

    def _check_outcomes(self, ways: Ways) -> None:
        for definition, signature in self.read:
            if signature.message_type is EffectOutcome:
                self.mistakes.append(
                    f"Handler {definition.name} hears EffectOutcome, the root of all outcomes. Name one of them: "
                    "EffectFailed[…], EffectDelivered[…], …"
                )
            if signature.about is not None and signature.about not in ways.effects():
                self.mistakes.append(
                    f"Handler {definition.name} hears what became of {signature.about.__qualname__}, which no gateway "
                    "takes. Give its gateway to Duly(gateways=[…])."
                )

    def _check_keepers(self) -> None:
        keepers = {Templates: (self.templates, "templates"), Attachments: (self.attachments, "attachments")}
        for definition, signature in self.read:
            for cls, (keeper, name) in keepers.items():
                if cls in signature.others.values() and keeper is None:
                    self.mistakes.append(
                        f"Handler {definition.name} asks for {cls.__name__}, but nobody keeps any. Say who does: "
                        f"Duly({name}=…)."
                    )

    def _results(self, kind: HandlerKind) -> dict[type[Message], CommandRoute]:
        found: dict[type[Message], CommandRoute] = {}
        for definition, signature in self.read:
            if definition.kind is not kind:
                continue
            cls = signature.message_type
            if cls in found:
                self.mistakes.append(
                    f"{cls.__qualname__} has two handlers: {found[cls].handler.name} and {definition.name}. Keep one."
                )
                continue
            result = _result_type(cls)
            returned = None if signature.result is type(None) else signature.result
            if returned is inspect.Signature.empty:
                self.mistakes.append(f"Handler {definition.name} does not say what it returns. Annotate it: -> None.")
            elif returned != result:
                self.mistakes.append(
                    f"Handler {definition.name} returns {_spelled(returned)}, but {cls.__qualname__} is a "
                    f"{kind.value.capitalize()}[{_spelled(result)}]. Make them agree."
                )
            try:
                codec: Codec[Any] = Codec(type(None) if result is None else result, f"Result of {definition.name}")  # type: ignore[arg-type]
            except TypeError as error:
                self.mistakes.append(f"The result of {definition.name} cannot be stored: {error}.")
                continue
            found[cls] = CommandRoute(self._handler(definition, signature), codec)
        return found

    # Making handlers.

    def _handlers(self, kind: HandlerKind) -> dict[type[Message], tuple[Handler, ...]]:
        found: dict[type[Message], list[Handler]] = defaultdict(list)
        for definition, signature in self.read:
            if definition.kind is kind:
                found[signature.message_type].append(self._handler(definition, signature))
        return {cls: tuple(handlers) for cls, handlers in found.items()}

    def _listeners(self) -> dict[type[Message], tuple[Handler, ...]]:
        """Handlers inside of the transaction, by module; of each module those of its projections are the last."""
        found: dict[type[Message], list[Handler]] = defaultdict(list)
        for module in self.modules:
            for definition, signature in self.read:
                if definition.kind is HandlerKind.IN_TRANSACTION and definition.module == module.name:
                    found[signature.message_type].append(self._handler(definition, signature))
            for cls, handler in self.projections.listeners():
                if handler.module == module.name:
                    found[cls].append(handler)
        return {cls: tuple(handlers) for cls, handlers in found.items()}

    def _subscribers(self) -> dict[type[Message], tuple[Handler, ...]]:
        """What hears messages after the commit: handlers, then processes."""
        found = self._handlers(HandlerKind.AFTER_COMMIT)
        for process in self.processes:
            calls = self._layered(process_definition(process), process_call(process))
            handler = process_handler(process, *calls)
            for cls in process.table.types:
                found[cls] = (*found.get(cls, ()), handler)
        return found

    def _handler(self, definition: Definition, signature: Signature) -> Handler:
        read_models = self.projections.read_models
        is_compilable = self._is_compilable(signature)
        call = compile_call(definition, signature, self.aggregates, read_models) if is_compilable else _never
        is_query = definition.kind is HandlerKind.QUERY
        call, unwatched = (call, call) if is_query else self._layered(definition, call)
        return Handler(
            kind=definition.kind,
            module=definition.module,
            name=definition.name,
            identity=definition.formerly[-1] if definition.formerly else definition.name,
            formerly=definition.formerly,
            message_type=signature.message_type,
            key=definition.key,
            call=call,
            call_unwatched=unwatched,
            about=signature.about,
            after=definition.after,
        )

    def _layered(self, definition: Definition, call: Call) -> tuple[Call, Call]:
        """The call within all middleware, and within what does more than watch."""
        unwatched = call
        for layer in reversed(self.middleware):
            call = _wrapped(layer, definition, call)
            unwatched = unwatched if isinstance(layer, Watching) else _wrapped(layer, definition, unwatched)
        return call, unwatched

    def _is_compilable(self, signature: Signature) -> bool:
        return all(cls in self.aggregates for cls in signature.repositories.values()) and all(
            cls in self.projections.read_models for cls in signature.read_models.values()
        )

    def _publishers(self) -> dict[type[Message], tuple[Publisher, ...]]:
        found: dict[type[Message], list[Publisher]] = defaultdict(list)
        for definition, signature in self.read:
            if definition.kind is HandlerKind.PUBLISHES:
                function: Callable[..., Any] = definition.function
                identity = definition.formerly[-1] if definition.formerly else definition.name
                found[signature.message_type].append(Publisher(name=definition.name, identity=identity, make=function))
        return {cls: tuple(publishers) for cls, publishers in found.items()}


def _wrapped(layer: Middleware, definition: Definition, call: Call) -> Call:
    async def wrapped(scope: Scope, message: Message) -> object:
        seen = HandlerCall(kind=definition.kind, handler=definition.name, message=message, context=context_of(scope))
        return await layer(seen, lambda: call(scope, message))

    return wrapped


async def _never(scope: Scope, message: Message) -> object:
    raise AssertionError("a handler with mistakes is never called: the start was refused")


def _result_type(cls: type[Message]) -> object:
    """The R of ``Command[R]`` or ``Query[R]``, looked for in the bases; None without one."""
    for base in cls.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            if get_origin(generic) in (Command, Query):
                (argument,) = get_args(generic)
                return None if argument is type(None) or isinstance(argument, TypeVar) else argument
    return None


def _spelled(hint: object) -> str:
    return hint.__qualname__ if isinstance(hint, type) else str(hint)
