"""Many clients at once, and a checker that was not told how duly works: it finds nothing where duly promises isolation.

More of the same: ``DULY_ISOLATION_OPERATIONS=20000 python -m pytest tests/isolation/test_concurrent_commands.py``;
DULY_ISOLATION_SEED repeats what clients asked for, though not what got in whose way.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import randrange

import pytest

from tests.isolation.checker import Findings, check
from tests.isolation.history import History, write_history
from tests.isolation.workload import Plan, play, unexpected

OPERATIONS = int(os.environ.get("DULY_ISOLATION_OPERATIONS", "360"))
SEED = os.environ.get("DULY_ISOLATION_SEED")
SECONDS_MAX = 120 + OPERATIONS // 10


async def judged(folder: Path, store: str, *, operations: int = OPERATIONS, **how: object) -> tuple[History, Findings]:
    """Play, and find nothing. What was played is kept, for whoever wants to know what was found."""
    seed = randrange(10_000) if SEED is None else int(SEED)
    plan = Plan(store=store, operations=operations, seed=seed, **how)  # type: ignore[arg-type]
    history = await play(plan)
    findings = check(history)
    write_history(folder / "history.jsonl", history)
    print(f"seed {seed}: {findings.outcomes}, {findings.edges}, allowed circles {findings.allowed}")
    where = f"DULY_ISOLATION_SEED={seed}, {plan}; the history: {folder / 'history.jsonl'}"
    assert unexpected(history) == [], where
    assert findings.anomalies == (), f"{where}\n{findings.text()}"
    return history, findings


@pytest.mark.timeout(SECONDS_MAX)
@pytest.mark.parametrize("processes", [0, 3], ids=["one process", "three processes"])
async def test_of_many_commands_at_once_none_sees_or_leaves_an_anomaly(
    store_url: str, processes: int, tmp_path: Path
) -> None:
    _, findings = await judged(tmp_path, store_url, processes=processes)
    assert {"WW", "WR", "RW", "REAL_TIME"} <= findings.edges.keys(), "nothing was in anybody's way"
    assert findings.outcomes["ok"] > OPERATIONS // 2 < findings.outcomes["ok"] + findings.outcomes["refused"]


@pytest.mark.parametrize(
    "sorts",
    [("append", "transfer"), ("create", "ensure", "refused"), ("claim", "refused"), ("jotted", "taken", "transfer")],
    ids=["the same aggregates", "the same absent ids", "the same unique values", "beside open transactions"],
)
async def test_commands_that_begin_at_once_and_want_the_same_have_each_their_own_end(
    store_url: str, sorts: tuple[str, ...], tmp_path: Path
) -> None:
    """What commits together shares nothing but the commit: a neighbour's conflict, refusal or repeat is its own."""
    await judged(tmp_path, store_url, operations=120, clients=60, sorts=sorts)


async def test_of_aggregates_that_are_removed_and_come_again_none_is_taken_for_another(
    store_url: str, tmp_path: Path
) -> None:
    sorts = ("create", "ensure", "remove", "guarded")
    await judged(tmp_path, store_url, operations=200, recreated=True, sorts=sorts)


async def test_what_is_peeked_at_and_looked_at_one_by_one_is_committed_and_not_older_than_the_call(
    store_url: str, tmp_path: Path
) -> None:
    """Two moments may be met so, but nothing that is refused, half, or old."""
    history, _ = await judged(tmp_path, store_url, operations=160, sorts=("decorated", "look", "transfer"))
    assert any(not read.checked for operation in history.operations for read in operation.reads)
