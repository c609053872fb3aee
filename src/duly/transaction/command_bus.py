"""Executes commands: one transaction each, once per id."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from datetime import timedelta
from os import urandom
from typing import Any, Final, TypeVar

import msgspec

from duly.errors import (
    AggregateExists,
    CommandIdReused,
    ConcurrencyConflict,
    PayloadTooLarge,
    StoreError,
    TransactionVoid,
    UniqueViolation,
    UnknownCommand,
    UserSqlError,
)
from duly.failpoints import hit
from duly.messages.envelope import Envelope, Kind
from duly.messages.identity import checked_command_id, checked_tenant, derived_id, digest_of
from duly.messages.message import Command, Message
from duly.ports.change import Conflict, Done, Exists, InboxWrite, Repeat, Taken, Verdict, Void
from duly.ports.store import Committing
from duly.telemetry import current_trace, is_watched, log, span
from duly.transaction.door import FieldChecks
from duly.work.contention import CONFLICT_RETRIES_MAX, Contention
from duly.work.routes import CommandRoute, Routes
from duly.work.unit_of_work import OnCommit, UnitOfWork, WriteRefused

R = TypeVar("R")

RESULT_BYTES_MAX: Final = 64 * 1024


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of one command: what does not change between its retries."""

    command: Message
    envelope: Envelope
    route: CommandRoute
    command_id: str
    digest: str
    token: str
    """Tells this execution from every other one of the same command."""
    is_watched: bool
    """Whether anybody takes spans or debug records of it: asked once, since to ask is not cheap."""


class CommandBus:
    """Act I."""

    def __init__(
        self,
        routes: Routes,
        store: Committing,
        *,
        inbox_keep: timedelta,
        checks: FieldChecks,
        on_commit: OnCommit,
        contention: Contention,
    ) -> None:
        self._routes = routes
        self._store = store
        self.inbox_keep = inbox_keep
        self._checks = checks
        for cls in routes.commands:
            checks.look_into(cls)
        self._on_commit = on_commit
        self._contention = contention

    def settle(
        self, command: Command[R], *, tenant: str | None, command_id: str | None
    ) -> Awaitable[tuple[R, Done | Repeat]]:
        """Run *command* and everything that follows from it in one transaction; the handler's result, with what the
        store said.

        The same *command_id* runs once per tenant: a repeat gets the first result. Raises `InvalidInput`,
        `CommandIdReused`, `ConcurrencyConflict`, `AggregateExists`, `UniqueViolation`, `StoreError`, and whatever the
        handlers raise.
        """
        execution = self.admit(command, checked_tenant(tenant), command_id)
        return self._watched(execution) if execution.is_watched else self._until_settled(execution)

    def admit(self, command: Command[R], tenant: str, command_id: str | None) -> Execution:
        """*command* with its origin, checked. Raises `InvalidInput`."""
        cls = type(command)
        route = self._routes.command(cls)
        token = urandom(16).hex()
        command_id = checked_command_id(command_id) if command_id is not None else _uuid_of(token)
        body = self._routes.catalog.codec(cls).encode_whole(command)
        self._checks.check(command)
        facts = cls.__duly__
        envelope = Envelope(
            id=derived_id(tenant, command_id, handler=route.handler.identity, ordinal=0),
            tenant=tenant,
            kind=Kind.COMMAND,
            name=facts.name,
            version=facts.version,
            body="",
            subject=str(getattr(command, facts.subject)) if facts.subject else None,
            trace=current_trace(),
        )
        return Execution(
            command=command,
            envelope=envelope,
            route=route,
            command_id=command_id,
            digest=digest_of(facts.name, body),
            token=token,
            is_watched=is_watched(),
        )

    async def _watched(self, execution: Execution) -> tuple[Any, Done | Repeat]:
        facts = {"duly.tenant": execution.envelope.tenant, "duly.message_id": execution.envelope.id}
        with span(f"execute {execution.envelope.name}", facts):
            return await self._until_settled(execution)

    async def _until_settled(self, execution: Execution) -> tuple[Any, Done | Repeat]:
        """The result is the command's R: the start has checked that its handler's return type is."""
        verdict: Verdict | None = None
        for attempt in range(CONFLICT_RETRIES_MAX + 1):
            if verdict is None:
                verdict, result = await self._once(execution)
            else:
                async with self._contention.turn(execution.envelope.tenant, verdict, attempt):
                    verdict, result = await self._once(execution)
            match verdict:
                case Done():
                    return result, verdict
                case Repeat():
                    return self._repeated(execution, verdict), verdict
                case Taken(type=type_name, field=field, value=value):
                    raise UniqueViolation(
                        type_name,
                        field,
                        value,
                        f"{type_name}.{field} {value!r} belongs to another {type_name}. Use another value.",
                    )
                case Exists(type=type_name, id=aggregate_id) if attempt:
                    raise AggregateExists(
                        f"{type_name}/{aggregate_id} exists already. Get it and change it, or use another id."
                    )
                case Void(reason=reason):
                    raise TransactionVoid(reason)
                case Conflict() | Exists():
                    log(logging.DEBUG, "a command met a conflict and runs again", command=execution.envelope.name)
        raise ConcurrencyConflict(
            f"{execution.envelope.name} met a conflict {CONFLICT_RETRIES_MAX + 1} times, the last at {verdict}. "
            "Send it again later; if it happens often, let fewer commands change the same aggregate."
        )

    async def _once(self, execution: Execution) -> tuple[Verdict, object]:
        envelope, route = execution.envelope, execution.route
        try:
            async with UnitOfWork(self._routes, self._store, envelope.tenant, is_watched=execution.is_watched) as work:
                result = await work.run(route.handler, execution.command, envelope)
                inbox = InboxWrite(
                    id=execution.command_id,
                    name=envelope.name,
                    digest=execution.digest,
                    token=execution.token,
                    result=self._encoded_result(route, result),
                    keep=self.inbox_keep,
                )
                hit("command.before_commit")
                verdict = await work.commit(inbox=inbox)
        except WriteRefused as refused:
            # Written before the inbox row was: the first execution may have been faster.
            row = await self._store.inbox_row(envelope.tenant, execution.command_id)
            return row or refused.verdict, None
        except StoreError as error:
            # A user's own statement may fail because the command was executed before; other errors say nothing.
            if not isinstance(error, UserSqlError):
                raise
            return await self._what_the_inbox_says(execution, error), None
        except Exception as error:
            # The repeat of "place order" raises "already exists" first: the inbox knows better.
            return await self._what_the_inbox_says(execution, error), None
        if isinstance(verdict, Done):
            hit("command.after_commit")
            self._on_commit(work.promised, work.intended)
        return verdict, result

    async def _what_the_inbox_says(self, execution: Execution, error: Exception) -> Repeat:
        row = await self._store.inbox_row(execution.envelope.tenant, execution.command_id)
        if row is None:
            raise error
        return row

    def _encoded_result(self, route: CommandRoute, result: object) -> str:
        if result is None and route.result.cls is type(None):
            return "null"
        encoded = route.result.encode_whole(result)
        size = len(encoded.encode())
        if size > RESULT_BYTES_MAX:
            raise PayloadTooLarge(
                f"The result of {route.handler.name} has {size:,} bytes; the limit is {RESULT_BYTES_MAX:,}. "
                "Return an id, and let a query read the rest."
            )
        return encoded

    def _repeated(self, execution: Execution, row: Repeat) -> object:
        if row.digest != execution.digest:
            raise CommandIdReused(
                f"The command id {execution.command_id!r} was used before in tenant {execution.envelope.tenant!r}, for "
                f"another {row.name}. Give each new command an id of its own."
            )
        return execution.route.result.decode(row.result)


class QueryBus:
    """Answers queries from what was committed."""

    def __init__(self, routes: Routes, store: Committing) -> None:
        self._routes = routes
        self._store = store

    async def ask(self, query: Message, *, tenant: str | None) -> object:
        """The answer of the query's handler. Raises `InvalidInput`, `ReadOnlyUse`."""
        tenant = checked_tenant(tenant)
        route = self._routes.queries.get(type(query))
        if route is None:
            raise UnknownCommand(f"No module answers {type(query).__qualname__}. Write a handler with @module.query.")
        self._routes.catalog.codec(type(query)).encode_whole(query)
        envelope = Envelope(
            id=_uuid_of(urandom(16).hex()),
            tenant=tenant,
            kind=Kind.COMMAND,
            name=type(query).__duly__.name,
            version=type(query).__duly__.version,
            body="",
        )
        async with UnitOfWork(self._routes, self._store, tenant, read_only=True) as work:
            with span(f"ask {envelope.name}", {"duly.tenant": tenant}):
                answer = await work.run(route.handler, query, envelope)
            work.check_unchanged()
        return answer


def _uuid_of(random: str) -> str:
    """A UUID of version 4 (RFC 9562, 5.4) of 32 random hexadecimal digits, at an eighth of what `uuid.uuid4` takes."""
    return f"{random[:8]}-{random[8:12]}-4{random[13:16]}-a{random[17:20]}-{random[20:]}"
