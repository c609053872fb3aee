"""Changes that wait at the same time share one round trip and one commit, each with a verdict of its own.

A lone change goes at once, by itself. While it is under way others gather, and go together: at most two batches at a
time, so that the server works on one while we make ready the next (docs/adr/0024).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any, Final, TypeAlias

from duly.ports.change import Change, Verdict

UNITS_MAX: Final = 32
"""How many changes share a commit at most."""
LEADERS_MAX: Final = 2
"""How many batches are under way at a time."""
LEADER_SECONDS_MAX: Final = 0.02
"""After this time a batch that is still under way no longer counts: the disk is slow, or it waits for a lock."""

Outcome: TypeAlias = Verdict | BaseException | None
"""What has become of a change; None: it must go by itself."""
Key: TypeAlias = tuple[Any, ...]


class _Waiting:
    """A change, and who waits for its verdict."""

    __slots__ = ("_keys", "change", "verdict")

    def __init__(self, change: Change, verdict: asyncio.Future[Verdict]) -> None:
        self.change = change
        self.verdict = verdict
        self._keys: frozenset[Key] | None = None

    @property
    def keys(self) -> frozenset[Key]:
        """What no other change of its batch may touch."""
        if self._keys is None:
            self._keys = frozenset(keys_of(self.change))
        return self._keys

    def settle(self, outcome: Verdict | BaseException) -> None:
        """Tell whoever waits, if anybody still does."""
        if self.verdict.done():
            return
        if isinstance(outcome, BaseException):
            self.verdict.set_exception(outcome)
        else:
            self.verdict.set_result(outcome)


class GroupCommit:
    """Gathers the changes of one process. *alone* commits one; *together* several, which share no key."""

    def __init__(
        self,
        alone: Callable[[Change], Awaitable[Verdict]],
        together: Callable[[Sequence[Change]], Awaitable[list[Outcome]]],
    ) -> None:
        self._alone = alone
        self._together = together
        self._waiting: deque[_Waiting] = deque()
        self._leading = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def commit(self, change: Change) -> Verdict:
        """The verdict on *change*. Cancelled, it is withdrawn; what is under way already comes to its end."""
        waiting = _Waiting(change, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._leading < LEADERS_MAX:
            self._begin()
        return await waiting.verdict

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self) -> None:
        self._leading += 1
        self._start(self._lead())

    def _start(self, work: Any) -> None:
        # In a context of its own: that of whoever came first is not the others'.
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lead(self) -> None:
        """Commit what waits, batch after batch."""
        lead = _Lead(self)
        try:
            while lead.counts and (batch := self._sealed()):
                lead.begin()
                await self._commit(batch)
                lead.end()
                await asyncio.sleep(0)  # those who have their verdicts may have more
        finally:
            lead.leave()

    def left(self) -> None:
        """A leader no longer counts."""
        self._leading -= 1
        if self._waiting and self._leading < LEADERS_MAX:
            self._begin()

    def _sealed(self) -> list[_Waiting]:
        """The next batch: at most half of what waits, without two that touch the same."""
        waiting = self._waiting
        wanted = min(UNITS_MAX, -(-len(waiting) // LEADERS_MAX))
        batch: list[_Waiting] = []
        taken: set[Key] = set()
        passed_over: list[_Waiting] = []
        while waiting and len(batch) < wanted:
            candidate = waiting.popleft()
            if candidate.verdict.cancelled():
                continue
            if wanted > 1:
                if not taken.isdisjoint(candidate.keys):
                    passed_over.append(candidate)
                    continue
                taken |= candidate.keys
            batch.append(candidate)
        waiting.extendleft(reversed(passed_over))
        return batch

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        if len(batch) == 1:
            await self._commit_alone(batch[0])
            return
        outcomes: list[Outcome]
        try:
            outcomes = await self._together([waiting.change for waiting in batch])
        except Exception:  # whose fault it is, is not known: each by itself will show
            outcomes = [None] * len(batch)
        except BaseException:
            for waiting in batch:
                waiting.verdict.cancel()
            raise
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if outcome is None:
                self._start(self._commit_alone(waiting))
            else:
                waiting.settle(outcome)

    async def _commit_alone(self, waiting: _Waiting) -> None:
        try:
            waiting.settle(await self._alone(waiting.change))
        except Exception as error:
            waiting.settle(error)
        except BaseException:
            waiting.verdict.cancel()
            raise


class _Lead:
    """A leader, which counts as one until it ends or has been under way for too long."""

    __slots__ = ("_group", "_timer", "counts")

    def __init__(self, group: GroupCommit) -> None:
        self._group = group
        self._timer: asyncio.TimerHandle | None = None
        self.counts = True

    def begin(self) -> None:
        """A batch is under way."""
        self._timer = asyncio.get_running_loop().call_later(LEADER_SECONDS_MAX, self.leave)

    def end(self) -> None:
        """It has come to its end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def leave(self) -> None:
        """It no longer counts."""
        self.end()
        if self.counts:
            self.counts = False
            self._group.left()


def keys_of(change: Change) -> list[Key]:
    """What a change must not share with another one of its batch."""
    tenant = change.tenant
    keys: list[Key] = [(tenant, write.type, write.id) for write in change.documents]
    keys += [(tenant, check.type, check.id) for check in change.checks]
    if change.inbox is not None:
        keys.append((tenant, change.inbox.id))
    if change.delivered is not None:
        keys.append((change.delivered.row,))
    for entry in (*change.entries_removed, *change.entries_added):
        keys.append((tenant, entry.type, entry.field, entry.value, entry.slot))
    keys += [(tenant, "later", "", promise_id) for promise_id in change.cancelled]
    keys += [(tenant, "later", "", promise.later.id) for promise in change.promises if promise.later is not None]
    keys += [(intent.id,) for intent in change.intents]
    return keys
