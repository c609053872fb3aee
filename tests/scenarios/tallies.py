"""Counters that show whether an event was counted never, twice, or out of order: in a table and as documents."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from duly import (
    Command,
    DomainEvent,
    Duly,
    Index,
    Logged,
    Module,
    Projection,
    ReadModel,
    ReadModels,
    Repository,
    Tables,
)
from duly.domain.aggregate import Aggregate
from duly.ports.store import Store


class Add(Command):
    counter: str
    amount: int
    twice: bool = False


class Added(DomainEvent):
    counter: str
    amount: int


class Counter(Aggregate):
    total: int = 0


class Tally(ReadModel):
    count: Index[int] = 0
    total: int = 0
    order: int = 0
    """A fold in which order matters."""


TALLY = """
CREATE TABLE {tally} (
    tenant TEXT NOT NULL, id TEXT NOT NULL, count BIGINT NOT NULL, total BIGINT NOT NULL, PRIMARY KEY (tenant, id)
)
"""
SEEN = "CREATE TABLE {tally_seen} (tenant TEXT NOT NULL, position BIGINT NOT NULL PRIMARY KEY)"


def in_order(before: int, amount: int) -> int:
    """One step of a fold in which order matters."""
    return (before * 31 + amount) % 1_000_003


def module() -> tuple[Module, ...]:
    """The module with its projections: one into a table, one into documents, one that fetches."""
    table = Projection("tally_table", tables={"tally": TALLY, "tally_seen": SEEN})
    documents = Projection("tally_documents")
    fetching = Projection("tally_fetching", tables={"tally_fetched": TALLY.replace("{tally}", "{tally_fetched}")})

    @table.on
    async def count_rows(event: Added, tables: Tables, at: Logged) -> None:
        # A second time it would fail.
        await tables.execute(
            "INSERT INTO {tally_seen} (tenant, position) VALUES (:tenant, :position)", position=at.position
        )
        await tables.execute(
            "INSERT INTO {tally} (tenant, id, count, total) VALUES (:tenant, :id, 1, :amount) "
            "ON CONFLICT (tenant, id) DO UPDATE "
            "SET count = {tally}.count + 1, total = {tally}.total + excluded.total",
            id=event.counter,
            amount=event.amount,
        )

    @documents.on
    async def count_documents(event: Added, tallies: ReadModels[Tally]) -> None:
        tally = await tallies.find(event.counter) or Tally(id=event.counter)
        tallies.put(
            tally.changed(
                count=tally.count + 1, total=tally.total + event.amount, order=in_order(tally.order, event.amount)
            )
        )

    @fetching.on
    async def count_fetched(event: Added, tables: Tables) -> None:
        row = await tables.fetch_one(
            "SELECT count, total FROM {tally_fetched} WHERE tenant = :tenant AND id = :id", id=event.counter
        )
        if row is None:
            await tables.execute(
                "INSERT INTO {tally_fetched} (tenant, id, count, total) VALUES (:tenant, :id, 1, :total)",
                id=event.counter,
                total=event.amount,
            )
        else:
            await tables.execute(
                "UPDATE {tally_fetched} SET count = :count, total = :total WHERE tenant = :tenant AND id = :id",
                id=event.counter,
                count=int(str(row["count"])) + 1,
                total=int(str(row["total"])) + event.amount,
            )

    made = Module("tallies", projections=[table, documents, fetching])

    @made.command
    async def add(command: Add, counters: Repository[Counter]) -> None:
        counter = await counters.find(command.counter)
        if counter is None:
            counter = Counter(id=command.counter)
            counters.add(counter)
        for _ in range(1 + command.twice):
            counter.total += command.amount
            counter.record(Added(counter=command.counter, amount=command.amount))

    return (made,)


async def check_against_the_log(app: Duly, store: Store) -> int:
    """Compare every read model with an independent fold of the log; how many events there are."""
    counts: dict[str, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    versions: dict[str, int] = defaultdict(int)
    position = 0
    while (page := await store.read_log(position, 1_000)).through > position:
        for event in page.events:
            assert event.position == position + 1
            position = event.position
            assert event.stream_version is not None
            assert event.stream_version >= versions[f"{event.tenant} {event.stream}"]
            versions[f"{event.tenant} {event.stream}"] = event.stream_version
            added = app._routes.catalog.decode(event)
            assert isinstance(added, Added)
            key = f"{event.tenant}/{added.counter}"
            count, total, order = counts[key]
            counts[key] = (count + 1, total + added.amount, in_order(order, added.amount))
    for table in ("tally", "tally_fetched"):
        rows = await store.select(f"SELECT tenant, id, count, total FROM {table}", {})
        found = {f"{row['tenant']}/{row['id']}": (row["count"], row["total"]) for row in rows}
        assert found == {key: value[:2] for key, value in counts.items()}, table
    prefix = "duly." if store.url.startswith("postgres") else "duly_"
    rows = await store.select(f"SELECT tenant, id, body FROM {prefix}read_model WHERE model = 'Tally'", {})
    documents = {f"{row['tenant']}/{row['id']}": msgspec.json.decode(str(row["body"]), type=Tally) for row in rows}
    assert {key: (one.count, one.total, one.order) for key, one in documents.items()} == dict(counts)
    entries = await store.select(f"SELECT tenant, id, value FROM {prefix}read_entry WHERE model = 'Tally'", {})
    assert {f"{row['tenant']}/{row['id']}": row["value"] for row in entries} == {
        key: str(value[0]) for key, value in counts.items()
    }
    assert len(entries) == len(counts)
    return position
