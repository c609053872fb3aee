"""The exam of every keeper: finished streams leave the table of messages, and stay in the log where they were."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from itertools import pairwise

import pytest

from duly.messages.envelope import Kind
from duly.messages.identity import bucket_of
from duly.ports.archive import ArchiveStep
from duly.ports.change import Change, Later, Promise
from duly.ports.log import LogEvent
from duly.ports.projections import Shape
from duly.ports.store import StreamNeeds
from duly.testing.store_exam import (
    TENANT,
    Candidate,
    ExaminedStore,
    change,
    delivered,
    due_rows,
    event,
    own_all,
)
from tests.contract.conftest import Another
from tests.contract.test_store_exam_log import number_all, whole_log
from tests.contract.test_store_exam_streams import ACCOUNT, appended, read, snapshot, told

STREAMS = tuple(f"shop.Order/o-{number}" for number in range(6))
FIRST = StreamNeeds(snapshots=range(1, 2))


def happened(*streams: str, version: int = 1, tenant: str = TENANT, promised: bool = False) -> Change:
    """A change that raises an event in each of the streams, one without personal fields, and says a thing in public."""
    events = tuple(
        event(stream, tenant=tenant, stream_version=version, personal=None if place % 3 == 2 else '{"phone":"+491"}')
        for place, stream in enumerate(streams)
    )
    public = event(streams[0], tenant=tenant, kind=Kind.PUBLIC, name="shop.Public")
    promises = (Promise(0, 1, streams[0], bucket_of(streams[0])),) if promised else ()
    return change(tenant=tenant, messages=(*events, public), events=len(events), promises=promises)


async def archive(
    store: ExaminedStore, stream: str, *, tenant: str = TENANT, events_max: int = 3, digests: tuple[str, ...] = ()
) -> tuple[int, str]:
    """Put a stream away, so many events in a row of the archive; how many went, and why no more."""
    events = 0
    while True:
        step = await store.archive(tenant, stream, digests=digests, by="anna", reason="done", events_max=events_max)
        events += step.events
        if not step.has_more:
            return events, step.refused


async def long_log(store: ExaminedStore, seed: int) -> random.Random:
    """Commits of one to four streams of two tenants, all numbered."""
    chance = random.Random(seed)
    for number in range(40):
        streams = chance.sample(STREAMS, chance.randint(1, 4))
        tenant = chance.choice((TENANT, TENANT, "globex"))
        await store.commit(happened(*streams, version=number + 1, tenant=tenant))
    await number_all(store)
    return chance


async def pages(store: ExaminedStore, cuts: list[int], **parts: object) -> list[list[LogEvent]]:
    """The stretches of the log between *cuts*."""
    found = []
    for first, last in pairwise(cuts):
        page = await store.read_log(first, last - first, **parts)  # type: ignore[arg-type]
        assert page.through == last
        found.append(page.events)
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_the_log_reads_as_before_whatever_was_archived_and_wherever_it_is_cut(
    store: ExaminedStore, candidate: Candidate, seed: int
) -> None:
    chance = await long_log(store, seed)
    before = await whole_log(store)
    cuts = sorted({0, len(before), *chance.sample(range(len(before)), 12)})
    names = {"names": ["shop.OrderPlaced"], "tenant": "globex"}
    by_cuts, of_one = await pages(store, cuts), await pages(store, cuts, **names)
    assert any(of_one), "the filters find something"
    left = len(before)
    for stream in chance.sample(STREAMS, 4):
        events, refused = await archive(store, stream, events_max=chance.randint(1, 5))
        assert events > 0
        assert refused == ""
        left -= events
        assert await whole_log(store, chance.randint(1, 20)) == before
        assert await pages(store, cuts) == by_cuts
        assert await pages(store, cuts, **names) == of_one
    events, _ = await archive(store, STREAMS[0], tenant="globex")
    (row,) = await store.select(f"SELECT count(*) AS n FROM {candidate.table('message')} WHERE kind = 'event'", {})
    assert int(str(row["n"])) == left - events
    assert await pages(store, cuts, **names) == of_one
    assert (await store.read_log(0, 1_000, names=["shop.Nothing"])).events == []


async def test_an_archived_stream_takes_much_less_room(store: ExaminedStore, candidate: Candidate) -> None:
    for number in range(50):
        await store.commit(happened(STREAMS[0], version=number + 1))
    await number_all(store)
    text = f"SELECT sum(length(body) + length(chain) + length(id)) AS n FROM {candidate.table('message')}"
    (hot,) = await store.select(f"{text} WHERE kind = 'event'", {})
    assert await archive(store, STREAMS[0], events_max=50) == (50, "")
    (cold,) = await store.select(f"SELECT sum(length(body)) AS n FROM {candidate.table('archived_stream')}", {})
    assert int(str(cold["n"])) * 2 < int(str(hot["n"]))


async def test_a_stream_goes_on_after_it_was_archived_and_is_archived_again(
    store: ExaminedStore, candidate: Candidate
) -> None:
    for version in (1, 2):
        await store.commit(happened(STREAMS[0], version=version))
    await number_all(store)
    assert await archive(store, STREAMS[0]) == (2, "")
    assert await archive(store, STREAMS[0]) == (0, "")
    await store.commit(happened(STREAMS[0], version=3))
    await number_all(store)
    before = await whole_log(store)
    assert await archive(store, STREAMS[0]) == (1, "")
    assert await whole_log(store) == before
    rows = await store.select(
        f"SELECT first_version, last_version, events, by_whom, reason FROM {candidate.table('archived_stream')} "
        "ORDER BY last_version",
        {},
    )
    assert [tuple(row.values()) for row in rows] == [(1, 2, 2, "anna", "done"), (3, 3, 1, "anna", "done")]


async def test_another_tenants_stream_of_the_same_name_stays(store: ExaminedStore) -> None:
    await store.commit(happened(STREAMS[0]))
    await store.commit(happened(STREAMS[0], tenant="globex"))
    await number_all(store)
    assert await archive(store, STREAMS[0]) == (1, "")
    assert await archive(store, STREAMS[0], tenant="globex") == (1, "")


async def test_an_event_without_a_position_stays(store: ExaminedStore) -> None:
    await store.commit(happened(STREAMS[0]))
    await number_all(store)
    await store.commit(happened(STREAMS[0], version=2))
    if store.numbers_at_commit:
        assert await archive(store, STREAMS[0]) == (2, "")
        return
    events, refused = await archive(store, STREAMS[0])
    assert events == 1
    assert "its event 2, a shop.OrderPlaced, has no position yet" in refused
    await number_all(store)
    assert await archive(store, STREAMS[0]) == (1, "")


async def test_what_a_projection_has_not_seen_stays(store: ExaminedStore) -> None:
    shape = Shape(name="orders", digest="d-1", tables=(), statements=())
    await store.make_projections([shape])
    await store.commit(happened(STREAMS[0]))
    await number_all(store)
    events, refused = await archive(store, STREAMS[0], digests=("d-1",))
    assert events == 0
    assert "is at position 1, and projection 'orders' has come to 0: 1 behind" in refused
    assert await archive(store, STREAMS[0], digests=("of another application",)) == (1, "")


async def test_what_is_promised_stays_and_what_follows_it(store: ExaminedStore) -> None:
    lane = STREAMS[0]
    later = (Promise(0, 1, lane, bucket_of(lane), Later(id="l-1", after_ms=60_000)),)
    await store.commit(happened(lane, version=1))
    await store.commit(happened(lane, version=2, promised=True))
    await store.commit(change(messages=(event(lane, stream_version=3),), events=1, promises=later))
    await store.commit(happened(lane, version=4))
    await number_all(store)
    events, refused = await archive(store, lane)
    assert events == 1
    assert "its event 2, a shop.OrderPlaced, waits for its delivery to" in refused

    tokens = await own_all(store, lease=timedelta(days=1))
    (due,) = await due_rows(store)
    assert await store.park(due, tokens.tokens[due.bucket], attempts=1, reason="no")
    assert "is parked for" in (await archive(store, lane))[1]
    assert await store.unpark(TENANT, due.row)
    (due,) = await due_rows(store)
    await store.commit(change(delivered=delivered(due, tokens)))
    events, refused = await archive(store, lane)
    assert events == 1
    assert "its event 3, a shop.OrderPlaced, waits for its time to go to" in refused
    assert await store.cancel_later(TENANT, "l-1")
    assert await archive(store, lane) == (2, "")


async def test_an_event_sourced_aggregate_is_read_out_of_the_archive(store: ExaminedStore) -> None:
    await store.commit(appended("a", 0, "{1}", "{2}", "{3}", "{4}", "{5}"))
    await store.commit(appended("b", 0, "{b1}"))
    await number_all(store)
    before = await read(store)
    assert await archive(store, f"{ACCOUNT}/a", events_max=2) == (5, "")
    assert await read(store) == before
    await store.commit(appended("a", 5, "{6}"))
    assert told(await read(store)) == [(number, f"{{{number}}}") for number in range(1, 7)]
    found = {stream.id: told(stream) for stream in await store.streams(TENANT, ACCOUNT, ["a", "b"], FIRST)}
    assert found == {"a": told(await read(store)), "b": [(1, "{b1}")]}


async def test_a_snapshot_leaves_the_archive_alone_and_one_that_is_too_old_does_not(store: ExaminedStore) -> None:
    await store.commit(appended("a", 0, "{1}", "{2}", "{3}", snapshots=(snapshot("a", 2, "{state}"),)))
    await number_all(store)
    assert await archive(store, f"{ACCOUNT}/a") == (3, "")
    await store.commit(appended("a", 3, "{4}"))
    assert told(await read(store, needs=FIRST)) == [(3, "{3}"), (4, "{4}")]
    assert told(await read(store, needs=StreamNeeds(snapshots=range(2, 3)))) == [(n, f"{{{n}}}") for n in range(1, 5)]


async def test_a_person_is_erased_from_archived_events(store: ExaminedStore) -> None:
    said = event(f"{ACCOUNT}/a", personal='{"owner":"Zyxgundula"}', subject="ann")
    await store.commit(change(messages=(said,), events=1))
    await number_all(store)
    assert await archive(store, f"{ACCOUNT}/a") == (1, "")
    assert [found.personal for found in await whole_log(store)] == ['{"owner":"Zyxgundula"}']
    assert await store.erase_messages(TENANT, "ann", 10) == 1
    assert [found.personal for found in await whole_log(store)] == [None]


async def test_two_who_archive_one_stream_at_once_put_each_event_away_once(
    store: ExaminedStore, another: Another, candidate: Candidate
) -> None:
    other = await another() if candidate.is_shared else store
    for number in range(30):
        await store.commit(happened(STREAMS[0], version=number + 1))
    await number_all(store)
    before = await whole_log(store)
    done = await asyncio.gather(archive(store, STREAMS[0]), archive(other, STREAMS[0]))
    assert sum(events for events, _ in done) == 30
    assert await whole_log(store) == before


async def test_whoever_reads_while_a_stream_is_put_away_misses_nothing(
    store: ExaminedStore, another: Another, candidate: Candidate
) -> None:
    reader = await another() if candidate.is_shared else store
    for number in range(12):
        await store.commit(appended("a", 5 * number, *(f"{{{5 * number + step}}}" for step in range(1, 6))))
    await number_all(store)
    before, stream = await whole_log(store), await read(store)
    looks = 0
    is_done = asyncio.Event()

    async def look() -> None:
        nonlocal looks
        while not is_done.is_set():
            assert await whole_log(reader, 17) == before
            assert await read(reader) == stream
            looks += 1

    async def put_away() -> None:
        try:
            assert (await store.archive(TENANT, f"{ACCOUNT}/a", digests=(), by="a", reason="b", events_max=1)).has_more
            assert await archive(store, f"{ACCOUNT}/a", events_max=1) == (59, "")
        finally:
            is_done.set()

    await asyncio.gather(look(), put_away())
    assert looks > 1
    assert await whole_log(reader, 17) == before


async def test_a_stream_that_there_is_not_has_nothing_to_archive(store: ExaminedStore) -> None:
    step = await store.archive(TENANT, "shop.Order/none", digests=(), by="anna", reason="done", events_max=10)
    assert step == ArchiveStep(events=0)
