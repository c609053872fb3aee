"""Each cell of the table in docs/guarantees.md: an anomaly is tried in one way of reading, and happens or does not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from duly import Duly, RuleBroken, UniqueViolation
from tests.isolation.boxes import (
    BY,
    GET,
    PEEK,
    QUERY,
    RAW,
    SQL,
    AddOne,
    AskTogether,
    AskTwice,
    Clear,
    LookTwice,
    Numbers,
    Pause,
    Put,
    PutIfAlone,
    Raise,
    begun,
)

PAGE = Path(__file__).parents[2] / "docs/guarantees.md"
STORES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


class Trial:
    """One anomaly, tried in one way on one store."""

    def __init__(self, app: Duly, pause: Pause, way: str, store: str) -> None:
        self._app = app
        self._way = way
        self._pause = pause
        self._must_wait = way == SQL and store == "sqlite"

    async def _between(self, slow: Awaitable[object], stranger: Awaitable[object]) -> list[object]:
        """How both ended; what they raised is among it."""
        ended = await self._pause.between(slow, stranger, must_wait=self._must_wait)
        return [one.exception() or one.result() for one in ended]

    async def _put(self, *ids: str) -> None:
        for box_id in ids:
            await self._app.execute(Put(id=box_id))

    def _looking(self, first: str, second: str) -> Awaitable[list[int]]:
        if self._way == QUERY:
            return self._app.ask(AskTwice(first=first, second=second))
        return self._app.execute(LookTwice(way=self._way, first=first, second=second))

    async def _looked(self, first: str, second: str, stranger: Awaitable[object]) -> list[int]:
        seen, done = await self._between(self._looking(first, second), stranger)
        assert isinstance(seen, list), seen
        assert done is None, done
        return seen

    async def _numbers(self) -> dict[str, int]:
        return await self._app.ask(Numbers(way=self._way))

    async def dirty_read(self) -> bool:
        """Somebody has written, and not committed; he will not."""
        await self._put("a")
        ended, seen = await self._between(self._app.execute(Raise(ids=["a"], refused=True)), self._looking("a", "a"))
        assert isinstance(ended, RuleBroken), ended
        assert isinstance(seen, list), seen
        return any(seen)

    async def non_repeatable_read(self) -> bool:
        """Somebody changes what is read again."""
        await self._put("a")
        first, second = await self._looked("a", "a", self._app.execute(Raise(ids=["a"])))
        return first != second

    async def read_skew(self) -> bool:
        """Somebody changes two together, of which one was read before."""
        await self._put("a", "b")
        first, second = await self._looked("a", "b", self._app.execute(Raise(ids=["a", "b"])))
        return first != second

    async def lost_update(self) -> bool:
        """Two add one each."""
        await self._put("a")
        ends = await self._between(
            self._app.execute(AddOne(way=self._way, id="a")), self._app.execute(AddOne(way=self._way, id="a"))
        )
        assert ends == [None, None], ends
        return (await self._numbers())["a"] != 2

    async def write_skew(self) -> bool:
        """Each clears itself if the other one is not cleared."""
        await self._put("a", "b")
        await self._app.execute(Raise(ids=["a", "b"]))
        await self._one_at_least(
            self._app.execute(Clear(way=self._way, id="a", other="b")),
            self._app.execute(Clear(way=self._way, id="b", other="a")),
        )
        return not any((await self._numbers()).values())

    async def phantom(self) -> bool:
        """Each comes if the other one is not there."""
        await self._one_at_least(
            self._app.execute(PutIfAlone(way=self._way, id="a", other="b")),
            self._app.execute(PutIfAlone(way=self._way, id="b", other="a")),
        )
        return len(await self._numbers()) == 2

    async def _one_at_least(self, slow: Awaitable[object], stranger: Awaitable[object]) -> None:
        ends = await self._between(slow, stranger)
        assert all(end is None or isinstance(end, RuleBroken) for end in ends), ends
        assert None in ends


TRIALS: dict[str, Callable[[Trial], Awaitable[bool]]] = {
    "dirty read": Trial.dirty_read,
    "lost update": Trial.lost_update,
    "non-repeatable read": Trial.non_repeatable_read,
    "read skew, half a change": Trial.read_skew,
    "write skew": Trial.write_skew,
    "phantom": Trial.phantom,
}
WRITING = {"lost update", "write skew", "phantom"}
WAYS = [
    *((way, store) for way in (GET, PEEK, BY, QUERY) for store in STORES),
    (SQL, "postgres"),
    (RAW, "postgres"),
    (SQL, "sqlite"),
]
CELLS = [(trial, way, store) for trial in TRIALS for way, store in WAYS if way != QUERY or trial not in WRITING]


def table() -> dict[tuple[str, str], str]:
    """What the page says, by anomaly and column."""
    text = PAGE.read_text()
    lines = re.findall(r"^\| .*\|$", text[text.index("## Which anomaly can happen") :].split("\n## ")[0], re.MULTILINE)
    heads, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]
    return {(row[0], head): cell for row in rows for head, cell in zip(heads[1:], row[1:], strict=True)}


def column(way: str, store: str) -> str:
    """Where the page says so."""
    return {
        GET: "`get`, `find`",
        PEEK: "`peek`",
        BY: "`by`, `one_by`",
        QUERY: "a query",
        SQL: f"`Sql` on {STORES[store]}",
        RAW: f"`Sql` on {STORES[store]}",
    }[way]


@pytest.mark.parametrize(
    ("trial", "way", "store_url"),
    CELLS,
    ids=[f"{trial}-{way}-{store}" for trial, way, store in CELLS],
    indirect=["store_url"],
)
async def test_an_anomaly_happens_or_does_not_as_the_table_says(trial: str, way: str, store_url: str) -> None:
    store = "postgres" if store_url.startswith("postgres") else "sqlite"
    pause = Pause()
    async with await begun(store_url, pause) as app:
        happens = await TRIALS[trial](Trial(app, pause, way, store))
    said = table()[trial, column(way, store)]
    assert re.match(r"yes\b" if happens else r"no\b", said), f"it {'happens' if happens else 'does not'}: {said}"


def test_every_cell_of_the_table_is_tried_or_has_nothing_to_try() -> None:
    tried = {(trial, column(way, store)) for trial, way, store in CELLS}
    untried = {cell: said for cell, said in table().items() if cell not in tried}
    assert set(untried.values()) <= {"–"}, untried


async def test_of_two_that_claim_a_unique_value_at_once_one_is_refused(store_url: str) -> None:
    async with await begun(store_url, Pause()) as app:
        ends = await asyncio.gather(
            *(app.execute(Put(id=box_id, label="fragile")) for box_id in ("a", "b")), return_exceptions=True
        )
        assert [type(end) for end in ends if end is not None] == [UniqueViolation]
        assert len(await app.ask(Numbers(way=GET))) == 1


async def test_one_statement_of_a_query_sees_one_moment(store_url: str) -> None:
    async with await begun(store_url, Pause()) as app:
        for box_id in ("a", "b"):
            await app.execute(Put(id=box_id))

        async def raise_both() -> None:
            for _ in range(20):
                await app.execute(Raise(ids=["a", "b"]))

        raising = asyncio.create_task(raise_both())
        looks = 0
        while not raising.done():
            first, second = await app.ask(AskTogether())
            assert first == second
            looks += 1
        await raising
        assert looks
