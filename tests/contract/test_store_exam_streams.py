"""The exam of every keeper: event-sourced aggregates, whole, from a snapshot on, several at once."""

from __future__ import annotations

from typing import Any

import pytest

from duly.messages.envelope import Kind
from duly.ports.change import Change, Conflict, DocumentWrite, Done, Exists, SnapshotWrite, VersionCheck
from duly.ports.store import StoredDocument, StoredStream, StreamNeeds
from duly.testing.store_exam import TENANT, ExaminedStore, change, event

ACCOUNT = "bank.Account"
ALL = StreamNeeds()
FIRST = StreamNeeds(snapshots=range(1, 2))


def head(account: str, expected: int, grows: int) -> DocumentWrite:
    return DocumentWrite(type=ACCOUNT, id=account, expected=expected, schema=1, body="", grows=grows)


def appended(account: str, expected: int, *bodies: str, tenant: str = TENANT, **parts: Any) -> Change:
    """Events of one stream, after so many that are there."""
    messages = tuple(
        event(f"{ACCOUNT}/{account}", tenant=tenant, body=body, personal=None, stream_version=number)
        for number, body in enumerate(bodies, start=expected + 1)
    )
    fields: dict[str, Any] = {"documents": (head(account, expected, len(bodies)),), **parts}
    return change(tenant=tenant, messages=messages, events=len(messages), **fields)


def snapshot(account: str, version: int, body: str, schema: int = 1) -> SnapshotWrite:
    return SnapshotWrite(type=ACCOUNT, id=account, version=version, schema=schema, body=body)


async def read(
    store: ExaminedStore, account: str = "a", needs: StreamNeeds = ALL, tenant: str = TENANT
) -> StoredStream:
    found = await store.stream(tenant, ACCOUNT, account, needs)
    assert found is not None
    return found


def told(stream: StoredStream) -> list[tuple[int, str]]:
    assert stream.is_whole
    first = stream.version - len(stream.bodies) + 1
    return list(enumerate(stream.bodies, start=first))


async def test_events_come_back_in_their_order_and_the_head_counts_them(store: ExaminedStore) -> None:
    assert isinstance(await store.commit(appended("a", 0, "{1}", "{2}")), Done)
    assert isinstance(await store.commit(appended("a", 2, "{3}")), Done)
    stream = await read(store)
    assert (stream.id, stream.version, stream.head, stream.snapshot) == ("a", 3, "", None)
    assert told(stream) == [(1, "{1}"), (2, "{2}"), (3, "{3}")]
    assert list(stream.kinds) == ["shop.OrderPlaced 2"] * 3
    assert list(stream.personal) == ["", "", ""]
    assert (await read(store, needs=StreamNeeds(personal=False))).personal == ()


async def test_there_is_no_stream_of_an_unknown_aggregate_and_none_of_another_tenants(store: ExaminedStore) -> None:
    await store.commit(appended("a", 0, "{1}"))
    assert await store.stream(TENANT, ACCOUNT, "b", ALL) is None
    assert await store.stream("globex", ACCOUNT, "a", FIRST) is None
    assert await store.streams("globex", ACCOUNT, ["a"], FIRST) == []


async def test_two_tenants_have_streams_of_the_same_id(store: ExaminedStore) -> None:
    await store.commit(appended("a", 0, "{1}"))
    await store.commit(appended("a", 0, "{2}", "{3}", tenant="globex", snapshots=(snapshot("a", 1, "{s}"),)))
    assert told(await read(store, needs=FIRST)) == [(1, "{1}")]
    assert told(await read(store, needs=FIRST, tenant="globex")) == [(2, "{3}")]


async def test_who_appends_to_an_older_version_meets_a_conflict_and_writes_nothing(store: ExaminedStore) -> None:
    await store.commit(appended("a", 0, "{1}", "{2}"))
    assert await store.commit(appended("a", 1, "{other}")) == Conflict(ACCOUNT, "a")
    assert await store.commit(appended("a", 0, "{other}")) == Exists(ACCOUNT, "a")
    assert told(await read(store)) == [(1, "{1}"), (2, "{2}")]


async def test_who_only_read_a_stream_meets_a_conflict_when_it_has_grown(store: ExaminedStore) -> None:
    await store.commit(appended("a", 0, "{1}", "{2}"))
    await store.commit(appended("b", 0, "{1}"))
    read_before = VersionCheck(ACCOUNT, "a", 1)
    assert await store.commit(appended("b", 1, "{2}", checks=(read_before,))) == Conflict(ACCOUNT, "a")
    assert await store.commit(appended("b", 1, "{2}", checks=(VersionCheck(ACCOUNT, "a", 2),))) == Done()


async def test_a_usable_snapshot_takes_the_place_of_the_events_before_it(store: ExaminedStore) -> None:
    await store.commit(appended("a", 0, "{1}", "{2}", "{3}", snapshots=(snapshot("a", 2, "{state}"),)))
    stream = await read(store, needs=FIRST)
    assert stream.snapshot == StoredDocument("a", 2, 1, "{state}")
    assert told(stream) == [(3, "{3}")]
    later = appended("a", 3, "{4}", snapshots=(snapshot("a", 4, "{newer}"),))
    await store.commit(later)
    stream = await read(store, needs=FIRST)
    assert stream.snapshot == StoredDocument("a", 4, 1, "{newer}")
    assert (stream.version, told(stream)) == (4, [])


async def test_a_snapshot_of_another_version_of_the_fields_is_left_aside(store: ExaminedStore) -> None:
    await store.commit(appended("a", 0, "{1}", "{2}", snapshots=(snapshot("a", 1, "{state}", schema=2),)))
    for unusable in (ALL, FIRST, StreamNeeds(snapshots=range(3, 5))):
        stream = await read(store, needs=unusable)
        assert (stream.snapshot, told(stream)) == (None, [(1, "{1}"), (2, "{2}")])
    assert (await read(store, needs=StreamNeeds(snapshots=range(1, 4)))).snapshot == StoredDocument(
        "a", 1, 2, "{state}"
    )


async def test_personal_fields_are_read_until_the_person_is_erased(store: ExaminedStore) -> None:
    said = event(f"{ACCOUNT}/a", personal='{"owner":"Ann"}', subject="ann")
    await store.commit(change(documents=(head("a", 0, 1),), messages=(said,), events=1))
    assert list((await read(store)).personal) == ['{"owner":"Ann"}']
    assert await store.erase_messages(TENANT, "ann", 10) == 1
    assert list((await read(store)).personal) == [""]
    (several,) = await store.streams(TENANT, ACCOUNT, ["a"], ALL)
    assert list(several.personal) == [""]


async def test_several_streams_are_read_at_once_each_from_its_own_snapshot(store: ExaminedStore) -> None:
    await store.commit(appended("a", 0, "{a1}", "{a2}", snapshots=(snapshot("a", 1, "{a}"),)))
    await store.commit(appended("b", 0, "{b1}", "{b2}", snapshots=(snapshot("b", 2, "{b}", schema=7),)))
    await store.commit(appended("c", 0, "{c1}"))
    found = {stream.id: stream for stream in await store.streams(TENANT, ACCOUNT, ["b", "a", "nobody"], FIRST)}
    assert {account: (stream.version, told(stream)) for account, stream in found.items()} == {
        "a": (2, [(2, "{a2}")]),
        "b": (2, [(1, "{b1}"), (2, "{b2}")]),
    }
    assert found["a"].snapshot == StoredDocument("a", 1, 1, "{a}")
    whole = await store.streams(TENANT, ACCOUNT, ["a", "c"], ALL)
    assert {stream.id: len(stream.bodies) for stream in whole} == {"a": 2, "c": 1}
    assert await store.streams(TENANT, ACCOUNT, [], FIRST) == []


async def test_an_open_transaction_sees_what_it_has_appended(store: ExaminedStore) -> None:
    await store.commit(appended("a", 0, "{1}"))
    async with store.begin() as transaction:
        assert isinstance(await transaction.write(appended("a", 1, "{2}")), Done)
        stream = await transaction.stream(TENANT, ACCOUNT, "a", ALL)
        assert stream is not None
        assert told(stream) == [(1, "{1}"), (2, "{2}")]
        (same,) = await transaction.streams(TENANT, ACCOUNT, ["a"], FIRST)
        assert told(same) == told(stream)
    assert told(await read(store)) == [(1, "{1}")]


@pytest.mark.parametrize("numbers", [(1, 3), (2, 3), (1, 2), ()])
async def test_a_stream_that_lacks_an_event_is_not_whole(store: ExaminedStore, numbers: tuple[int, ...]) -> None:
    there = tuple(event(f"{ACCOUNT}/a", stream_version=number, personal=None) for number in numbers)
    await store.commit(change(documents=(head("a", 0, 3),), messages=there, events=len(there)))
    assert not (await read(store)).is_whole
    (several,) = await store.streams(TENANT, ACCOUNT, ["a"], ALL)
    assert not several.is_whole


async def test_a_public_event_of_a_stream_is_none_of_its_own(store: ExaminedStore) -> None:
    first = event(f"{ACCOUNT}/a", body="{1}")
    public = event(f"{ACCOUNT}/a", body="{public}", kind=Kind.PUBLIC)
    await store.commit(change(documents=(head("a", 0, 1),), messages=(first, public), events=1))
    assert told(await read(store)) == [(1, "{1}")]
