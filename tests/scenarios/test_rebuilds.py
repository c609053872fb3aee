"""A projection is built anew beside the one that is read, and takes its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from duly import Duly, Effects, InvalidInput, Origin, Projection, Sms, Tables
from duly.delivery import rebuild as rebuild_module
from duly.delivery.rebuild import RebuildPhase, RebuildProgress
from duly.errors import RebuildFailed, RebuildRefused, StoreBusy, StoreError
from duly.runtime import rebuilds
from duly.testing.failures import at_failpoints
from tests.scenarios.read_models_shop import (
    AccountsOf,
    ChangeOrder,
    OrderChanged,
    OrderPlaced,
    PlaceOrder,
    ReadAccount,
    ReadTable,
    account_list,
    changed_row,
    order_list,
    placed_row,
    shop,
    with_accounts,
)
from tests.scenarios.running import Running, Start, durable, quick_settings

POINTS = ("rebuild.after_batch", "rebuild.before_swap", "rebuild.after_swap", "rebuild.after_drop")


class Stopped(RuntimeError):
    """The process is gone."""


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilds, "POSITIONS_PER_BATCH_MAX", 7)
    monkeypatch.setattr(rebuild_module, "DOCUMENTS_PER_COMMIT_MAX", 7)


async def trade(app: Duly, begin: int, end: int) -> None:
    """Orders, each placed and changed."""
    for number in range(begin, end):
        await app.execute(
            PlaceOrder(order_id=f"o-{number}", customer_id=f"c-{number % 5}", total=number), tenant=f"t-{number % 3}"
        )
        await app.execute(ChangeOrder(order_id=f"o-{number}", total=2 * number), tenant=f"t-{number % 3}")


async def rows_of(app: Duly) -> list[tuple[str, int, int]]:
    return await app.ask(ReadTable(), tenant="t-0")


async def tables_of(app: Duly) -> set[str]:
    """Names of the tables and indexes that a rebuild may leave behind."""
    if app.store_url.startswith("postgresql"):
        names = "SELECT relname AS name FROM pg_class WHERE relname LIKE 'order_line%'"
    else:
        names = "SELECT name FROM sqlite_schema WHERE name LIKE 'order_line%'"
    return {str(row["name"]) for row in await app._store.select(names, {})}


async def generations_of(app: Duly) -> list[tuple[int, str]]:
    return [(view.generation, view.state.value) for view in await app.projections()]


async def test_rows_are_the_same_after_a_rebuild(start: Start) -> None:
    running = await start(shop(order_list()))
    await trade(running.app, 0, 30)
    await running.quiet()
    before, tables = await rows_of(running.app), await tables_of(running.app)
    seen: list[RebuildProgress] = []
    rebuilt = await running.app.rebuild("order_list", on_progress=seen.append)
    assert (rebuilt.generation, rebuilt.position, rebuilt.resumed_at) == (2, 60, 0)
    assert await rows_of(running.app) == before
    assert await generations_of(running.app) == [(2, "current")]
    building = [progress for progress in seen if progress.phase is RebuildPhase.BUILDING]
    assert [progress.done for progress in building] == [*range(7, 60, 7), 60]
    assert {progress.total for progress in seen} == {60}
    assert building[3].rate > 0
    assert building[3].left is not None
    assert seen[-1].phase is RebuildPhase.DONE
    await trade(running.app, 30, 32)
    await running.quiet()
    assert len(await rows_of(running.app)) == 32
    assert len(await tables_of(running.app)) == len(tables)
    assert not [name for name in await tables_of(running.app) if "__g1" in name]


async def test_documents_are_the_same_after_a_rebuild(start: Start) -> None:
    running = await start(with_accounts(shop(account_list())))
    await trade(running.app, 0, 40)
    await running.quiet()

    async def read() -> list[object]:
        small = [await running.app.ask(AccountsOf(level="small"), tenant=f"t-{n}") for n in range(3)]
        accounts = [await running.app.ask(ReadAccount(customer_id=f"c-{n}"), tenant="t-1") for n in range(5)]
        return [*small, *accounts]

    before = await read()
    await running.app.rebuild("accounts")
    assert await read() == before
    counted = await count_documents(running.app)
    assert set(counted) == {2}
    await trade(running.app, 40, 42)
    await running.quiet()
    assert await read() != before


async def count_documents(app: Duly) -> list[int]:
    schema = "duly." if app.store_url.startswith("postgresql") else "duly_"
    rows = await app._store.select(
        f"SELECT generation FROM {schema}read_model UNION SELECT generation FROM {schema}read_entry", {}
    )
    return [int(str(row["generation"])) for row in rows]


async def test_live_traffic_and_readers_go_on_while_it_is_rebuilt(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilds, "POSITIONS_PER_BATCH_MAX", 200)
    running = await start(shop(order_list()))
    await trade(running.app, 0, 40)
    await running.quiet()
    stop = asyncio.Event()
    reads = 0

    async def read() -> None:
        nonlocal reads
        latest = 0
        while not stop.is_set():
            rows = await rows_of(running.app)
            newest = max(position for _, _, position in rows)
            assert newest >= latest, "time went backwards"
            assert len(rows) >= 40
            latest = newest
            reads += 1

    async def write() -> None:
        number = 40
        while not stop.is_set():
            await trade(running.app, number, number + 1)
            number += 1

    async with asyncio.TaskGroup() as group:
        for work in (read, read, write):
            group.create_task(work())
        for _ in range(3):
            await running.app.rebuild("order_list")
        stop.set()
    await running.quiet()
    assert reads > 3
    await agrees_with_the_log(running)
    (view,) = await running.app.projections()
    assert (view.generation, view.lag) == (4, 0)


async def agrees_with_the_log(running: Running) -> None:
    """The table is what an independent fold of the log says."""
    page = await running.app._store.read_log(0, 1_000_000)
    expected: dict[str, tuple[int, int]] = {}
    for event in page.events:
        message = running.app._routes.catalog.decode(event)
        assert isinstance(message, OrderPlaced | OrderChanged)
        expected[f"{event.tenant}/{message.order_id}"] = (message.total, event.position)
    assert await rows_of(running.app) == [(name, *expected[name]) for name in sorted(expected)]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("projection", [order_list, account_list], ids=["tables", "documents"])
@durable
async def test_a_rebuild_that_is_cut_short_goes_on(
    start: Start, point: str, projection: Callable[[], Projection]
) -> None:
    running = await start(with_accounts(shop(order_list(), account_list())))
    name = projection().name
    await trade(running.app, 0, 20)
    await running.quiet()
    before = await rows_of(running.app), await running.app.ask(AccountsOf(level="small"), tenant="t-1")
    hits = 0

    def stop(reached: str) -> None:
        nonlocal hits
        hits += reached == point
        if hits == 2 or (hits and point != "rebuild.after_batch"):
            raise Stopped

    with at_failpoints(stop), pytest.raises(Stopped):
        await running.app.rebuild(name)
    assert (await rows_of(running.app), await running.app.ask(AccountsOf(level="small"), tenant="t-1")) == before
    await trade(running.app, 20, 24)
    rebuilt = await running.app.rebuild(name)
    if point == "rebuild.after_batch":
        assert rebuilt.resumed_at in (14, 21)  # the batch that followed may have been under way
    await running.quiet()
    await agrees_with_the_log(running)
    assert not [view for view in await running.app.projections() if view.state.value in ("building", "old")]
    assert not [table for table in await tables_of(running.app) if "__g1" in table]
    assert len(await tables_of(running.app)) <= 3


async def test_with_fresh_an_interrupted_rebuild_is_not_gone_on_with(start: Start) -> None:
    running = await start(shop(order_list()))
    await trade(running.app, 0, 20)
    await running.quiet()

    def stop(reached: str) -> None:
        if reached == "rebuild.after_batch":
            raise Stopped

    with at_failpoints(stop), pytest.raises(Stopped):
        await running.app.rebuild("order_list")
    rebuilt = await running.app.rebuild("order_list", fresh=True)
    assert (rebuilt.generation, rebuilt.resumed_at) == (3, 0)
    await agrees_with_the_log(running)
    assert not [table for table in await tables_of(running.app) if "__g2" in table]


async def test_two_rebuilds_at_once_do_no_harm(start: Start) -> None:
    running = await start(shop(order_list()))
    await trade(running.app, 0, 40)
    await running.quiet()
    first, second = await asyncio.gather(running.app.rebuild("order_list"), running.app.rebuild("order_list"))
    assert {first.generation, second.generation} <= {2, 3}
    await trade(running.app, 40, 42)
    await running.quiet()
    await agrees_with_the_log(running)


def wider() -> Projection:
    """The order list of newer code: one column more."""
    projection = Projection(
        "order_list",
        tables={
            "order_line": (
                "CREATE TABLE {order_line} (tenant TEXT NOT NULL, id TEXT NOT NULL, total BIGINT NOT NULL, "
                "position BIGINT NOT NULL, customer TEXT NOT NULL, PRIMARY KEY (tenant, id))"
            ),
            "order_count": "CREATE TABLE {order_count} (tenant TEXT NOT NULL PRIMARY KEY, orders BIGINT NOT NULL)",
        },
    )

    @projection.on
    async def placed(event: OrderPlaced, tables: Tables) -> None:
        await tables.execute(
            "INSERT INTO {order_line} VALUES (:tenant, :id, :total, 0, :customer)",
            id=event.order_id,
            total=event.total,
            customer=event.customer_id,
        )
        await tables.execute(
            "INSERT INTO {order_count} AS c VALUES (:tenant, 1) "
            "ON CONFLICT (tenant) DO UPDATE SET orders = c.orders + 1"
        )

    return projection


@durable
async def test_changed_tables_come_into_force_by_a_rebuild(start: Start) -> None:
    old = await start(shop(order_list()))
    await trade(old.app, 0, 20)
    await old.quiet()
    for _ in range(12):
        await rows_of(old.app)
    new = await start(shop(wider()), worker=False)
    assert await generations_of(new.app) == [(1, "outdated")]
    await new.app.rebuild("order_list")
    counts = await new.app._store.select("SELECT tenant, orders FROM order_count ORDER BY tenant", {})
    assert [int(str(row["orders"])) for row in counts] == [7, 7, 6]
    customers = await new.app._store.select("SELECT * FROM order_line WHERE tenant = 't-1' AND id = 'o-1'", {})
    assert customers[0]["customer"] == "c-1"
    # Readers of old code read on, whatever their connections have prepared.
    for _ in range(12):
        assert len(await rows_of(old.app)) == 20


async def test_readers_of_all_columns_do_not_notice_that_there_are_others(start: Start) -> None:
    running = await start(shop(order_list()))
    await trade(running.app, 0, 3)
    await running.quiet()
    store = running.app._store
    everything = "SELECT * FROM order_line ORDER BY id"
    for _ in range(12):
        assert "customer" not in (await store.select(everything, {}))[0]
    await rebuild_with(running, wider())
    for _ in range(12):
        assert "customer" in (await store.select(everything, {}))[0]


async def until(running: Running, wanted: list[tuple[int, str]]) -> None:
    """Wait for these generations in these states."""
    async with asyncio.timeout(20):
        while await generations_of(running.app) != wanted:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)


async def rebuild_with(running: Running, projection: Projection) -> None:
    """Rebuild on the same store with other code."""
    other = Duly(modules=[shop(projection)], store=running.app._store, settings=quick_settings(), worker=False)
    await rebuilds.rebuild_projection(
        running.app._store, other._routes, projection.name, other.settings, fresh=False, on_progress=None
    )


async def test_a_handler_that_fails_at_the_past_leaves_what_is_read_as_it_was(start: Start) -> None:
    broken = order_list()
    running = await start(shop(broken))
    await trade(running.app, 0, 20)
    await running.quiet()
    before = await rows_of(running.app)
    failing = Projection("order_list", tables=dict(broken.tables))
    failing.on(placed_row)

    @failing.on
    async def changed(event: OrderChanged, tables: Tables) -> None:
        if event.order_id == "o-7":
            raise ValueError("this one is odd")

    with pytest.raises(RebuildFailed, match=r"OrderChanged at position 16, since ValueError: this one is odd"):
        await rebuild_with(running, failing)
    assert await rows_of(running.app) == before
    assert await generations_of(running.app) == [(1, "current"), (2, "building")]
    rebuilt = await running.app.rebuild("order_list")
    assert rebuilt.resumed_at == 15
    await running.app.rebuild("order_list", fresh=True)
    await agrees_with_the_log(running)


async def test_a_projection_that_stands_still_is_helped_by_a_rebuild(start: Start) -> None:
    stuck = Projection("order_list", tables=dict(order_list().tables))
    stuck.on(placed_row)

    @stuck.on
    async def changed(event: OrderChanged, tables: Tables) -> None:
        raise ValueError("always")

    running = await start(shop(stuck))
    await trade(running.app, 0, 3)
    await until(running, [(1, "failing")])
    await rebuild_with(running, order_list())
    await until(running, [(2, "current")])
    await agrees_with_the_log(running)


async def test_no_effect_is_requested_by_a_rebuild(start: Start) -> None:
    module = shop(order_list())

    @module.after_commit
    async def text_customer(event: OrderPlaced, effects: Effects) -> None:
        effects.request(Sms(to="+4915123456789", text=event.order_id))

    running = await start(module)
    await trade(running.app, 0, 10)
    await running.quiet()
    calls = list(running.gateway.calls)
    assert len(calls) == 10
    await running.app.rebuild("order_list")
    await running.quiet()
    assert running.gateway.calls == calls


def at_once(**tables: str) -> Projection:
    """An order list that is visible with the command."""
    projection = Projection(
        "order_list",
        in_transaction=True,
        tables={
            "order_line": "CREATE TABLE {order_line} (tenant TEXT NOT NULL, id TEXT NOT NULL, total BIGINT NOT NULL, "
            "position BIGINT NOT NULL, PRIMARY KEY (tenant, id))"
        },
    )

    @projection.on
    async def placed(event: OrderPlaced, tables: Tables, origin: Origin) -> None:
        await tables.execute(
            "INSERT INTO {order_line} VALUES (:tenant, :id, :total, :version)",
            id=event.order_id,
            total=event.total,
            version=origin.version,
        )

    @projection.on
    async def changed(event: OrderChanged, tables: Tables, origin: Origin) -> None:
        await tables.execute(
            "UPDATE {order_line} SET total = :total, position = :version WHERE tenant = :tenant AND id = :id",
            id=event.order_id,
            total=event.total,
            version=origin.version,
        )

    return projection


async def test_an_in_transaction_read_model_misses_nothing_when_it_is_rebuilt(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilds, "POSITIONS_PER_BATCH_MAX", 200)
    running = await start(shop(at_once()))
    await trade(running.app, 0, 20)
    stop = asyncio.Event()
    written = 20

    async def write() -> None:
        nonlocal written
        while not stop.is_set():
            number, written = written, written + 1
            await trade(running.app, number, number + 1)
            row = next(row for row in await rows_of(running.app) if row[0].endswith(f"/o-{number}"))
            assert row[1:] == (2 * number, 2)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(write())
        for _ in range(3):
            await running.app.rebuild("order_list")
        stop.set()
    assert await rows_of(running.app) == sorted((f"t-{n % 3}/o-{n}", 2 * n, 2) for n in range(written))


@durable
async def test_an_in_transaction_read_model_is_rebuilt_before_the_start_that_needs_it(start: Start) -> None:
    old = await start(shop(at_once()))
    await trade(old.app, 0, 5)
    await old.app.stop()
    projection = at_once()
    projection.version = 2
    new = Duly(modules=[shop(projection)], store=old.app.store_url, settings=quick_settings(), worker=False)
    with pytest.raises(StoreError, match="Rebuild it first"):
        await new.start()
    await new.rebuild("order_list")
    async with new:
        assert len(await rows_of(new)) == 5


async def test_a_view_of_its_table_reads_on_or_refuses_the_rebuild(start: Start) -> None:
    running = await start(shop(order_list()))
    await trade(running.app, 0, 5)
    await running.quiet()
    await run_sql(running, "CREATE VIEW totals AS SELECT sum(total) AS total FROM order_line")
    if running.app.store_url.startswith("postgresql"):
        with pytest.raises(RebuildRefused, match="view totals"):
            await running.app.rebuild("order_list")
        await run_sql(running, "DROP VIEW totals")
        await running.app.rebuild("order_list")
        return
    await running.app.rebuild("order_list")
    await trade(running.app, 5, 6)
    await running.quiet()
    (row,) = await running.app._store.select("SELECT total FROM totals", {})
    assert row["total"] == sum(2 * number for number in range(6))


async def test_a_foreign_key_of_others_refuses_the_rebuild(start: Start) -> None:
    running = await start(shop(order_list()))
    await run_sql(
        running,
        "CREATE TABLE note (tenant TEXT, id TEXT, FOREIGN KEY (tenant, id) REFERENCES order_line (tenant, id))",
    )
    with pytest.raises(RebuildRefused, match="foreign key of table note"):
        await running.app.rebuild("order_list")
    assert await generations_of(running.app) == [(1, "current")]


async def test_a_table_of_somebody_else_is_not_taken(start: Start) -> None:
    running = await start(shop(order_list()))
    await run_sql(running, "CREATE TABLE order_count (precious TEXT)")
    with pytest.raises(RebuildRefused, match="order_count"):
        await rebuild_with(running, wider())
    await run_sql(running, "INSERT INTO order_count VALUES ('here')")


async def test_an_index_without_a_placeholder_is_refused_with_the_cure(start: Start) -> None:
    named = Projection(
        "order_list",
        tables={
            "order_line": (*order_list().tables["order_line"][:1], "CREATE INDEX by_total ON {order_line} (total)")
        },
    )
    named.on(placed_row)
    named.on(changed_row)
    running = await start(shop(named))
    with pytest.raises(RebuildRefused, match="placeholder"):
        await running.app.rebuild("order_list")


async def test_a_reader_that_stays_holds_the_exchange_up_and_nobody_else(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start(shop(order_list()))
    if not running.app.store_url.startswith("postgresql"):
        pytest.skip("on SQLite readers are in nobody's way")
    monkeypatch.setattr(rebuild_module, "ATTEMPTS_MAX", 3)
    await trade(running.app, 0, 5)
    await running.quiet()
    async with running.app._store.begin() as reader:
        await reader.fetch("SELECT * FROM order_line", {})
        with pytest.raises(StoreBusy, match="did not make room"):
            await running.app.rebuild("order_list")
        assert len(await rows_of(running.app)) == 5
    rebuilt = await running.app.rebuild("order_list")
    assert rebuilt.resumed_at == 10


async def test_a_projection_that_there_is_not_is_told(start: Start) -> None:
    running = await start(shop(order_list()))
    with pytest.raises(InvalidInput, match="Projections are: order_list"):
        await running.app.rebuild("order_lists")


async def run_sql(running: Running, statement: str) -> None:
    async with running.app._store.begin() as transaction:
        await transaction.execute(statement, {})
        await transaction.commit()
