"""Who goes together, who goes alone, and who leads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from duly.errors import StoreUnavailable
from duly.ports.change import Change, Conflict, Done, Verdict, VersionCheck
from duly.stores.postgres import group_commit
from duly.stores.postgres.group_commit import GroupCommit, Outcome
from duly.testing.store_exam import ORDER, change, command, document, unique
from tests.contract.waiting import until


class Server:
    """Commits when it is let, and remembers what came together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.outcomes: dict[str, Outcome] = {}
        self.failure: BaseException | None = None
        self.may_answer = asyncio.Event()

    async def alone(self, one: Change) -> Verdict:
        self.batches.append([name(one)])
        await self.may_answer.wait()
        outcome = self.outcomes.get(name(one))
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome or Done()

    async def together(self, changes: Sequence[Change]) -> list[Outcome]:
        self.batches.append([name(one) for one in changes])
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return [self.outcomes.get(name(one), Done()) for one in changes]


def name(one: Change) -> str:
    return one.inbox.id if one.inbox else ""


def named(command_id: str, **parts: object) -> Change:
    return change(inbox=command(command_id), **parts)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def group(server: Server) -> GroupCommit:
    return GroupCommit(server.alone, server.together)


def begin(group: GroupCommit, *changes: Change) -> list[asyncio.Task[Verdict]]:
    return [asyncio.create_task(group.commit(one)) for one in changes]


async def test_a_lone_change_goes_at_once_and_by_itself(group: GroupCommit, server: Server) -> None:
    commits = begin(group, named("a"))
    await settled()
    assert server.batches == [["a"]]
    commits += begin(group, named("b"))
    await settled()
    assert server.batches == [["a"], ["b"]]
    server.may_answer.set()
    assert await asyncio.gather(*commits) == [Done()] * 2


async def test_what_comes_while_two_batches_are_under_way_gathers(group: GroupCommit, server: Server) -> None:
    commits = begin(group, named("a"))
    await settled()
    commits += begin(group, named("b"))
    await settled()
    commits += begin(group, *(named(f"c{number}") for number in range(6)))
    await settled()
    assert server.batches == [["a"], ["b"]]
    server.may_answer.set()
    assert await asyncio.gather(*commits) == [Done()] * 8
    assert server.batches[2] == ["c0", "c1", "c2"]  # half of what waits
    assert server.batches[3] == ["c3", "c4"]


async def test_a_batch_has_a_limit(group: GroupCommit, server: Server) -> None:
    server.may_answer.set()
    await asyncio.gather(*begin(group, *(named(f"c{number}") for number in range(200))))
    assert max(map(len, server.batches)) == group_commit.UNITS_MAX


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (named("a", documents=(document("o"),)), named("b", documents=(document("o", 3),))),
        (named("a", documents=(document("o", 3),)), named("b", checks=(VersionCheck(ORDER, "o", 3),))),
        (named("a"), named("a")),
        (named("a", entries_added=(unique("n", "1", "x"),)), named("b", entries_added=(unique("n", "1", "y"),))),
        (named("a", entries_removed=(unique("n", "1", "x"),)), named("b", entries_added=(unique("n", "1", "y"),))),
    ],
)
async def test_two_that_touch_the_same_do_not_go_together(
    group: GroupCommit, server: Server, one: Change, other: Change
) -> None:
    server.may_answer.set()
    fillers = [named(f"f{number}") for number in range(6)]
    await asyncio.gather(*begin(group, one, other, *fillers))
    together = [batch for batch in server.batches if "a" in batch and ("b" in batch or batch.count("a") > 1)]
    assert together == []
    assert sum(map(len, server.batches)) == 8


async def test_a_failing_batch_is_committed_again_one_by_one(group: GroupCommit, server: Server) -> None:
    server.may_answer.set()
    server.failure = RuntimeError("some bug")
    server.outcomes = {"c1": Conflict(ORDER, "o"), "c2": StoreUnavailable("away")}
    outcomes = await asyncio.gather(
        *begin(group, *(named(f"c{number}") for number in range(4))), return_exceptions=True
    )
    assert outcomes[0] == Done()
    assert outcomes[1] == Conflict(ORDER, "o")
    assert isinstance(outcomes[2], StoreUnavailable)
    assert outcomes[3] == Done()


async def test_one_that_must_go_alone_holds_nobody_up(group: GroupCommit, server: Server) -> None:
    server.outcomes = {"c0": None}
    commits = begin(group, *(named(f"c{number}") for number in range(4)))
    await settled()
    assert server.batches[0] == ["c0", "c1"]
    server.may_answer.set()
    assert await asyncio.gather(*commits) == [Done()] * 4
    assert server.batches.count(["c0"]) == 1


async def test_a_batch_that_takes_long_no_longer_counts(
    group: GroupCommit, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "LEADER_SECONDS_MAX", 0.001)
    commits = begin(group, named("slow-1"))
    await settled()
    commits += begin(group, named("slow-2"))
    await settled()
    commits += begin(group, named("later"))

    async def has_begun() -> bool:
        return len(server.batches) == 3

    await until(has_begun, "its turn, though nothing was answered")
    server.may_answer.set()
    assert await asyncio.gather(*commits) == [Done()] * 3


async def test_callers_cannot_cancel_what_is_under_way_nor_one_another(group: GroupCommit, server: Server) -> None:
    commits = begin(group, *(named(f"c{number}") for number in range(4)))
    await settled()
    assert [len(batch) for batch in server.batches] == [2, 1]
    commits[0].cancel()
    commits[3].cancel()  # waits still
    await settled()
    server.may_answer.set()
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert outcomes[1:3] == [Done(), Done()]
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert isinstance(outcomes[3], asyncio.CancelledError)
    assert server.batches == [["c0", "c1"], ["c2"]]


async def test_batches_do_not_see_the_context_of_those_who_wait(group: GroupCommit) -> None:
    tenant: ContextVar[str] = ContextVar("tenant")
    tenant.set("somebody's")
    seen: list[str | None] = []

    async def alone(one: Change) -> Verdict:
        seen.append(tenant.get(None))
        return Done()

    async def together(changes: Sequence[Change]) -> list[Outcome]:
        seen.append(tenant.get(None))
        return [Done() for _ in changes]

    watched = GroupCommit(alone, together)
    await asyncio.gather(*begin(watched, *(named(f"c{number}") for number in range(4))))
    assert set(seen) == {None}


async def test_close_waits_for_what_is_under_way(group: GroupCommit, server: Server) -> None:
    commits = begin(group, *(named(f"c{number}") for number in range(6)))
    await settled()
    closing = asyncio.create_task(group.close())
    await settled()
    assert not closing.done()
    server.may_answer.set()
    await closing
    assert await asyncio.gather(*commits) == [Done()] * 6
