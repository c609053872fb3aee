"""The exam of the keepers on SQL: an execution that was given up shall never commit."""

from __future__ import annotations

from typing import cast

from duly.ports.change import Done, InboxWrite, Repeat, Void
from duly.stores.commit_script import tombstone_script
from duly.stores.sql_store import SqlStore
from duly.testing.store_exam import DAY, TENANT, Candidate, ExaminedStore, change, command, document


async def give_up(store: ExaminedStore, execution: InboxWrite) -> bool:
    """Put a tombstone under an execution's id; whether the execution has committed before."""
    return await cast("SqlStore", store)._engine.write(lambda: tombstone_script(TENANT, execution))


async def test_an_execution_that_has_committed_is_found_committed(store: ExaminedStore) -> None:
    execution = command()
    await store.commit(change(inbox=execution, documents=(document(),)))
    assert await give_up(store, execution) is True
    assert await give_up(store, execution) is True
    assert await store.inbox_row(TENANT, "click-1") == Repeat("shop.PlaceOrder", "d1", '"o-1"')


async def test_a_late_commit_of_an_execution_that_was_given_up_is_refused(
    store: ExaminedStore, candidate: Candidate
) -> None:
    execution = command()
    assert await give_up(store, execution) is False
    assert await give_up(store, execution) is False
    counts = await candidate.row_counts(store)
    assert isinstance(await store.commit(change(inbox=execution, documents=(document(),))), Void)
    assert await candidate.row_counts(store) == counts
    assert await store.inbox_row(TENANT, "click-1") is None


async def test_another_execution_takes_the_place_of_a_tombstone(store: ExaminedStore) -> None:
    late = command()
    await give_up(store, late)
    assert await store.commit(change(inbox=command(result='"second"'))) == Done()
    assert await store.commit(change(inbox=late)) == Repeat("shop.PlaceOrder", "d1", '"second"')
    assert await give_up(store, late) is False
    assert await store.inbox_row(TENANT, "click-1") == Repeat("shop.PlaceOrder", "d1", '"second"')


async def test_each_of_several_executions_that_were_given_up_stays_so(store: ExaminedStore) -> None:
    executions = [command() for _ in range(3)]
    for execution in executions:
        assert await give_up(store, execution) is False
    for execution in executions:
        assert isinstance(await store.commit(change(inbox=execution, documents=(document(),))), Void)
    assert await store.commit(change(inbox=command())) == Done()


async def test_giving_up_replaces_an_expired_row_that_a_late_commit_would_have_replaced(store: ExaminedStore) -> None:
    await store.commit(change(inbox=command()))
    store.shift_clock(int(DAY.total_seconds() * 1_000) + 1)
    execution = command()
    assert await give_up(store, execution) is False
    assert isinstance(await store.commit(change(inbox=execution, documents=(document(),))), Void)
    assert await store.document(TENANT, "shop.Order", "o-1") is None


async def test_a_tombstone_expires_like_any_inbox_row(store: ExaminedStore) -> None:
    execution = command()
    await give_up(store, execution)
    store.shift_clock(int(DAY.total_seconds() * 1_000) + 1)
    assert await store.commit(change(inbox=command())) == Done()
