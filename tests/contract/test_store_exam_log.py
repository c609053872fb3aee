"""The exam of every keeper: the event log and its positions."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest

from duly.messages.envelope import Envelope, Kind, decode_chain
from duly.ports.change import Change, Done
from duly.ports.log import LogEvent, LogPage
from duly.testing.store_exam import TENANT, Candidate, ExaminedStore, change, document, event
from tests.contract.conftest import Another

STREAMS = ("shop.Order/a", "shop.Order/b", "shop.Order/c")


def happened(*streams: str, tenant: str = TENANT, **parts: object) -> Change:
    """A change that raises one event in each of the streams, and says one thing in public."""
    events = tuple(event(stream, tenant=tenant, **parts) for stream in streams)
    public = event(None, tenant=tenant, kind=Kind.PUBLIC, name="shop.Public")
    return change(tenant=tenant, messages=(*events, public), events=len(events))


async def number_all(store: ExaminedStore) -> None:
    """Give positions to everything that is committed."""
    while await store.number_commits(2):
        pass


async def commit_of(store: ExaminedStore, wanted: Change) -> int:
    """Commit a change that says something; its row in the log of commits."""
    verdict = await store.commit(wanted)
    assert isinstance(verdict, Done)
    assert verdict.commit is not None
    return verdict.commit


async def whole_log(store: ExaminedStore, positions_max: int = 1_000) -> list[LogEvent]:
    """Every event, read by pages of so many positions."""
    events: list[LogEvent] = []
    after = 0
    while True:
        page = await store.read_log(after, positions_max)
        if page.through == after:
            return events
        assert page.through - after <= positions_max
        events += page.events
        after = page.through


def of(envelopes: list[Envelope], events: list[LogEvent]) -> bool:
    """Whether these events are these messages, in every field that a reader of the log gets."""
    fields = ("id", "tenant", "name", "version", "body", "personal", "stream", "stream_version", "cause", "correlation")
    assert set(fields) | {"position", "at_ms", "chain"} == {*LogEvent.__struct_fields__, "cause", "correlation"}
    found = [[getattr(event, field) for field in fields] + [decode_chain(event.chain)] for event in events]
    return found == [[getattr(said, field) for field in fields] + [said.chain] for said in envelopes]


async def test_an_empty_log_has_no_events_and_ends_where_one_looks(store: ExaminedStore) -> None:
    assert await store.number_commits(10) == 0
    assert await store.log_head() == 0
    assert await store.read_log(0, 10) == LogPage([], 0)
    assert await store.read_log(5, 10) == LogPage([], 5)


async def test_events_have_positions_from_one_on_without_gaps_and_keep_every_field(store: ExaminedStore) -> None:
    changes = [happened(*STREAMS[:count], personal=personal) for count, personal in ((2, None), (0, None), (3, "{}"))]
    for wanted in changes:
        await store.commit(wanted)
    await number_all(store)
    events = await whole_log(store)
    assert [found.position for found in events] == [1, 2, 3, 4, 5]
    assert of([message for wanted in changes for message in wanted.messages[: wanted.events]], events)
    assert await store.log_head() == 5
    assert all(found.at.tzinfo is not None for found in events)


@pytest.mark.parametrize("positions_max", [1, 2, 3, 4, 7, 100])
async def test_pages_that_begin_and_end_inside_commits_give_the_same_whole(
    store: ExaminedStore, positions_max: int
) -> None:
    sizes = random.Random(positions_max)
    changes = [happened(*["shop.Order/a"] * sizes.randrange(6)) for _ in range(20)]
    for wanted in changes:
        await store.commit(wanted)
    await number_all(store)
    events = await whole_log(store, positions_max)
    assert of([message for wanted in changes for message in wanted.messages[: wanted.events]], events)
    assert [found.position for found in events] == list(range(1, len(events) + 1))


async def test_events_of_one_stream_are_in_the_order_of_their_commits(store: ExaminedStore) -> None:
    async def grow(stream: str) -> None:
        for version in range(1, 11):
            raised = event(stream, stream_version=version)
            await store.commit(change(documents=(document(stream, version - 1),), messages=(raised,), events=1))

    async def sequence() -> None:
        while not writing.done():
            await store.number_commits(3)
            await asyncio.sleep(0)

    writing = asyncio.gather(*map(grow, STREAMS))
    await asyncio.gather(writing, sequence())
    await number_all(store)
    versions: dict[str | None, list[int | None]] = {}
    for found in await whole_log(store, 4):
        versions.setdefault(found.stream, []).append(found.stream_version)
    assert versions == {stream: list(range(1, 11)) for stream in STREAMS}


async def test_names_leave_events_out_but_the_page_has_looked_at_its_whole_stretch(store: ExaminedStore) -> None:
    for name in ("shop.A", "shop.B", "shop.A", "shop.C", "shop.B", "shop.C"):
        await store.commit(happened("shop.Order/a", name=name))
    await number_all(store)
    page = await store.read_log(0, 4, names=["shop.B", "shop.Unknown"])
    assert ([found.position for found in page.events], page.through) == ([2], 4)
    page = await store.read_log(page.through, 4, names=["shop.B"])
    assert ([found.position for found in page.events], page.through) == ([5], 6)
    assert await store.read_log(2, 2, names=["shop.B"]) == LogPage([], 4)
    assert await store.read_log(0, 100, names=[]) == LogPage([], 6)


async def test_a_page_of_more_events_than_one_statement_reads_is_whole_and_in_order(store: ExaminedStore) -> None:
    for tenant in ("acme", "other", "acme"):
        await store.commit(happened(*["shop.Order/a"] * 900, tenant=tenant))
    await number_all(store)
    page = await store.read_log(0, 10_000)
    assert ([found.position for found in page.events], page.through) == (list(range(1, 2_701)), 2_700)
    page = await store.read_log(100, 10_000, through=2_050)
    assert ([found.position for found in page.events], page.through) == (list(range(101, 2_051)), 2_050)
    page = await store.read_log(0, 2_500, tenant="other")
    assert ([found.position for found in page.events], page.through) == (list(range(901, 1_801)), 2_500)


async def test_text_of_any_kind_comes_out_as_it_was_written(store: ExaminedStore) -> None:
    odd = "quoted \" \\ \\\" \b\t\n\f\r\x01\x1f\x7f / \u2028 \ufeff \ufffe é ё 𝄞 [] , 'null'"
    said = happened(f"shop.Order/{odd}", name=odd, body=msgspec.json.encode({odd: odd}).decode(), personal=f'["{odd}"]')
    await store.commit(said)
    await number_all(store)
    assert of(list(said.messages[:1]), await whole_log(store))


async def test_a_tenant_reads_only_its_own_events(store: ExaminedStore) -> None:
    for tenant in ("acme", "other", "acme"):
        await store.commit(happened("shop.Order/a", tenant=tenant))
    await number_all(store)
    page = await store.read_log(0, 100, tenant="other")
    assert ([found.position for found in page.events], page.through) == ([2], 3)
    assert {found.tenant for found in page.events} == {"other"}
    assert await store.read_log(0, 100, tenant="other", names=["shop.Unknown"]) == LogPage([], 3)


async def test_a_page_does_not_go_behind_the_position_that_it_is_bounded_by(store: ExaminedStore) -> None:
    await store.commit(happened(*STREAMS))
    await number_all(store)
    page = await store.read_log(0, 100, through=2)
    assert ([found.position for found in page.events], page.through) == ([1, 2], 2)
    assert await store.read_log(2, 100, through=2) == LogPage([], 2)
    assert (await store.read_log(2, 100, through=50)).through == 3


async def test_a_commit_has_the_position_of_its_last_event_and_one_without_events_that_of_the_one_before(
    store: ExaminedStore,
) -> None:
    silent = await commit_of(store, happened())
    first = await commit_of(store, happened(*STREAMS))
    quiet = await commit_of(store, happened())
    second = await commit_of(store, happened("shop.Order/a"))
    assert await store.position_of(silent) == 0
    if not store.numbers_at_commit:
        assert await store.position_of(first) is None
        assert await store.position_of(quiet) is None
    await number_all(store)
    assert [await store.position_of(commit) for commit in (silent, first, quiet, second)] == [0, 3, 3, 4]


async def test_several_sequencers_number_each_event_once(
    candidate: Candidate, store: ExaminedStore, another: Another
) -> None:
    stores = [store, *[await another() if candidate.is_shared else store for _ in range(2)]]
    writing = asyncio.gather(*(stores[n % 3].commit(happened(*STREAMS[: n % 4])) for n in range(120)))

    async def sequence(sequencer: ExaminedStore) -> int:
        numbered = 0
        while not writing.done():
            numbered += await sequencer.number_commits(5)
            await asyncio.sleep(0)
        while count := await sequencer.number_commits(5):
            numbered += count
        return numbered

    commits = await asyncio.gather(*map(sequence, stores))
    assert all(isinstance(verdict, Done) for verdict in await writing)
    events = await whole_log(store)
    assert [found.position for found in events] == list(range(1, 181))
    assert len({found.id for found in events}) == 180
    assert await store.log_head() == 180
    if not store.numbers_at_commit:
        assert sum(commits) == 90
