"""A bounded context: its handlers, and the messages that it offers to others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum
from typing import TypeAlias, TypeVar, overload

import msgspec

from duly.domain.aggregate import Aggregate
from duly.domain.process_manager import ProcessManager
from duly.domain.projection import Projection, ReadModel
from duly.messages.message import Message
from duly.messages.upcasting import Splitter, Upcasted, Upcaster

F = TypeVar("F", bound=Callable[..., object])
OneToOne: TypeAlias = Callable[[dict[str, object]], dict[str, object]]
S = TypeVar("S", bound=Callable[[dict[str, object]], dict[str, object] | Sequence[Upcasted] | None])


class HandlerKind(Enum):
    """When a handler runs."""

    COMMAND = "command"
    QUERY = "query"
    IN_TRANSACTION = "in_transaction"
    AFTER_COMMIT = "after_commit"
    PUBLISHES = "publishes"
    PROCESS = "process"


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A function that a module has been given, not yet looked into."""

    kind: HandlerKind
    module: str
    name: str
    formerly: tuple[str, ...]
    key: str | None
    function: Callable[..., object]
    after: timedelta | None = None


class Upcast(msgspec.Struct, frozen=True):
    """How stored fields of one version become those of the next; with a `Splitter`, other messages or none."""

    cls: type[Message] | type[Aggregate] | type[ReadModel] | type[ProcessManager]
    from_version: int
    step: Upcaster


class Module:
    """A bounded context. Wiring is a value: nothing is registered anywhere until it is given to `Duly`.

    *messages* are the domain events that other modules may hear inside the transaction, and the commands it offers.
    *tables* are statements (``CREATE TABLE …``) for the module's own SQL tables, each run once, by
    ``duly migrate``. *projections* build its read models. *processes* hear events and send commands.
    """

    def __init__(
        self,
        name: str,
        *,
        messages: Sequence[type[Message]] = (),
        tables: Sequence[str] = (),
        projections: Sequence[Projection] = (),
        processes: Sequence[type[ProcessManager]] = (),
    ) -> None:
        self.name = name
        self.processes: tuple[type[ProcessManager], ...] = tuple(processes)
        self.projections: tuple[Projection, ...] = tuple(projections)
        self.messages: tuple[type[Message], ...] = tuple(messages)
        self.tables: tuple[str, ...] = tuple(tables)
        self.definitions: list[Definition] = []
        self.upcasts_defined: list[Upcast] = []

    @overload
    def command(self, handler: F, /) -> F: ...
    @overload
    def command(self, /, *, name: str | None = None, formerly: tuple[str, ...] = ()) -> Callable[[F], F]: ...
    def command(
        self, handler: F | None = None, /, *, name: str | None = None, formerly: tuple[str, ...] = ()
    ) -> F | Callable[[F], F]:
        """The handler of a command. The transaction begins and ends here."""
        return self._define(HandlerKind.COMMAND, handler, name, formerly)

    @overload
    def query(self, handler: F, /) -> F: ...
    @overload
    def query(self, /, *, name: str | None = None) -> Callable[[F], F]: ...
    def query(self, handler: F | None = None, /, *, name: str | None = None) -> F | Callable[[F], F]:
        """The handler of a query. It reads what was committed."""
        return self._define(HandlerKind.QUERY, handler, name, ())

    @overload
    def in_transaction(self, handler: F, /) -> F: ...
    @overload
    def in_transaction(self, /, *, name: str | None = None, formerly: tuple[str, ...] = ()) -> Callable[[F], F]: ...
    def in_transaction(
        self, handler: F | None = None, /, *, name: str | None = None, formerly: tuple[str, ...] = ()
    ) -> F | Callable[[F], F]:
        """Hears a domain event inside the transaction that raised it: both are stored, or neither is."""
        return self._define(HandlerKind.IN_TRANSACTION, handler, name, formerly)

    @overload
    def after_commit(self, handler: F, /) -> F: ...
    @overload
    def after_commit(
        self,
        /,
        *,
        name: str | None = None,
        formerly: tuple[str, ...] = (),
        key: str | None = None,
        after: timedelta | None = None,
    ) -> Callable[[F], F]: ...
    def after_commit(
        self,
        handler: F | None = None,
        /,
        *,
        name: str | None = None,
        formerly: tuple[str, ...] = (),
        key: str | None = None,
        after: timedelta | None = None,
    ) -> F | Callable[[F], F]:
        """Hears an event from the outbox, in a transaction of its own, as often as it takes.

        *key* names the field whose value orders messages; the aggregate's stream by default. With *after* it hears so
        long after the commit, in the order in which messages become due.
        """
        return self._define(HandlerKind.AFTER_COMMIT, handler, name, formerly, key, after)

    @overload
    def publishes(self, handler: F, /) -> F: ...
    @overload
    def publishes(self, /, *, name: str | None = None, formerly: tuple[str, ...] = ()) -> Callable[[F], F]: ...
    def publishes(
        self, handler: F | None = None, /, *, name: str | None = None, formerly: tuple[str, ...] = ()
    ) -> F | Callable[[F], F]:
        """Makes a public event from a domain event (or None, to keep it inside): a plain function of one argument."""
        return self._define(HandlerKind.PUBLISHES, handler, name, formerly)

    @overload
    def upcasts(
        self, cls: type[Message] | type[Aggregate] | type[ReadModel] | type[ProcessManager], *, from_version: int
    ) -> Callable[[OneToOne], OneToOne]: ...
    @overload
    def upcasts(
        self, cls: type[Message], *, from_version: int, into: tuple[type[Message], ...]
    ) -> Callable[[S], S]: ...
    def upcasts(
        self,
        cls: type[Message] | type[Aggregate] | type[ReadModel] | type[ProcessManager],
        *,
        from_version: int,
        into: tuple[type[Message], ...] | None = None,
    ) -> Callable[[S], S]:
        """Registers how the stored fields of *from_version* become those of the next version.

        With *into* a stored message may become several, each an `Upcasted` of one of these types, or nothing: None or
        an empty list. Whoever hears or reads one of these types then reads what is stored under this one, too.
        """

        def register(step: S) -> S:
            self.upcasts_defined.append(Upcast(cls, from_version, step if into is None else Splitter(step, into)))
            return step

        return register

    def _define(
        self,
        kind: HandlerKind,
        handler: F | None,
        name: str | None,
        formerly: tuple[str, ...],
        key: str | None = None,
        after: timedelta | None = None,
    ) -> F | Callable[[F], F]:
        def register(function: F) -> F:
            own = name or getattr(function, "__name__", "handler")
            self.definitions.append(
                Definition(
                    kind=kind,
                    module=self.name,
                    name=f"{self.name}.{own}",
                    formerly=tuple(old if "." in old else f"{self.name}.{old}" for old in formerly),
                    key=key,
                    function=function,
                    after=after,
                )
            )
            return function

        return register if handler is None else register(handler)
