"""Bugs that are put back on purpose: a scenario that stays green with its bug shows nothing.

Each is a patch of the running process. Production code has no switch for any of them.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any, Final, TypeAlias
from unittest.mock import patch

import msgspec
from msgspec.structs import replace

from duly import failpoints
from duly.delivery import rebuild
from duly.delivery.old_transactions import OldTransactionWatch
from duly.delivery.relay import Relay
from duly.effects import breakers, calling, sender, senders
from duly.gateways import webhook_verifying
from duly.gateways.http_messages import HttpResponse
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.network_policy import NetworkPolicy
from duly.messages import catalog
from duly.messages.codec import Codec
from duly.messages.message import Effect
from duly.ports.change import Change, Intent
from duly.ports.gateway import Call
from duly.ports.ledger import BreakerMove, Claimed, Ended
from duly.ports.log import LogEvent, LogPage
from duly.ports.outcomes import Hearers
from duly.ports.projections import Advance, Generation
from duly.ports.store import Look, Seen
from duly.states.attempt import NotSent, Outcome
from duly.states.effect import Dispatch, Settled, after_attempt
from duly.stores import attempt_ends, rebuild_scripts, receipt_moves, script, turn_script, view_scripts
from duly.stores.log_scripts import SqlLog
from duly.stores.postgres import PostgresStore, engine, running
from duly.stores.postgres.address import Connection
from duly.stores.postgres.engine import PostgresEngine
from duly.stores.postgres.pool import ConnectionPool
from duly.stores.postgres.transaction import PostgresTransaction
from duly.stores.script import Script, Statement
from duly.stores.sqlite import SqliteStore
from duly.stores.sqlite.file_lock import FileLock
from duly.work.savepoints import Savepoints
from duly.work.unit_of_work import UnitOfWork

Bug: TypeAlias = Callable[[ExitStack], None]


@contextmanager
def put_back(name: str) -> Iterator[None]:
    """The bug called *name* is there as long as the block runs; none, if the name is empty."""
    with ExitStack() as stack:
        if name:
            BUGS[name](stack)
        yield


def _without(stack: ExitStack, module: Any, name: str, *left_out: str) -> None:
    """Leave words out of a statement. Raises `ValueError` when it does not have them."""
    text: str = getattr(module, name)
    for words in left_out:
        if words not in text:
            raise ValueError(f"{name} has no {words!r} to leave out: write this bug anew.")
        text = text.replace(words, "")
    stack.enter_context(patch.object(module, name, text))


# R02.


def lost_attempts_are_queued(stack: ExitStack) -> None:
    """An attempt whose worker was lost is taken for one that was not sent."""

    def queued(self: senders.Senders, gateway: str, standing: object) -> Settled:
        return Settled(state=Dispatch.QUEUED, reason="again", wait=timedelta())

    stack.enter_context(patch.object(senders.Senders, "_settle_lost", queued))


def attempts_are_written_after_the_call(stack: ExitStack) -> None:
    """A claim leaves no trace but a short reservation; the attempt is written with its outcome."""
    begin, end = turn_script._begin, attempt_ends.end_attempts

    def reserve(*given: Any) -> Script[tuple[list[Claimed], list[BreakerMove]]]:
        claimed, moves = yield from begin(*given)
        for one in claimed:
            yield Statement("DELETE FROM duly.attempt WHERE token = :token", {"token": one.token})
            yield Statement(
                "UPDATE duly.effect SET state = 'queued', attempts = attempts - 1, counted = counted - 1, "
                "lease_ms = NULL, due_ms = duly.now_ms() + 1500 WHERE id = :id",
                {"id": one.effect_id},
            )
        return claimed, moves

    def write_late(ended: Sequence[Ended], hearers: Hearers) -> Script[tuple[list[bool], bool]]:
        for one in ended:
            yield Statement(
                "UPDATE duly.effect SET state = 'attempting', attempts = attempts + 1, counted = counted + 1 "
                "WHERE id = :id AND token = :token",
                {"id": one.effect_id, "token": one.token},
            )
            yield Statement(
                turn_script.INSERT_ATTEMPTS,
                {"owner": "late", "token": one.token, "ids": [one.effect_id], "duplicates": []},
            )
        return (yield from end(ended, hearers))

    stack.enter_context(patch.object(turn_script, "_begin", reserve))
    stack.enter_context(patch.object(turn_script, "end_attempts", write_late))


def possible_duplicates_are_not_marked(stack: ExitStack) -> None:
    """An attempt after an unknown one looks like any other."""
    stack.enter_context(patch.object(turn_script, "_may_duplicate", lambda *given: False))


# R05.


def stale_outcomes_are_written(stack: ExitStack) -> None:
    """Who has written an attempt off is not asked when its outcome comes."""
    for name in ("END_EFFECTS", "END_EFFECTS_HEARD"):
        _without(stack, attempt_ends, name, " AND CASE WHEN e.token = r.held_token THEN e.state END = 'attempting'")


# R20.


def times_are_the_workers_own(stack: ExitStack) -> None:
    """What is due, and whose lease has run out, is compared by the clock of whoever asks."""

    def own(text: str) -> str:
        return spoken(text).replace("duly.now_ms()", f"{time.time_ns() // 1_000_000}")

    spoken = script.for_postgres.__wrapped__
    stack.enter_context(patch.object(running, "for_postgres", own))


# R09, R10.

FOLLOW_IDS: Final = """
SELECT c.id, m.ordinal, c.at_ms, m.id, m.tenant, m.name, m.version, m.body, m.stream, m.stream_version
  FROM (SELECT id, events, at_ms FROM duly.commit_log WHERE id > :after ORDER BY id LIMIT :rows_max) AS c
  JOIN duly.message AS m ON m.commit_id = c.id AND m.ordinal < c.events ORDER BY c.id, m.ordinal
"""

# All of it sees the moment before the wait for the row that it updates.
ONE_STATEMENT: Final = """
WITH head AS (
    SELECT * FROM duly.sequencer
), visible AS (
    SELECT c.id, c.events, c.at_ms, sum(c.events) OVER (ORDER BY c.id) - c.events AS before
      FROM (SELECT c.id, c.events, c.at_ms FROM head, duly.commit_log AS c
             WHERE c.id > head.seen OR head.missing @> c.id ORDER BY c.id LIMIT $1) AS c
), moved AS (
    UPDATE duly.sequencer AS h
       SET next_position = h.next_position + (SELECT sum(events) FROM visible),
           seen = greatest(h.seen, (SELECT max(id) FROM visible)),
           missing = h.missing - (SELECT range_agg(int8range(id, id + 1)) FROM visible) + int8multirange(
                         int8range(h.seen + 1, greatest(h.seen, (SELECT max(id) FROM visible)) + 1))
                     - (SELECT range_agg(int8range(id, id + 1)) FROM visible)
     WHERE EXISTS (SELECT 1 FROM visible)
    RETURNING h.next_position - (SELECT sum(events) FROM visible) AS first, h.seen
)
INSERT INTO duly.log_stretch (first_position, next_position, seen, commit_ids, befores, events, at_ms)
SELECT moved.first, moved.first + sum(v.events), moved.seen, array_agg(v.id ORDER BY v.id),
       array_agg(v.before ORDER BY v.id), array_agg(v.events ORDER BY v.id), array_agg(v.at_ms ORDER BY v.id)
  FROM visible AS v, moved WHERE v.events > 0 GROUP BY moved.first, moved.seen
RETURNING cardinality(commit_ids)
"""


def readers_follow_commit_ids(stack: ExitStack) -> None:
    """A cursor over the ids that commits drew, without positions."""

    async def read_log(self: SqlLog, after: int, positions_max: int, **filters: object) -> LogPage:
        def script() -> Script[list[LogEvent]]:
            found = yield Statement(FOLLOW_IDS, {"after": after, "rows_max": positions_max})
            return [
                LogEvent(
                    position=row[0],
                    at_ms=row[2],
                    id=row[3],
                    tenant=row[4],
                    name=row[5],
                    version=row[6],
                    body=row[7],
                    personal=None,
                    stream=row[8],
                    stream_version=row[9],
                    chain="[]",
                )
                for row in found.rows
            ]

        events = await self._engine.read(script)
        return LogPage(events, events[-1].position if events else after)

    stack.enter_context(patch.object(SqlLog, "read_log", read_log))


def sequencers_look_only_ahead(stack: ExitStack) -> None:
    """What a sequencer did not see is not looked for again."""
    number = PostgresEngine.number_commits

    async def only_ahead(self: PostgresEngine, commits_max: int) -> int:
        numbered = await number(self, commits_max)
        async with self.pool.lend() as connection:
            await connection.execute("UPDATE duly.sequencer SET missing = '{}'")
        return numbered

    stack.enter_context(patch.object(PostgresEngine, "number_commits", only_ahead))


def sequencers_are_one_statement(stack: ExitStack) -> None:
    """A sequencer that waited for another one does not see what that one has done."""

    async def at_once(self: PostgresEngine, commits_max: int) -> int:
        async with self.pool.lend() as connection:
            return int(await connection.fetchval(ONE_STATEMENT, commits_max) or 0)

    stack.enter_context(patch.object(PostgresEngine, "number_commits", at_once))


def sequencers_wait_for_older_transactions(stack: ExitStack) -> None:
    """Nothing is numbered that is younger than a transaction still open, as with a cursor below the oldest one."""
    guarded = (
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_stat_activity WHERE backend_xid IS NOT NULL UNION ALL "
        "SELECT 1 FROM pg_prepared_xacts) THEN 0 ELSE duly.number_commits($1) END"
    )
    stack.enter_context(patch.object(engine, "NUMBER_COMMITS", guarded))


def old_transactions_are_not_named(stack: ExitStack) -> None:
    """Nobody says who keeps a transaction open."""

    async def look(self: OldTransactionWatch) -> None:
        pass

    stack.enter_context(patch.object(OldTransactionWatch, "look", look))


# R11.


def marks_are_never_decided(stack: ExitStack) -> None:
    """The low-water mark stays where it was: every claim passes the rows again that are done and not put away."""
    look = PostgresStore.look

    async def undecided(self: PostgresStore, wanted: Look) -> Seen:
        return replace(await look(self, wanted), is_decided=False)

    stack.enter_context(patch.object(PostgresStore, "look", undecided))


# R19.


def workers_wait_to_be_woken(stack: ExitStack) -> None:
    """A relay looks at the outbox when it is woken, and not otherwise."""

    async def wait(self: Relay) -> None:
        await self._woken.wait()

    stack.enter_context(patch.object(Relay, "_pause", wait))


# R23.


def writers_wait_as_sqlite_does(stack: ExitStack) -> None:
    """Nobody takes the lock on the file beside: whoever finds SQLite's own taken sleeps, and tries again."""
    stack.enter_context(patch.object(FileLock, "acquire", lambda self: None))
    stack.enter_context(patch.object(FileLock, "release", lambda self: None))


# R27.


def breakers_never_open(stack: ExitStack) -> None:
    """A provider that is away is called as if it were there."""
    stack.enter_context(patch.object(breakers, "trips", lambda *given: False))


# R29.


def intents_are_written_outside_of_the_transaction(stack: ExitStack) -> None:
    """An effect is on disk once it was requested, whatever becomes of the transaction."""
    intend = UnitOfWork.intend
    writes: set[asyncio.Task[object]] = set()

    def at_once(self: UnitOfWork, intent: Intent) -> None:
        store: Any = self.store
        writes.add(asyncio.ensure_future(store.commit(Change(tenant=self.tenant, intents=(intent,)))))
        intend(self, intent)

    stack.enter_context(patch.object(UnitOfWork, "intend", at_once))


def blocks_take_back_the_database_only(stack: ExitStack) -> None:
    """What was requested in a block of a savepoint stays requested when the block is taken back."""
    make = Savepoints.__init__
    stack.enter_context(patch.object(Savepoints, "__init__", lambda self, in_hand, *buffers: make(self, in_hand)))


# R30.


def shadows_take_their_place_too_early(stack: ExitStack) -> None:
    """A shadow is read as soon as its first batch is in it."""

    async def first_batch(self: rebuild.Rebuilder, at: Generation) -> Generation:
        page = await self._projector.read(at.position)
        return replace(at, position=await self._projector.project(at, page)) if page.events else at

    async def as_it_is(self: Any, transaction: Any, shadow: Generation, live: Generation) -> Generation:
        return shadow

    stack.enter_context(patch.object(rebuild.Rebuilder, "_catch_up", first_batch))
    stack.enter_context(patch.object(rebuild.Rebuilder, "_finish", as_it_is))


def checkpoints_move_in_another_transaction(stack: ExitStack) -> None:
    """Rows are committed first, and the checkpoint afterwards."""
    for store in (SqliteStore, PostgresStore):
        project = store.project

        async def in_two(self: Any, advance: Advance, statements: Any, documents: Any, project: Any = project) -> bool:
            stays = replace(advance, ends=advance.begins)
            if not await project(self, stays, statements, documents):
                return False
            failpoints.hit("rebuild.after_batch")
            return bool(await project(self, advance, [], []))

        stack.enter_context(patch.object(store, "project", in_two))


def replaced_checkpoints_still_move(stack: ExitStack) -> None:
    """What a rebuild has replaced keeps its checkpoint: whoever was at it goes on, into the new tables."""
    _without(stack, rebuild_scripts, "REPLACE", ", position = :replaced")
    stack.enter_context(patch.object(Generation, "is_old", property(lambda self: False)))


def writers_are_not_locked_out(stack: ExitStack) -> None:
    """An in-transaction read model is exchanged while commands write it."""

    async def nothing(self: Any, name: str) -> None:
        pass

    stack.enter_context(patch.object(PostgresTransaction, "lock_projection", nothing))


# R31.


def unknown_is_tried_again(stack: ExitStack) -> None:
    """Under every policy an unknown outcome is tried again, without a key if need be."""

    def again(outcome: Any, standing: Any, terms: Any, *, fraction: float) -> Settled:
        settled = after_attempt(outcome, standing, terms, fraction=fraction)
        if settled.state is Dispatch.UNKNOWN and standing.attempts < 3:
            return msgspec.structs.replace(settled, wait=timedelta())
        return settled

    stack.enter_context(patch.object(sender, "after_attempt", again))


def keys_live_for_ever(stack: ExitStack) -> None:
    """A key is used again after the provider has forgotten it."""
    stack.enter_context(patch.object(turn_script, "when_key_has_gone", lambda *given: None))


def unknown_says_nothing(stack: ExitStack) -> None:
    """What was seen is not written down."""

    def silent(outcome: Any) -> tuple[str, str, str | None]:
        name, _, provider_id = told(outcome)
        return name, "", provider_id

    told = calling.told
    stack.enter_context(patch.object(sender, "told", silent))


# Receipts, and the lines S08 to S11.


def signatures_are_not_compared(stack: ExitStack) -> None:
    """Whoever knows the address of a receipt route is believed."""
    stack.enter_context(patch.object(hmac, "compare_digest", lambda one, other: True))
    stack.enter_context(patch.object(webhook_verifying, "_verifier", lambda secret: lambda body, headers: True))


def deliveries_move_backwards(stack: ExitStack) -> None:
    """The report that came last wins."""
    stack.enter_context(patch.object(receipt_moves, "moves_forward", lambda present, following: True))


def a_where_without_its_tenant(stack: ExitStack) -> None:
    """An effect's id is enough to see it."""
    _without(stack, view_scripts, "SELECT_EFFECT", " AND e.tenant = :tenant")


def connections_come_back_as_they_are(stack: ExitStack) -> None:
    """A connection whose user was cancelled is lent again as it is, in the middle of its transaction."""

    def as_it_is(self: ConnectionPool, connection: Connection, *, is_idle: bool) -> None:
        self._idle.append(connection)
        self._free.release()

    stack.enter_context(patch.object(ConnectionPool, "give_back", as_it_is))


def addresses_are_not_checked(stack: ExitStack) -> None:
    """What a name leads to is connected to."""
    stack.enter_context(patch.object(NetworkPolicy, "refusal_of_address", lambda self, text, **rest: None))


def reasons_quote_the_body(stack: ExitStack) -> None:
    """A refusal repeats what was to be sent."""
    outcome = JsonHttpGateway._outcome

    def quoting(self: JsonHttpGateway[Effect], call: Call, answer: HttpResponse) -> Outcome:
        decided = outcome(self, call, answer)
        if isinstance(decided, NotSent):
            return msgspec.structs.replace(decided, reason=f"{decided.reason}: {call.prepared.body.decode()}")
        return decided

    stack.enter_context(patch.object(JsonHttpGateway, "_outcome", quoting))


# R36.


def personal_parts_are_not_read(stack: ExitStack) -> None:
    """What lies beside a stored message is forgotten when it is read."""
    decode = Codec.decode
    stack.enter_context(
        patch.object(Codec, "decode", lambda self, body, personal=None: decode(self, body, None)),
    )


def older_versions_are_read_as_they_are(stack: ExitStack) -> None:
    """Upcasters are not asked."""
    stack.enter_context(
        patch.object(catalog, "upcast_message", lambda first, types, described: ((first.type, dict(first.fields)),))
    )


BUGS: Final[Mapping[str, Bug]] = {
    bug.__name__: bug
    for bug in (
        lost_attempts_are_queued,
        attempts_are_written_after_the_call,
        possible_duplicates_are_not_marked,
        stale_outcomes_are_written,
        times_are_the_workers_own,
        readers_follow_commit_ids,
        sequencers_look_only_ahead,
        sequencers_are_one_statement,
        sequencers_wait_for_older_transactions,
        old_transactions_are_not_named,
        marks_are_never_decided,
        workers_wait_to_be_woken,
        writers_wait_as_sqlite_does,
        breakers_never_open,
        intents_are_written_outside_of_the_transaction,
        blocks_take_back_the_database_only,
        shadows_take_their_place_too_early,
        checkpoints_move_in_another_transaction,
        replaced_checkpoints_still_move,
        writers_are_not_locked_out,
        unknown_is_tried_again,
        keys_live_for_ever,
        unknown_says_nothing,
        signatures_are_not_compared,
        deliveries_move_backwards,
        a_where_without_its_tenant,
        connections_come_back_as_they_are,
        addresses_are_not_checked,
        reasons_quote_the_body,
        personal_parts_are_not_read,
        older_versions_are_read_as_they_are,
    )
}
