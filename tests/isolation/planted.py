"""Bugs that are put back on purpose, in both stores: a checker that stays silent about them shows nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from msgspec.structs import replace

from duly.ports.change import Change, Done, InboxWrite, Verdict
from duly.stores import commit_script, schema_version
from duly.stores.postgres import PostgresStore, group_commit, migration
from duly.stores.script import Script
from duly.stores.sqlite import SqliteStore
from duly.stores.sqlite.engine import SqliteEngine
from duly.stores.sqlite.unit import Unit
from duly.stores.sqlite.writer import Writer
from duly.work.identity_map import DocumentChanges, IdentityMap
from duly.work.unit_of_work import UnitOfWork

Bug: TypeAlias = Callable[[ExitStack], None]


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The bug called *name* is there as long as the block runs; none, if the name is empty."""
    with ExitStack() as stack:
        if name:
            BUGS[name](stack)
        yield


def _in_postgres(stack: ExitStack, *written: tuple[str, str]) -> None:
    """Have databases that are made from now on say something else. Raises `ValueError` if they did not say so."""

    def other(database: str) -> tuple[schema_version.Migration, ...]:
        found = []
        for one in schema_version.migrations(database):
            text = one.text
            for pattern, words in written:
                text, times = re.subn(pattern, words, text)
                if not times:
                    raise ValueError(f"the schema has no {pattern!r} to change: plant this bug anew")
            found.append(replace(one, text=text))
        return tuple(found)

    stack.enter_context(patch.object(migration, "migrations", other))


def versions_are_not_checked(stack: ExitStack) -> None:
    """Whoever commits last has changed it."""

    def nothing(change: Change) -> Script[Verdict | None]:
        return None
        yield

    stack.enter_context(patch.object(commit_script, "_check_versions", nothing))
    _in_postgres(stack, (r"present IS DISTINCT FROM expected\.version", "FALSE"))


def reads_are_not_checked(stack: ExitStack) -> None:
    """Only what is written is compared."""
    gather = IdentityMap.changes

    def changes(self: IdentityMap) -> DocumentChanges:
        found = gather(self)
        found.checks.clear()
        return found

    stack.enter_context(patch.object(IdentityMap, "changes", changes))


def repeats_run_again(stack: ExitStack) -> None:
    """The inbox row of an earlier execution is overwritten."""
    text = commit_script.INSERT_INBOX
    always = text.replace("WHERE present.expires_ms", "WHERE TRUE OR present.expires_ms")
    assert always != text
    stack.enter_context(patch.object(commit_script, "INSERT_INBOX", always))
    _in_postgres(stack, (r"WHERE earlier\.expires_ms <= now_at", "WHERE TRUE OR earlier.expires_ms <= now_at"))


def refused_changes_leave_their_rows(stack: ExitStack) -> None:
    """What a change had written when it was refused is not taken back."""
    transact = SqliteEngine.transact

    async def keeping(self: SqliteEngine, work: Any) -> Any:
        def kept(connection: Any) -> Any:
            result, _ = work(connection)
            return result, True

        return await transact(self, kept)

    stack.enter_context(patch.object(SqliteEngine, "transact", keeping))
    _in_postgres(stack, (r"IF has_written THEN", "IF FALSE THEN"))


def losers_of_a_batch_leave_their_rows(stack: ExitStack) -> None:
    """What a change of a shared commit had written when it was refused stays, and is committed with the others."""
    plain = Writer._plain

    def stays(self: Writer, unit: Unit[Any]) -> bool:
        plain(self, unit)
        return unit.failure is None

    stack.enter_context(patch.object(Writer, "_plain", stays))
    _in_postgres(stack, (r"IF late <> '\{\}' THEN", "IF FALSE THEN"))


def batches_share_aggregates(stack: ExitStack) -> None:
    """Changes of one shared commit may want the same aggregate: each finds the version that it has read."""
    stack.enter_context(patch.object(group_commit, "keys_of", lambda change: []))


def _committing(stack: ExitStack, commit: Callable[[Any, Change, Any], Any]) -> None:
    for store in (SqliteStore, PostgresStore):
        whole = store.commit

        async def instead(self: Any, change: Change, whole: Any = whole) -> Verdict:
            verdict: Verdict = await commit(self, change, whole)
            return verdict

        stack.enter_context(patch.object(store, "commit", instead))


def changes_are_committed_in_two(stack: ExitStack) -> None:
    """One document first, and the rest when that is done."""

    async def in_two(self: Any, change: Change, whole: Any) -> Verdict:
        first, *rest = change.documents or (None,)
        if not rest or first is None:
            return await whole(self, change)  # type: ignore[no-any-return]
        verdict = await whole(self, Change(tenant=change.tenant, documents=(first,), checks=change.checks))
        if not isinstance(verdict, Done):
            return verdict  # type: ignore[no-any-return]
        return await whole(self, replace(change, documents=tuple(rest)))  # type: ignore[no-any-return]

    _committing(stack, in_two)


def acknowledged_and_forgotten(stack: ExitStack) -> None:
    """Of twenty changes, one is acknowledged and not written."""
    numbers = count(1)

    async def forgetful(self: Any, change: Change, whole: Any) -> Verdict:
        if change.inbox is not None and next(numbers) % 20 == 0:
            return Done(None)
        return await whole(self, change)  # type: ignore[no-any-return]

    _committing(stack, forgetful)


def retried_without_its_id(stack: ExitStack) -> None:
    """Of twenty changes, one is committed once more, as if the answer had been lost, without its inbox row."""
    numbers = count(1)

    async def twice(self: Any, change: Change, whole: Any) -> Verdict:
        verdict: Verdict = await whole(self, change)
        if isinstance(verdict, Done) and change.inbox is not None and next(numbers) % 20 == 0:
            again = tuple(replace(one, expected=one.expected + one.grows) for one in change.documents if one.body)
            await whole(self, replace(change, inbox=None, documents=again, checks=(), entries_added=(), intents=()))
        return verdict

    _committing(stack, twice)


def values_are_not_unique(stack: ExitStack) -> None:
    """Nothing is entered, so that nothing collides."""
    make = UnitOfWork._change

    def without(self: UnitOfWork, inbox: InboxWrite | None, delivered: Any) -> Change:
        return replace(make(self, inbox, delivered), entries_added=())

    stack.enter_context(patch.object(UnitOfWork, "_change", without))


def blocks_take_back_the_database_only(stack: ExitStack) -> None:
    """Aggregates keep what they were given in a block that was taken back."""
    stack.enter_context(patch.object(IdentityMap, "restore", lambda self, moment: None))


def half_of_a_transaction_with_sql(stack: ExitStack) -> None:
    """A statement of the handler's own is committed where it stands."""
    flushed = UnitOfWork._flushed

    async def committing(self: UnitOfWork) -> Any:
        changes = self._map.changes()
        if changes and self._transaction is None:
            verdict = await self.store.commit(self._documents_only(changes))
            if isinstance(verdict, Done):
                self._map.written(changes)
        return await flushed(self)

    stack.enter_context(patch.object(UnitOfWork, "_flushed", committing))


BUGS: Final[Mapping[str, Bug]] = {
    bug.__name__: bug
    for bug in (
        versions_are_not_checked,
        reads_are_not_checked,
        repeats_run_again,
        refused_changes_leave_their_rows,
        changes_are_committed_in_two,
        acknowledged_and_forgotten,
        retried_without_its_id,
        values_are_not_unique,
        blocks_take_back_the_database_only,
        half_of_a_transaction_with_sql,
        losers_of_a_batch_leave_their_rows,
        batches_share_aggregates,
    )
}
ON_POSTGRES_ONLY: Final = ("batches_share_aggregates",)
