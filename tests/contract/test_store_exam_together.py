"""Changes that are committed at the same time: each has its own verdict, and what one fails at costs no other anything.

Stores may let such changes share a commit. Nobody must be able to tell, except by the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from duly.errors import StoreError
from duly.ports.change import (
    Change,
    Conflict,
    Delivered,
    Done,
    Exists,
    Later,
    Promise,
    Repeat,
    Taken,
    Verdict,
    VersionCheck,
    Void,
)
from duly.testing.store_exam import (
    ORDER,
    TENANT,
    Candidate,
    ExaminedStore,
    change,
    command,
    delivered,
    document,
    due_rows,
    event,
    index,
    intent,
    own_all,
    said,
    unique,
)

NEIGHBOURS = 12
"""Enough for several of them to go together with the one in their midst."""


def whole(name: str, **parts: object) -> Change:
    """A change with something of every kind that commands write."""
    kinds: dict[str, object] = {
        "inbox": command(f"click-{name}", result=f'"{name}"'),
        "documents": (document(f"o-{name}"),),
        "entries_added": (unique("number", name, f"o-{name}"), index("city", "Ghent", f"o-{name}")),
        "messages": (event(f"shop.Order/o-{name}"),),
        "events": 1,
        "promises": (Promise(0, 1, f"shop.Order/o-{name}", 0),),
        "intents": (intent(f"effect-{name}"),),
    }
    return change(**{**kinds, **parts})


async def among_neighbours(store: ExaminedStore, *odd: Change) -> list[Verdict | BaseException]:
    """Commit the *odd* changes in the midst of others, which must all be done; the verdicts on the odd ones."""
    before = [whole(f"before-{number}") for number in range(NEIGHBOURS)]
    after = [whole(f"after-{number}") for number in range(NEIGHBOURS)]
    verdicts = await asyncio.gather(*map(store.commit, (*before, *odd, *after)), return_exceptions=True)
    assert verdicts[:NEIGHBOURS] == [Done()] * NEIGHBOURS
    assert verdicts[-NEIGHBOURS:] == [Done()] * NEIGHBOURS
    return verdicts[NEIGHBOURS:-NEIGHBOURS]


async def assert_only_neighbours(candidate: Candidate, store: ExaminedStore, before: dict[str, int]) -> None:
    """The tables hold what the neighbours wrote, and of the odd ones nothing."""
    grown = {table: count - before[table] for table, count in (await candidate.row_counts(store)).items()}
    of_each = {
        **dict.fromkeys(("inbox", "document", "commit_log", "message", "personal"), 1),
        **dict.fromkeys(("outbox", "effect", "effect_content"), 1),
        "entry": 2,
    }
    assert grown == {table: of_each.get(table, 0) * 2 * NEIGHBOURS for table in grown}


async def test_each_of_many_changes_is_done_and_has_a_place_of_its_own_in_the_log(
    candidate: Candidate, store: ExaminedStore
) -> None:
    before = await candidate.row_counts(store)
    assert await among_neighbours(store) == []
    await assert_only_neighbours(candidate, store, before)
    found = await due_rows(store)
    assert sorted(due.lane for due in found) == sorted(f"{due.envelope.stream}" for due in found)
    repeated = await asyncio.gather(*(store.commit(whole(f"after-{number}")) for number in range(NEIGHBOURS)))
    assert repeated == [Repeat("shop.PlaceOrder", "d1", f'"after-{number}"') for number in range(NEIGHBOURS)]


async def test_the_numbers_of_commits_are_those_of_their_own_rows(candidate: Candidate, store: ExaminedStore) -> None:
    verdicts = await asyncio.gather(*(store.commit(whole(str(number))) for number in range(NEIGHBOURS)))
    rows = await store.select(f"SELECT commit_id, stream FROM {candidate.table('message')}", {})
    streams = {int(str(row["commit_id"])): row["stream"] for row in rows}
    assert [streams[done.commit or 0] for done in verdicts if isinstance(done, Done)] == [
        f"shop.Order/o-{number}" for number in range(NEIGHBOURS)
    ]


async def test_a_version_that_is_not_the_expected_one_is_a_conflict(candidate: Candidate, store: ExaminedStore) -> None:
    await store.commit(change(documents=(document("odd"),)))
    await store.commit(change(documents=(document("odd", expected=1, body='{"now":2}'),)))
    before = await candidate.row_counts(store)
    written = whole("odd", documents=(document("new"), document("odd", expected=1, body='{"now":"lost"}')))
    checked = whole("checked", checks=(VersionCheck(ORDER, "odd", 1),))
    assert await among_neighbours(store, written, checked) == [Conflict(ORDER, "odd")] * 2
    await assert_only_neighbours(candidate, store, before)
    kept = await store.document(TENANT, ORDER, "odd")
    assert kept is not None
    assert kept.version == 2


async def test_a_document_that_is_gone_is_a_conflict(candidate: Candidate, store: ExaminedStore) -> None:
    before = await candidate.row_counts(store)
    odd = whole("odd", documents=(document("gone", expected=3),))
    assert await among_neighbours(store, odd) == [Conflict(ORDER, "gone")]
    await assert_only_neighbours(candidate, store, before)


async def test_a_new_document_with_the_id_of_another_exists(candidate: Candidate, store: ExaminedStore) -> None:
    await store.commit(change(documents=(document("o-odd"),)))
    before = await candidate.row_counts(store)
    assert await among_neighbours(store, whole("odd")) == [Exists(ORDER, "o-odd")]
    await assert_only_neighbours(candidate, store, before)


async def test_what_was_found_absent_and_is_there_now_is_a_conflict(candidate: Candidate, store: ExaminedStore) -> None:
    await store.commit(change(documents=(document("came"),)))
    before = await candidate.row_counts(store)
    absent = whole("odd", checks=(VersionCheck(ORDER, "came", 0),))
    assert await among_neighbours(store, absent) == [Conflict(ORDER, "came")]
    await assert_only_neighbours(candidate, store, before)


async def test_what_was_found_absent_and_still_is_leaves_no_row(candidate: Candidate, store: ExaminedStore) -> None:
    assert await among_neighbours(store, change(checks=(VersionCheck(ORDER, "never", 0),))) == [Done()]
    assert await store.document(TENANT, ORDER, "never") is None


async def test_a_unique_value_of_somebody_else_is_taken(candidate: Candidate, store: ExaminedStore) -> None:
    await store.commit(change(documents=(document("first"),), entries_added=(unique("number", "odd", "first"),)))
    before = await candidate.row_counts(store)
    assert await among_neighbours(store, whole("odd")) == [Taken(ORDER, "number", "odd")]
    await assert_only_neighbours(candidate, store, before)


async def test_a_unique_value_that_one_change_passes_on_is_not_taken(
    candidate: Candidate, store: ExaminedStore
) -> None:
    await store.commit(change(documents=(document("old"),), entries_added=(unique("number", "passed", "old"),)))
    passed_on = change(
        documents=(document("old", expected=1), document("new")),
        entries_removed=(unique("number", "passed", "old"),),
        entries_added=(unique("number", "passed", "new"),),
    )
    assert await among_neighbours(store, passed_on) == [Done()]
    (found,) = await store.documents_by(TENANT, ORDER, "number", "passed", 2)
    assert found.id == "new"


async def test_a_command_that_was_executed_before_is_a_repeat_whatever_else_has_changed(
    candidate: Candidate, store: ExaminedStore
) -> None:
    await store.commit(whole("odd"))
    await store.commit(change(documents=(document("o-odd", expected=1),)))
    before = await candidate.row_counts(store)
    first = Repeat("shop.PlaceOrder", "d1", '"odd"')
    exists_already = whole("odd")
    conflicting = whole("odd", documents=(document("o-odd", expected=1),), entries_added=(), intents=())
    assert await among_neighbours(store, exists_already) == [first]
    assert await store.commit(conflicting) == first
    await assert_only_neighbours(candidate, store, before)


async def test_a_command_whose_row_has_expired_runs_again(candidate: Candidate, store: ExaminedStore) -> None:
    await store.commit(change(inbox=command("click-odd")))
    store.shift_clock(2 * 24 * 60 * 60 * 1000)
    assert await among_neighbours(store, whole("odd")) == [Done()]


async def test_a_promise_that_was_kept_already_is_void(candidate: Candidate, store: ExaminedStore) -> None:
    await store.commit(said("shop.Order/kept", "shop.Order/open"))
    tokens = await own_all(store)
    kept, open_one = [delivered(due, tokens) for due in await due_rows(store)]
    await store.commit(change(delivered=kept))
    before = await candidate.row_counts(store)
    stolen = Delivered(open_one.row, open_one.bucket, "somebody else's", 1, open_one.lane, False)
    verdicts = await among_neighbours(store, whole("odd", delivered=kept), whole("other", delivered=stolen))
    assert [type(verdict) for verdict in verdicts] == [Void, Void]
    await assert_only_neighbours(candidate, store, before)


async def test_promises_are_kept_together_each_with_its_own_change(candidate: Candidate, store: ExaminedStore) -> None:
    lanes = [f"shop.Order/{number}" for number in range(NEIGHBOURS)]
    await store.commit(said(*lanes))
    tokens = await own_all(store)
    changes = [
        change(delivered=delivered(due, tokens), documents=(document(due.lane),)) for due in await due_rows(store)
    ]
    # The first one twice: a delivery that was begun again.
    verdicts = await asyncio.gather(*map(store.commit, (*changes, change(delivered=changes[0].delivered))))
    assert verdicts[:-1] == [Done()] * NEIGHBOURS
    assert isinstance(verdicts[-1], Void)
    assert await due_rows(store) == []
    assert (await candidate.row_counts(store))["document"] == NEIGHBOURS


async def test_of_many_changes_of_one_document_one_is_done_and_the_others_conflict(
    candidate: Candidate, store: ExaminedStore
) -> None:
    await store.commit(change(documents=(document(),)))
    changes = [change(documents=(document(expected=1, body=f'{{"by":{number}}}'),)) for number in range(NEIGHBOURS)]
    verdicts = await among_neighbours(store, *changes)
    assert sorted(map(str, verdicts)) == sorted(map(str, [Done(), *[Conflict(ORDER, "o-1")] * (NEIGHBOURS - 1)]))
    kept = await store.document(TENANT, ORDER, "o-1")
    assert kept is not None
    assert (kept.version, kept.body) == (2, f'{{"by":{verdicts.index(Done())}}}')


async def test_of_many_executions_of_one_command_one_is_done_and_the_others_are_repeats(
    candidate: Candidate, store: ExaminedStore
) -> None:
    executions = [change(inbox=command("twice", result=f'"{number}"')) for number in range(NEIGHBOURS)]
    verdicts = await among_neighbours(store, *executions)
    first = verdicts.index(Done())
    verdicts.remove(Done())
    assert verdicts == [Repeat("shop.PlaceOrder", "d1", f'"{first}"')] * (NEIGHBOURS - 1)


async def test_of_many_new_owners_of_one_value_one_gets_it(candidate: Candidate, store: ExaminedStore) -> None:
    claims = [
        change(documents=(document(f"claim-{number}"),), entries_added=(unique("number", "one", f"claim-{number}"),))
        for number in range(NEIGHBOURS)
    ]
    before = await candidate.row_counts(store)
    verdicts = await among_neighbours(store, *claims)
    assert verdicts.count(Done()) == 1
    assert verdicts.count(Taken(ORDER, "number", "one")) == NEIGHBOURS - 1
    grown = (await candidate.row_counts(store))["document"] - before["document"]
    assert grown == 2 * NEIGHBOURS + 1


async def test_an_effect_that_two_changes_request_is_requested_once(candidate: Candidate, store: ExaminedStore) -> None:
    before = await candidate.row_counts(store)
    same = [change(intents=(intent("twice", digest=digest),)) for digest in ("e1", "e1", "e2")]
    assert await among_neighbours(store, *same) == [Done()] * 3
    after = await candidate.row_counts(store)
    assert after["effect"] - before["effect"] == 2 * NEIGHBOURS + 1
    assert after["anomaly"] - before["anomaly"] in (1, 2)  # as many as differ from the one that came first


async def test_a_promise_for_later_is_made_once_and_cancelled_in_the_order_of_commits(
    candidate: Candidate, store: ExaminedStore
) -> None:
    def later() -> Change:
        return change(
            messages=(event(),), events=1, promises=(Promise(0, 1, "lane", 0, Later(id="soon", after_ms=60_000)),)
        )

    await among_neighbours(store, later(), later())
    assert (await candidate.row_counts(store))["later"] == 1
    assert await among_a_few(store, change(cancelled=("soon",)), change(cancelled=("soon",))) == [Done()] * 2
    assert (await candidate.row_counts(store))["later"] == 0


async def among_a_few(store: ExaminedStore, *odd: Change) -> Sequence[Verdict]:
    others = [change(documents=(document(f"few-{number}"),)) for number in range(4)]
    return (await asyncio.gather(*map(store.commit, (*others, *odd))))[4:]


async def test_documents_are_changed_and_removed_with_what_they_were_found_by(
    candidate: Candidate, store: ExaminedStore
) -> None:
    for name in ("kept", "removed"):
        await store.commit(change(documents=(document(name),), entries_added=(unique("number", name, name),)))
    changed = change(documents=(document("kept", expected=1, body='{"kept":true}'),))
    removed = change(
        documents=(document("removed", expected=1, body=None),),
        entries_removed=(unique("number", "removed", "removed"),),
    )
    assert await among_neighbours(store, changed, removed) == [Done()] * 2
    kept = await store.document(TENANT, ORDER, "kept")
    assert kept is not None
    assert (kept.version, kept.body) == (2, '{"kept":true}')
    assert await store.document(TENANT, ORDER, "removed") is None
    assert await store.documents_by(TENANT, ORDER, "number", "removed", 1) == []


async def test_tenants_do_not_meet_in_a_shared_commit(candidate: Candidate, store: ExaminedStore) -> None:
    def of(tenant: str) -> Change:
        return change(
            tenant=tenant,
            inbox=command("same"),
            documents=(document("same"),),
            entries_added=(unique("number", "same", "same"),),
            messages=(event(tenant=tenant),),
            events=1,
            intents=(intent(f"effect-{tenant}"),),
        )

    tenants = [f"tenant-{number}" for number in range(NEIGHBOURS)]
    assert await asyncio.gather(*(store.commit(of(tenant)) for tenant in tenants)) == [Done()] * NEIGHBOURS
    for table in ("inbox", "document", "entry", "commit_log", "message", "personal", "effect", "effect_content"):
        rows = await store.select(f"SELECT tenant FROM {candidate.table(table)}", {})
        assert sorted(str(row["tenant"]) for row in rows) == sorted(tenants), table


async def test_what_cannot_be_stored_costs_only_its_own_change(candidate: Candidate, store: ExaminedStore) -> None:
    before = await candidate.row_counts(store)
    odd = whole("odd", documents=(document("o-odd", body="a lone surrogate: \ud800"),))
    (outcome,) = await among_neighbours(store, odd)
    assert isinstance(outcome, UnicodeError | StoreError)
    await assert_only_neighbours(candidate, store, before)


async def test_a_change_that_meets_itself_is_refused_and_costs_no_other(
    candidate: Candidate, store: ExaminedStore
) -> None:
    before = await candidate.row_counts(store)
    same_id = whole("odd", documents=(document("o-odd"), document("o-odd")))
    same_value = whole(
        "other",
        documents=(document("a"), document("b")),
        entries_added=(unique("number", "same", "a"), unique("number", "same", "b")),
    )
    assert await among_neighbours(store, same_id, same_value) == [
        Exists(ORDER, "o-odd"),
        Taken(ORDER, "number", "same"),
    ]
    await assert_only_neighbours(candidate, store, before)


async def test_a_caller_who_is_cancelled_takes_nobody_along(candidate: Candidate, store: ExaminedStore) -> None:
    commits = [asyncio.create_task(store.commit(whole(str(number)))) for number in range(NEIGHBOURS)]
    await asyncio.sleep(0)
    for cancelled in commits[::3]:
        cancelled.cancel()
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        # Whether it was withdrawn or came to its end, its id tells; and it tells the same for good.
        again = await store.commit(whole(str(number)))
        if number % 3:
            assert (outcome, again) == (Done(), Repeat("shop.PlaceOrder", "d1", f'"{number}"'))
        else:
            assert isinstance(outcome, asyncio.CancelledError)
            assert again in (Done(), Repeat("shop.PlaceOrder", "d1", f'"{number}"'))
    assert (await candidate.row_counts(store))["document"] == NEIGHBOURS


@pytest.mark.parametrize("cycles", [20])
async def test_commits_that_follow_one_another_in_many_tasks_all_count(
    candidate: Candidate, store: ExaminedStore, cycles: int
) -> None:
    async def one_after_another(name: str) -> None:
        for version in range(cycles):
            assert await store.commit(change(documents=(document(name, expected=version),))) == Done()

    await asyncio.gather(*(one_after_another(f"o-{number}") for number in range(16)))
    rows = await store.select(f"SELECT version FROM {candidate.table('document')}", {})
    assert [row["version"] for row in rows] == [cycles] * 16
