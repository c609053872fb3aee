"""R30: read models are rebuilt, the rebuilding process is killed midway, and traffic and readers go on."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from random import Random
from typing import Final

from duly import Duly
from duly.ports.store import Store
from duly.runtime.store_url import store_from_url
from duly.testing.history import History
from duly.testing.process import ProcessUnderTest
from tests.reliability.provider import Provider, providing
from tests.reliability.rebuilding import MODULUS, PROJECTIONS, TENANTS, Options, ReadNotes, application
from tests.reliability.scenario import Run, Scenario, Told

MODULE: Final = "tests.reliability.rebuilding"
BETWEEN_BATCHES: Final = "rebuild.after_batch"
POINTS: Final = (
    BETWEEN_BATCHES,
    "rebuild.after_swap",
    "rebuild.before_swap",
    "projection.before_commit",
    "rebuild.after_drop",
    "projection.after_commit",
)
AT_ONCE: Final = 4
SECONDS_MAX: Final = 60.0
PAUSE_SECONDS: Final = 0.005
"""Between orders and between reads: whoever rebuilds shares the machine with them."""
Fold = dict[tuple[str, str], tuple[int, int, int]]
"""Tenant and order to total, changes and trail."""


class Traffic:
    """Orders that are placed and changed in a process of its own, without end."""

    def __init__(self, process: ProcessUnderTest, lots: Random) -> None:
        self._process = process
        self._lots = lots
        self._numbers = itertools.count()
        self._orders: list[tuple[str, str]] = []
        self.asked: set[str] = set()
        self.stopping = False

    async def trade(self) -> None:
        """One order, and two changes of any."""
        number = next(self._numbers)
        tenant = self._lots.choice(TENANTS)
        await self._ask("place", tenant, f"o-{number}")
        self._orders.append((tenant, f"o-{number}"))
        for _ in range(2):
            await self._ask("change", *self._lots.choice(self._orders))

    async def go_on(self) -> None:
        """Until it is told to stop."""
        while not self.stopping:
            await self.trade()
            await asyncio.sleep(PAUSE_SECONDS)

    async def quiet(self) -> None:
        """Wait until everything is done."""
        await self._process.ask("quiet", what="quiet")
        if not await self._process.acknowledged({"quiet", *self.asked}, seconds_max=SECONDS_MAX):
            raise RuntimeError("the application that was not killed did not come to rest")

    async def _ask(self, what: str, tenant: str, order: str) -> None:
        request = f"{what}-{len(self.asked)}"
        self.asked.add(request)
        await self._process.ask(request, what=what, tenant=tenant, order=order, total=str(self._lots.randint(1, 999)))
        if not await self._process.acknowledged({request}, seconds_max=SECONDS_MAX):
            raise RuntimeError(f"{request} was never acknowledged")


class Readers:
    """Look at every read model again and again: nothing may fail, and what was seen once stays seen."""

    def __init__(self, app: Duly, store: Store) -> None:
        self._app = app
        self._store = store
        self.reads = 0
        self.stopping = False
        self.violations: list[str] = []

    async def go_on(self, projection: str) -> None:
        """Until it is told to stop."""
        seen: dict[tuple[str, str], int] = {}
        while not self.stopping:
            try:
                rows = await read_model(self._app, self._store, projection)
            except Exception as error:
                self.violations.append(f"a reader of {projection} met {type(error).__name__}: {error}")
                return
            self.reads += 1
            back = [key for key, changes in seen.items() if rows.get(key, (0, -1, 0))[1] < changes]
            if back:
                self.violations.append(f"a reader of {projection} saw time go backwards at {back[0]}")
                return
            seen = {key: changes for key, (_, changes, _) in rows.items()}
            await asyncio.sleep(PAUSE_SECONDS)


async def read_model(app: Duly, store: Store, projection: str) -> Fold:
    """What a reader sees of a projection."""
    if projection != "notes":
        rows = await store.select(f"SELECT tenant, id, total, changes, trail FROM {projection}", {})
        return {
            (str(row["tenant"]), str(row["id"])): (
                int(str(row["total"])),
                int(str(row["changes"])),
                int(str(row["trail"])),
            )
            for row in rows
        }
    found: Fold = {}
    for tenant in TENANTS:
        after = ""
        while page := await app.ask(ReadNotes(after=after), tenant=tenant):
            found |= {(tenant, note): (total, changes, trail) for note, total, changes, trail in page}
            after = page[-1][0]
    return found


async def fold_of_the_log(store: Store, url: str) -> Fold:
    """What the events say, read and folded apart from every projection."""
    schema = "duly." if url.startswith("postgres") else "duly_"
    rows = await store.select(
        f"SELECT m.tenant, m.name, m.body FROM {schema}message AS m "
        # Ids of commits follow the order of each stream.
        "WHERE m.kind = 'event' ORDER BY m.commit_id, m.ordinal",
        {},
    )
    folded: Fold = {}
    for row in rows:
        body = json.loads(str(row["body"]))
        key, total = (str(row["tenant"]), body["order_id"]), body["total"]
        if row["name"] == "OrderPlaced":
            folded[key] = (total, 0, total)
        else:
            _, changes, trail = folded[key]
            folded[key] = (total, changes + 1, (trail * 31 + total) % MODULUS)
    return folded


async def rebuilds(run: Run) -> Told:
    """So many rebuilds of each read model, each killed once or more before it comes to its end."""
    history = run.history()
    url = run.new_database()
    lots = run.random()
    of_rebuilds = run.history("rebuilds")
    async with providing(history) as provider, providing(of_rebuilds) as forbidden:
        if url.startswith("postgres"):
            await application(url, provider.url, worker=False).migrate()
        options = Options(store=url, provider=provider.url, bug=run.bug)
        served = await ProcessUnderTest.start(MODULE, [options.text()], history)
        try:
            told = await _while_it_serves(run, url, lots, history, served, provider, forbidden.url)
            sent = len(list(of_rebuilds.of("called")))
            return Told(
                faults=told.faults,
                figures={**told.figures, "sent by rebuilds": str(sent)},
                violations=(*told.violations, *([f"rebuilds have sent {sent}"] if sent else [])),
            )
        finally:
            await served.kill()


async def _while_it_serves(
    run: Run,
    url: str,
    lots: Random,
    history: History,
    served: ProcessUnderTest,
    provider: Provider,
    forbidden: str,
) -> Told:
    traffic = Traffic(served, lots)
    await asyncio.gather(*(_some(traffic, run.counts["orders"] // AT_ONCE) for _ in range(AT_ONCE)))
    store = store_from_url(url)
    async with application(store, forbidden, worker=False) as app:
        readers = Readers(app, store)
        kills: list[str] = []
        rebuilt = 0
        async with asyncio.TaskGroup() as group:
            group.create_task(traffic.go_on())
            for projection in PROJECTIONS:
                group.create_task(readers.go_on(projection))
            points = _points(lots, run.counts["rebuilds"])
            try:
                for projection, point in zip(itertools.cycle(PROJECTIONS), points, strict=False):
                    options = Options(store=url, provider=forbidden, rebuild=projection, bug=run.bug)
                    killed, is_done = await _rebuild(options, point, lots, history)
                    kills += killed
                    rebuilt += is_done
            finally:
                traffic.stopping = readers.stopping = True
        await traffic.quiet()
        found = [*readers.violations]
        expected = await fold_of_the_log(store, url)
        differing = 0
        for projection in PROJECTIONS:
            seen = await read_model(app, store, projection)
            wrong = [key for key in expected.keys() | seen.keys() if seen.get(key) != expected.get(key)]
            differing += len(wrong)
            if wrong:
                key = min(wrong)
                found.append(
                    f"{projection} differs from the log at {len(wrong)} orders, such as {key}: {seen.get(key)} instead "
                    f"of {expected.get(key)}"
                )
        leftovers = [view for view in await app.projections() if view.state.value in ("building", "old")]
        if leftovers:
            found.append(f"generations are left over: {leftovers}")
    twice = [order for _, order in expected if provider.calls(order) != 1]
    if twice:
        found.append(f"{len(twice)} orders were not billed by one call, such as {twice[0]}")
    if rebuilt != run.counts["rebuilds"]:
        found.append(f"{rebuilt} rebuilds came to their end")
    return Told(
        faults=len(kills),
        figures={
            "rebuilds": str(rebuilt),
            "kills": str(len(kills)),
            "points": str(len(set(kills))),
            "events at the end": f"{sum(changes + 1 for _, changes, _ in expected.values()):,}",
            "orders that differ from the fold": str(differing),
            "reads": f"{readers.reads:,}",
            "reader errors": str(len(readers.violations)),
            "bills of the application": str(len(list(history.of("called")))),
        },
        violations=tuple(found),
    )


async def _some(traffic: Traffic, orders: int) -> None:
    for _ in range(orders):
        await traffic.trade()


def _points(lots: Random, rebuilds: int) -> Iterator[str]:
    """Every failpoint in turn, and between them none: then the kill comes at any time.

    The last rebuild of each read model, which nothing replaces any more, is killed between two batches.
    """
    last = min(len(PROJECTIONS), rebuilds)
    yield from itertools.islice(_in_turn(lots), rebuilds - last)
    yield from itertools.repeat(BETWEEN_BATCHES, last)


def _in_turn(lots: Random) -> Iterator[str]:
    for point in itertools.cycle(POINTS):
        yield point
        if lots.random() < 0.3:
            yield ""


async def _rebuild(options: Options, point: str, lots: Random, history: History) -> tuple[list[str], bool]:
    """One rebuild: a process that is killed, then one that is not; where it was killed, and whether it ended well."""
    hit_number = lots.randint(1, 3) if point == "projection.before_commit" else 1
    doomed = await ProcessUnderTest.start(
        MODULE, [_with(options, kill_at=point, hit_number=hit_number).text()], history
    )
    status = await doomed.ended(seconds_max=SECONDS_MAX if point else lots.uniform(0, 0.3))
    if status is None:
        await doomed.kill()
        status = await doomed.ended(seconds_max=SECONDS_MAX)
    killed = [point or "any time"] if status == -9 else []
    last = await ProcessUnderTest.start(MODULE, [options.text()], history)
    return killed, await last.ended(seconds_max=SECONDS_MAX) == 0


def _with(options: Options, *, kill_at: str, hit_number: int) -> Options:
    return Options(
        store=options.store,
        provider=options.provider,
        rebuild=options.rebuild,
        kill_at=kill_at,
        hit_number=hit_number,
        bug=options.bug,
    )


def _scenario(*bugs: str, stores: tuple[str, ...]) -> Scenario:
    return Scenario(
        id="R30",
        title="rebuilds, killed midway, with live traffic and readers",
        scene=rebuilds,
        tier_1={"orders": 60, "rebuilds": 2},
        tier_2={"orders": 800, "rebuilds": 30},
        bugs=bugs,
        revert={"orders": 200, "rebuilds": 6},
        stores=stores,
    )


R30: Final = (
    _scenario(
        "shadows_take_their_place_too_early",
        "checkpoints_move_in_another_transaction",
        "replaced_checkpoints_still_move",
        stores=("sqlite",),
    ),
    _scenario(
        "shadows_take_their_place_too_early",
        "checkpoints_move_in_another_transaction",
        "replaced_checkpoints_still_move",
        "writers_are_not_locked_out",
        stores=("postgres",),
    ),
)
