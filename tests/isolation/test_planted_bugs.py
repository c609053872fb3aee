"""That the checker is no decoration: with each bug put back, the same clients bring the anomaly to light."""

from __future__ import annotations

from random import randrange

import pytest

from tests.isolation.anomalies import Kind
from tests.isolation.checker import check
from tests.isolation.planted import BUGS, ON_POSTGRES_ONLY
from tests.isolation.workload import Plan, play

OPERATIONS = 130
MOVING = ("append", "transfer", "jotted")

CAUGHT: dict[str, tuple[tuple[str, ...], set[Kind]]] = {
    "versions_are_not_checked": (MOVING, {Kind.LOST_UPDATE, Kind.VANISHED, Kind.ROWS_DISAGREE}),
    "reads_are_not_checked": (("guarded", "audit"), {Kind.WRITE_SKEW, Kind.READ_SKEW}),
    "repeats_run_again": (("append",), {Kind.TWICE}),
    "refused_changes_leave_their_rows": (("append", "create", "claim"), {Kind.REFUSED_WRITE, Kind.ABORTED_READ}),
    "changes_are_committed_in_two": (("transfer", "snapshot", "audit"), {Kind.READ_SKEW, Kind.LOST_UPDATE}),
    "acknowledged_and_forgotten": (MOVING, {Kind.VANISHED}),
    "retried_without_its_id": (MOVING, {Kind.TWICE}),
    "values_are_not_unique": (("claim",), {Kind.TWO_OWNERS}),
    "blocks_take_back_the_database_only": (("taken", "append"), {Kind.ABORTED_READ}),
    "half_of_a_transaction_with_sql": (
        ("jotted", "refused", "look"),
        {Kind.ABORTED_READ, Kind.TWICE, Kind.HALF_CHANGE},
    ),
    "losers_of_a_batch_leave_their_rows": (
        ("create", "ensure", "claim"),
        {Kind.REFUSED_WRITE, Kind.ABORTED_READ, Kind.VANISHED},
    ),
    "batches_share_aggregates": (MOVING, {Kind.LOST_UPDATE, Kind.VANISHED}),
}


EVERYWHERE = [
    (store, bug)
    for store in ("sqlite", "postgres")
    for bug in BUGS
    if store == "postgres" or bug not in ON_POSTGRES_ONLY
]


@pytest.mark.parametrize(("store_url", "bug"), EVERYWHERE, indirect=["store_url"])
async def test_a_bug_that_is_put_back_is_caught(store_url: str, bug: str) -> None:
    sorts, kinds = CAUGHT[bug]
    seed = randrange(10_000)
    history = await play(Plan(store=store_url, operations=OPERATIONS, seed=seed, bug=bug, sorts=sorts))
    found = check(history).kinds()
    assert found & kinds, f"seed {seed}: with {bug} the checker found {found}, and none of {kinds}"
