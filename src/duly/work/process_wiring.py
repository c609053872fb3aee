"""The processes of all modules: read and checked once, at start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from duly.domain.process_manager import ProcessManager
from duly.domain.process_table import build_process_table
from duly.messages.message import DomainEvent, Effect, Message
from duly.messages.upcasting import Upcaster
from duly.work.module import Definition, HandlerKind, Module
from duly.work.process_type import ProcessType
from duly.work.processes import ProcessRunner
from duly.work.routes import Call, Handler


def read_processes(
    modules: Sequence[Module], upcasters: Mapping[type, Mapping[int, Upcaster]]
) -> tuple[list[ProcessType], list[str]]:
    """The processes of *modules*, and what is wrong with them, with the cures."""
    found: list[ProcessType] = []
    mistakes: list[str] = []
    owners: dict[type, str] = {}
    names: dict[str, type] = {}
    for module in modules:
        for cls in module.processes:
            if not _is_process(cls):
                mistakes.append(f"Module {module.name!r} has the process {cls!r}, which is no ProcessManager.")
                continue
            if cls in owners:
                mistakes.append(
                    f"{cls.__qualname__} is a process of the modules {owners[cls]!r} and {module.name!r}. Keep one."
                )
                continue
            owners[cls] = module.name
            is_new = True
            for name in (cls.__duly__.name, *cls.__duly__.formerly):
                other = names.setdefault(name, cls)
                if other is not cls:
                    is_new = False
                    mistakes.append(
                        f"Two processes have, or had, the stored name {name!r}: {other.__qualname__} and "
                        f"{cls.__qualname__}. Give one another: class {cls.__name__}(…, name='…')."
                    )
            table, wrong = build_process_table(cls)
            mistakes += wrong
            if is_new and not wrong:
                found.append(ProcessType(table, module.name, upcasters.get(cls, {})))
    return found, mistakes


def process_mistakes(
    processes: Sequence[ProcessType],
    *,
    offered: Mapping[type[Message], str],
    commands: Mapping[type[Message], object],
    effects: Sequence[type[Effect]],
) -> Iterator[str]:
    """What does not fit to the other parts. *offered* maps domain events to the modules that offer them."""
    for process in processes:
        for ear in process.table.ears.values():
            where = f"{process.table.cls.__qualname__}.{ear.method}"
            owner = offered.get(ear.cls)
            if owner not in (None, process.module):
                yield (
                    f"{where} hears {ear.cls.__qualname__} of module {owner!r}. Between modules only public events are "
                    f"heard after the commit: make one with @{owner}.publishes and hear that."
                )
            if ear.about is not None and ear.about not in effects:
                yield (
                    f"{where} hears what became of {ear.about.__qualname__}, which no gateway takes. Give its gateway "
                    "to Duly(gateways=[…])."
                )
            for command in ear.hearing.rejected or ():
                if command not in commands:
                    yield (
                        f"{where} hears that {command.__qualname__} was rejected, which no module handles. Write a "
                        "handler with @module.command."
                    )


def domain_events(process: ProcessType) -> set[type[Message]]:
    """The domain events that a process hears."""
    return {cls for cls in process.table.types if issubclass(cls, DomainEvent)}


def process_handler(process: ProcessType, call: Call, call_unwatched: Call) -> Handler:
    """A process as a subscriber."""
    first, *others = sorted(process.table.types, key=lambda cls: cls.__duly__.name)
    return Handler(
        kind=HandlerKind.PROCESS,
        module=process.module,
        name=process.handler,
        identity=process.formerly[-1] if process.formerly else process.handler,
        formerly=process.formerly,
        message_type=first,
        key=None,
        call=call,
        call_unwatched=call_unwatched,
        more_types=frozenset(others),
        process=process,
    )


def process_definition(process: ProcessType) -> Definition:
    """A process as middleware is told of it."""
    return Definition(
        kind=HandlerKind.PROCESS,
        module=process.module,
        name=process.handler,
        formerly=process.formerly,
        key=None,
        function=process.table.cls,
    )


def process_call(process: ProcessType) -> Call:
    """What runs the processes of a type."""
    return ProcessRunner(process).call


def _is_process(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, ProcessManager)
