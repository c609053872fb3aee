"""The exam of every keeper: one change, whole or not at all."""

from __future__ import annotations

import msgspec
import pytest

from duly.ports.change import Change, Conflict, Done, Exists, Promise, Repeat, Taken, VersionCheck, Void
from duly.ports.store import StoredDocument
from duly.testing.store_exam import (
    DAY,
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


async def in_oslo(store: ExaminedStore) -> list[str]:
    """The ids of the orders under one value of an index, in the order in which the store gives them."""
    return [found.id for found in await store.documents_by(TENANT, ORDER, "city", "Oslo", 100)]


async def test_a_committed_document_is_read_as_it_was_written(store: ExaminedStore) -> None:
    body = '{"note":"Grüße, 世界 \\n \\" \'"}'
    assert await store.commit(change(documents=(document(body=body),))) == Done()
    assert await store.document(TENANT, ORDER, "o-1") == StoredDocument("o-1", 1, 1, body)


async def test_each_change_of_a_document_raises_its_version_by_one(store: ExaminedStore) -> None:
    await store.commit(change(documents=(document(),)))
    assert await store.commit(change(documents=(document(expected=1, body="[1]"),))) == Done()
    assert await store.commit(change(documents=(document(expected=2, body="[2]"),))) == Done()
    assert await store.document(TENANT, ORDER, "o-1") == StoredDocument("o-1", 3, 1, "[2]")


async def test_a_removed_document_is_gone_and_may_come_anew(store: ExaminedStore) -> None:
    await store.commit(change(documents=(document(),)))
    assert await store.commit(change(documents=(document(expected=1, body=None),))) == Done()
    assert await store.document(TENANT, ORDER, "o-1") is None
    assert await store.commit(change(documents=(document(body="[9]"),))) == Done()
    assert await store.document(TENANT, ORDER, "o-1") == StoredDocument("o-1", 1, 1, "[9]")


async def test_another_tenant_and_another_type_see_nothing_of_it(store: ExaminedStore) -> None:
    await store.commit(change(documents=(document(),)))
    assert await store.document("other", ORDER, "o-1") is None
    assert await store.document(TENANT, "shop.Payment", "o-1") is None
    assert await store.commit(change(tenant="other", documents=(document(body="[1]"),))) == Done()
    assert await store.document(TENANT, ORDER, "o-1") == StoredDocument("o-1", 1, 1, "{}")


async def test_a_document_that_somebody_changed_since_is_a_conflict(store: ExaminedStore) -> None:
    await store.commit(change(documents=(document(),)))
    await store.commit(change(documents=(document(expected=1),)))
    assert await store.commit(change(documents=(document(expected=1),))) == Conflict(ORDER, "o-1")


async def test_a_document_that_somebody_removed_since_is_a_conflict(store: ExaminedStore) -> None:
    assert await store.commit(change(documents=(document(expected=1),))) == Conflict(ORDER, "o-1")
    assert await store.commit(change(documents=(document(expected=3, body=None),))) == Conflict(ORDER, "o-1")


async def test_a_new_document_with_a_known_id_exists_already(store: ExaminedStore) -> None:
    await store.commit(change(documents=(document(),)))
    assert await store.commit(change(documents=(document(body="[2]"),))) == Exists(ORDER, "o-1")


async def test_a_document_that_was_only_read_must_still_have_its_version(store: ExaminedStore) -> None:
    await store.commit(change(documents=(document("o-1"), document("o-2"))))
    read = VersionCheck(ORDER, "o-1", 1)
    assert await store.commit(change(checks=(read,), documents=(document("o-2", 1),))) == Done()
    await store.commit(change(documents=(document("o-1", 1),)))
    assert await store.commit(change(checks=(read,), documents=(document("o-2", 2),))) == Conflict(ORDER, "o-1")


async def test_a_document_that_was_looked_for_in_vain_must_still_be_absent(store: ExaminedStore) -> None:
    absent = VersionCheck(ORDER, "o-9", 0)
    assert await store.commit(change(checks=(absent,), documents=(document("o-1"),))) == Done()
    assert await store.document(TENANT, ORDER, "o-9") is None
    await store.commit(change(documents=(document("o-9"),)))
    assert await store.commit(change(checks=(absent,), documents=(document("o-2"),))) == Conflict(ORDER, "o-9")


async def test_of_several_conflicts_the_first_by_key_is_named(store: ExaminedStore) -> None:
    writes = (document("o-3", 1), document("o-1", 1), document("o-2", 1))
    assert await store.commit(change(documents=writes)) == Conflict(ORDER, "o-1")


async def test_a_unique_value_belongs_to_one_aggregate_of_a_tenant(store: ExaminedStore) -> None:
    first = change(documents=(document("o-1"),), entries_added=(unique("email", "a@b", "o-1"),))
    second = change(documents=(document("o-2"),), entries_added=(unique("email", "a@b", "o-2"),))
    assert await store.commit(first) == Done()
    assert await store.commit(second) == Taken(ORDER, "email", "a@b")
    assert await store.commit(msgspec.structs.replace(second, tenant="other")) == Done()


async def test_two_new_aggregates_of_one_change_cannot_share_a_unique_value(store: ExaminedStore) -> None:
    both = change(
        documents=(document("o-1"), document("o-2")),
        entries_added=(unique("email", "a@b", "o-1"), unique("email", "a@b", "o-2")),
    )
    assert await store.commit(both) == Taken(ORDER, "email", "a@b")


async def test_a_unique_value_can_be_given_up_and_taken_in_one_change(store: ExaminedStore) -> None:
    await store.commit(change(documents=(document("o-1"),), entries_added=(unique("email", "a@b", "o-1"),)))
    moved = change(
        documents=(document("o-1", 1), document("o-2")),
        entries_removed=(unique("email", "a@b", "o-1"),),
        entries_added=(unique("email", "a@b", "o-2"),),
    )
    assert await store.commit(moved) == Done()
    assert [found.id for found in await store.documents_by(TENANT, ORDER, "email", "a@b", 10)] == ["o-2"]


async def test_aggregates_are_found_by_a_value_in_the_order_of_their_ids(store: ExaminedStore) -> None:
    ids = ("o-3", "o-1", "O-2", "ö-4", "o-10")
    for document_id in ids:
        entry = index("city", "Oslo", document_id)
        await store.commit(change(documents=(document(document_id),), entries_added=(entry,)))
    assert await in_oslo(store) == sorted(ids)
    assert len(await store.documents_by(TENANT, ORDER, "city", "Oslo", 2)) == 2
    assert await store.documents_by("other", ORDER, "city", "Oslo", 2) == []
    await store.commit(change(documents=(document("o-1", 1),), entries_removed=(index("city", "Oslo", "o-1"),)))
    assert "o-1" not in await in_oslo(store)


async def test_a_command_that_comes_again_is_a_repeat_with_the_first_result(store: ExaminedStore) -> None:
    first = change(inbox=command(result='"first"'), documents=(document(),))
    assert await store.commit(first) == Done()
    again = change(inbox=command(result='"second"'), documents=(document("o-2"),))
    assert await store.commit(again) == Repeat("shop.PlaceOrder", "d1", '"first"')
    assert await store.inbox_row(TENANT, "click-1") == Repeat("shop.PlaceOrder", "d1", '"first"')


async def test_a_repeat_is_one_also_when_its_aggregate_has_changed_or_exists(store: ExaminedStore) -> None:
    await store.commit(change(inbox=command("place"), documents=(document(),)))
    await store.commit(change(inbox=command("pay"), documents=(document(expected=1),)))
    for again in (
        change(inbox=command("place"), documents=(document(),)),
        change(inbox=command("pay"), documents=(document(expected=1),)),
        change(inbox=command("pay"), checks=(VersionCheck(ORDER, "o-1", 1),)),
    ):
        assert isinstance(await store.commit(again), Repeat)


async def test_command_ids_are_each_tenants_own(store: ExaminedStore) -> None:
    assert await store.commit(change(inbox=command())) == Done()
    assert await store.commit(change(tenant="other", inbox=command())) == Done()
    assert await store.inbox_row("third", "click-1") is None


async def test_an_expired_inbox_row_is_replaced_by_the_next_execution(store: ExaminedStore) -> None:
    assert await store.commit(change(inbox=command(result='"old"'))) == Done()
    store.shift_clock(int(DAY.total_seconds() * 1_000) + 1)
    assert await store.inbox_row(TENANT, "click-1") is None
    assert await store.commit(change(inbox=command(result='"new"'))) == Done()
    assert await store.inbox_row(TENANT, "click-1") == Repeat("shop.PlaceOrder", "d1", '"new"')


async def test_a_delivery_is_void_once_its_row_is_gone_or_its_bucket_has_another_owner(store: ExaminedStore) -> None:
    await store.commit(said("acme/a", "acme/b"))
    tokens = await own_all(store)
    first, second = await due_rows(store)
    kept = change(delivered=delivered(first, tokens), documents=(document(),))
    assert await store.commit(kept) == Done()
    assert await store.commit(msgspec.structs.replace(kept, documents=())) == Void("The promise was kept already.")
    store.shift_clock(60_000)
    await own_all(store, "thief")
    late = change(delivered=delivered(second, tokens), documents=(document("o-2"),))
    assert await store.commit(late) == Void("The bucket has another owner by now.")
    assert [due.row for due in await due_rows(store)] == [second.row]


def everything(**parts: object) -> Change:
    """A change that writes to every table that a change can write to."""
    lane = "acme/shop.Order/o-7"
    fields: dict[str, object] = {
        "inbox": command("big"),
        "documents": (document("o-7"), document("gone", 1, None), document("kept", 1, "[2]")),
        "checks": (VersionCheck(ORDER, "never", 0),),
        "entries_removed": (unique("email", "gone@b", "gone"),),
        "entries_added": (unique("email", "new@b", "o-7"), index("city", "Oslo", "o-7")),
        "messages": (event(lane), event(lane, personal=None)),
        "events": 2,
        "promises": (Promise(0, 1, lane, 3), Promise(1, 1, lane, 3)),
        "lanes_locked": (lane, "acme/other"),
        "intents": (intent(),),
    }
    return change(**{**fields, **parts})


@pytest.mark.parametrize("refused", ["repeat", "conflict", "exists", "taken", "token", "row"])
async def test_a_refused_change_leaves_nothing_behind(store: ExaminedStore, candidate: Candidate, refused: str) -> None:
    before = change(
        documents=(document("gone"), document("kept"), document("stale")),
        entries_added=(unique("email", "gone@b", "gone"), unique("email", "taken@b", "kept")),
    )
    await store.commit(before)
    await store.commit(change(inbox=command("known")))
    await store.commit(said("acme/x"))
    tokens = await own_all(store)
    (due,) = await due_rows(store)
    done = delivered(due, tokens)
    kind: type
    match refused:
        case "repeat":
            bad, kind = everything(inbox=command("known"), delivered=done), Repeat
        case "conflict":
            bad, kind = everything(delivered=done, checks=(VersionCheck(ORDER, "stale", 7),)), Conflict
        case "exists":
            bad, kind = everything(delivered=done, documents=(document("o-7"), document("kept"))), Exists
        case "taken":
            bad, kind = everything(delivered=done, entries_added=(unique("email", "taken@b", "o-7"),)), Taken
        case "token":
            bad, kind = everything(delivered=msgspec.structs.replace(done, token="stolen")), Void
        case _:
            bad, kind = everything(delivered=msgspec.structs.replace(done, row=due.row + 1_000)), Void
    counts = await candidate.row_counts(store)
    assert isinstance(await store.commit(bad), kind)
    assert await candidate.row_counts(store) == counts
    assert await store.document(TENANT, ORDER, "kept") == StoredDocument("kept", 1, 1, "{}")
    assert await store.inbox_row(TENANT, "big") is None
    assert [row.row for row in await due_rows(store)] == [due.row]


async def test_the_same_change_that_is_not_refused_writes_to_every_table(
    store: ExaminedStore, candidate: Candidate
) -> None:
    await store.commit(
        change(
            documents=(document("gone"), document("kept")),
            entries_added=(unique("email", "gone@b", "gone"),),
        )
    )
    assert await store.commit(everything()) == Done()
    counts = await candidate.row_counts(store)
    assert {name: count for name, count in counts.items() if count} == {
        "inbox": 1,
        "document": 2,
        "entry": 2,
        "commit_log": 1,
        "message": 2,
        "personal": 1,
        "outbox": 2,
        "effect": 1,
        "effect_content": 1,
    }


async def test_an_empty_change_is_done(store: ExaminedStore, candidate: Candidate) -> None:
    assert await store.commit(change()) == Done()
    assert not any((await candidate.row_counts(store)).values())


async def test_a_change_of_a_thousand_documents_and_messages_is_one_commit(
    store: ExaminedStore, candidate: Candidate
) -> None:
    many = range(1_000)
    big = change(
        inbox=command(),
        documents=tuple(document(f"o-{number}") for number in many),
        entries_added=tuple(index("city", "Oslo", f"o-{number}") for number in many),
        messages=tuple(event(f"shop.Order/o-{number}") for number in many),
        events=1_000,
        promises=tuple(Promise(number, 1, f"acme/o-{number}", number % 32) for number in many),
        intents=tuple(intent() for _ in many),
    )
    assert await store.commit(big) == Done()
    counts = await candidate.row_counts(store)
    assert (counts["document"], counts["message"], counts["outbox"], counts["effect"]) == (1_000,) * 4
    assert counts["commit_log"] == 1
    updates = change(documents=tuple(document(f"o-{number}", 1) for number in many))
    assert await store.commit(updates) == Done()
