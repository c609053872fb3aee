"""Projections: decorators give handlers back, documents are frozen and typed, parameters know their types."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

from duly import (
    DomainEvent,
    Duly,
    Index,
    Logged,
    Module,
    Origin,
    Projection,
    ProjectionState,
    Query,
    ReadModel,
    ReadModels,
    Tables,
)


class Placed(DomainEvent):
    order_id: str
    total: int


class Line(ReadModel):
    total: int
    customer_id: Index[str] = ""


class ReadLine(Query[int]):
    line_id: str


LINE = "CREATE TABLE {line} (id TEXT)"
lines = Projection("lines", tables={"line": LINE, "other": ("CREATE TABLE {other} (id TEXT)",)})
at_once = Projection("at_once", in_transaction=True, every_tenant=True, version=2)
lines.tables = {"line": LINE}  # type: ignore[dict-item]


@lines.on
async def placed(event: Placed, tables: Tables, documents: ReadModels[Line], at: Logged, origin: Origin) -> None:
    assert_type(await tables.execute("DELETE FROM {line} WHERE tenant = :tenant", id=event.order_id), None)
    assert_type(await tables.fetch_value("SELECT 1 FROM {line} WHERE tenant = :tenant"), object)
    await tables.execute("DELETE FROM {line} WHERE tenant = :tenant", ids=["1"])  # type: ignore[arg-type]
    line = await documents.get(event.order_id)
    assert_type(line, Line)
    assert_type(line.customer_id, str)
    assert_type(await documents.find("1"), Line | None)
    assert_type(await documents.by(customer_id="c-1"), list[Line])
    assert_type(await documents.page(after="1", rows_max=10), list[Line])
    assert_type(line.changed(total=2), Line)
    documents.put(Line(id="1", total=2))
    documents.put(event)  # type: ignore[arg-type]
    documents.put(Line(id="1"))  # type: ignore[call-arg]
    line.total = 3  # type: ignore[misc]
    documents.remove("1")
    documents.remove(1)  # type: ignore[arg-type]
    assert_type(at.at, datetime)
    assert_type(at.position, int)
    assert_type(origin.cause, str | None)
    print(origin.position)  # type: ignore[attr-defined]


@at_once.on
def placed_at_once(event: Placed, documents: ReadModels[Line]) -> None:
    documents.put(Line(id=event.order_id, total=event.total))


class Handlers:
    def placed(self, event: Placed) -> None: ...


assert_type(at_once.handlers(Handlers()), Handlers)
hall = Module("hall", projections=[lines, at_once])
Module("hall", projections=[Handlers()])  # type: ignore[list-item]


@hall.query
async def read_line(query: ReadLine, documents: ReadModels[Line]) -> int:
    return (await documents.get(query.line_id)).total


async def how_far(app: Duly, event: Placed, documents: ReadModels[Line]) -> None:
    for view in await app.projections():
        assert_type(view.state, ProjectionState)
        assert_type(view.lag, int)
    assert_type(placed_at_once(event, documents), None)
