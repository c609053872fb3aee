"""What the start says about projections that cannot work, each with its cure."""

from __future__ import annotations

import pytest

from duly import (
    Aggregate,
    Commands,
    ConfigurationError,
    Context,
    DomainEvent,
    Duly,
    Effects,
    Index,
    Logged,
    Module,
    Projection,
    PublicEvent,
    Query,
    Reader,
    ReadModel,
    ReadModels,
    Repository,
    Sms,
    Sql,
    Tables,
    Templates,
)

TABLE = "CREATE TABLE {lines} (tenant TEXT NOT NULL, id TEXT NOT NULL)"


class Placed(DomainEvent):
    order_id: str


class PlacedPublic(PublicEvent):
    order_id: str


class Order(Aggregate):
    pass


class Line(ReadModel):
    total: Index[int] = 0


class OtherLine(ReadModel, name="Line"):
    pass


class Holder:
    pass


class Unstorable(ReadModel):
    holder: Holder


class ReadLine(Query[None]):
    pass


async def effects(event: Placed, effects: Effects) -> None: ...
async def commands(event: Placed, commands: Commands) -> None: ...
async def repository(event: Placed, orders: Repository[Order]) -> None: ...
async def sql(event: Placed, sql: Sql) -> None: ...
async def reader(event: Placed, reader: Reader) -> None: ...
async def templates(event: Placed, templates: Templates) -> None: ...
async def context(event: Placed, context: Context) -> None: ...
async def number(event: Placed, number: int) -> None: ...
async def unannotated(event: Placed, tables) -> None: ...  # type: ignore[no-untyped-def]
async def nothing(tables: Tables) -> None: ...
async def public(event: PlacedPublic) -> None: ...
async def gathers(event: Placed, *lines: Tables) -> None: ...
async def tables(event: Placed, tables: Tables) -> None: ...
async def logged(event: Placed, at: Logged) -> None: ...
async def lines(event: Placed, lines: ReadModels[Line]) -> None: ...
async def other_lines(event: Placed, lines: ReadModels[OtherLine]) -> None: ...
async def unstorable(event: Placed, lines: ReadModels[Unstorable]) -> None: ...


def mistakes_of(*modules: Module) -> str:
    """What the start says."""
    with pytest.raises(ConfigurationError) as refused:
        Duly(modules=modules, store="memory:")
    return "\n".join(refused.value.mistakes)


def of(*handlers: object, name: str = "list", **options: object) -> Projection:
    """A projection with these handlers."""
    projection = Projection(name, **options)  # type: ignore[arg-type]
    for handler in handlers:
        projection.on(handler)  # type: ignore[type-var]
    return projection


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (effects, "asks for Effects. A projection is run again from the first event on when it is rebuilt"),
        (effects, "a replay has no way to send. Ask for it in a handler with @shop.after_commit."),
        (commands, "asks for Commands. A projection is run again from the first event on"),
        (repository, "would meet what is there today: the outcome would not be the same. Take what you need from the"),
        (sql, "asks for Sql. Statements of a projection name its tables by placeholders"),
        (reader, "asks for Reader. A projection reads its own tables"),
        (templates, "asks for Templates. A rebuild runs it for events of years ago"),
        (context, "asks for Context. Take Origin, which is the same when it is rebuilt"),
        (number, "asks for int, which a projection cannot have. It may take a domain event, Tables, ReadModels[…]"),
        (unannotated, "parameter 'tables' has no annotation. It may take a domain event"),
        (nothing, "exactly one parameter must be a domain event; found none"),
        (public, "hears PlacedPublic, which is no domain event. A projection is made from the log"),
        (gathers, "parameter 'lines' must be a plain named one"),
        (tables, "asks for Tables, but the projection has none. Declare them: Projection(…, tables={…})."),
        (unstorable, "Unstorable.holder has the type Holder, which JSON cannot hold"),
    ],
)
def test_a_parameter_that_a_projection_cannot_have_is_refused_with_the_reason(handler: object, said: str) -> None:
    assert said in mistakes_of(Module("shop", projections=[of(handler)]))


def test_an_in_transaction_projection_has_no_position_yet() -> None:
    said = mistakes_of(Module("shop", projections=[of(logged, in_transaction=True)]))
    assert "asks for Logged, but an in-transaction projection runs before its event has a position and a time" in said


def test_a_method_of_a_class_of_handlers_hears_an_event_or_begins_with_an_underscore() -> None:
    class Handlers:
        def _kept_apart(self, anything: object) -> None: ...

        def placed(self, event: Placed) -> None: ...

        def forgotten(self, line: str) -> None: ...

    projection = Projection("list")
    projection.handlers(Handlers())
    said = mistakes_of(Module("shop", projections=[projection]))
    assert "Projection 'list', handler forgotten: parameter 'line' asks for str" in said
    assert "kept_apart" not in said


def test_a_projection_that_hears_nothing_is_refused() -> None:
    assert "Projection 'list' hears nothing." in mistakes_of(Module("shop", projections=[of()]))


def test_names_are_unique_and_short() -> None:
    said = mistakes_of(
        Module("shop", projections=[of(lines), of(lines, name="Order List"), of(lines, name="x" * 41)]),
        Module("billing", projections=[of(lines)]),
    )
    assert "Two projections are called 'list', in the modules 'shop' and 'billing'" in said
    assert "'Order List' cannot name a projection. Use up to 40 small letters" in said
    assert f"{'x' * 41!r} cannot name a projection" in said


def test_tables_are_named_by_their_placeholders_and_belong_to_one_projection() -> None:
    said = mistakes_of(
        Module(
            "shop",
            projections=[
                of(tables, tables={"lines": TABLE}),
                of(tables, name="second", tables={"lines": TABLE}),
                of(tables, name="third", tables={"plain": "CREATE TABLE plain (id TEXT)"}),
                of(tables, name="fourth", tables={"fine": "CREATE TABLE {fine} AS SELECT * FROM {lines}"}),
            ],
        )
    )
    assert "The projections 'list' and 'second' both have a table 'lines'" in said
    assert "Projection 'third': the statements of its table 'plain' do not name it. Write CREATE TABLE {plain}" in said
    assert "Projection 'fourth': a statement of its table 'fine' names {lines}, which is none of its tables" in said


def test_a_read_model_is_written_by_one_projection() -> None:
    said = mistakes_of(Module("shop", projections=[of(lines), of(lines, name="second"), of(other_lines, name="third")]))
    assert "Projection 'second', handler lines writes Line, as projection 'list' does" in said
    assert "Two read models have the stored name 'Line'" in said


def test_a_read_model_that_is_read_is_written_somewhere() -> None:
    module = Module("shop")

    @module.query
    async def read(query: ReadLine, lines: ReadModels[Line]) -> None: ...

    said = mistakes_of(module)
    assert "Handler shop.read reads Line, which no projection writes. Give the one that does to its module" in said


def test_events_of_another_module_are_heard_when_it_offers_them() -> None:
    ordering = Module("ordering")

    @ordering.in_transaction
    async def hear(event: Placed) -> None: ...

    reports = Module("reports", projections=[of(logged)])
    assert "Placed is heard by the modules ordering, reports, but none offers it" in mistakes_of(ordering, reports)
    ordering.messages = (Placed,)
    Duly(modules=[ordering, reports], store="memory:")


def test_what_a_gateway_would_send_is_out_of_reach_even_where_it_is_an_effect() -> None:
    async def sends(event: Placed, sms: Sms) -> None: ...

    assert "hears Sms, which is no domain event" in mistakes_of(Module("shop", projections=[of(sends)]))
