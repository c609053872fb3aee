"""What bad input gets: an error of ours that says what to do, at the door, and nothing half written."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from duly import (
    Aggregate,
    Command,
    DomainEvent,
    Duly,
    InvalidMessage,
    InvalidTenant,
    Module,
    Repository,
    Value,
    parse_message,
)
from duly.errors import (
    ConfigurationError,
    DulyError,
    InvalidCommandId,
    PayloadTooLarge,
    SchemaOutdated,
    SchemaTooNew,
    StoreError,
    StoreReadOnly,
    StoreUnavailable,
    UnknownCommand,
    UserSqlError,
)
from duly.work.sql import Sql
from tests.scenarios.running import Start


class Node(Value):
    inner: Node | None = None


class Write(Command):
    text: str = ""
    amount: Decimal = Decimal(1)
    ratio: float = 1.0
    tree: Node | None = None


class Written(DomainEvent):
    text: str


class Page(Aggregate):
    text: str


class Unheard(Command):
    text: str


class Break(Command):
    statement: str


desk = Module("desk")


@desk.command
async def write(command: Write, pages: Repository[Page]) -> None:
    page = Page(id=command.text[:20] or "page", text=command.text)
    page.record(Written(text=command.text))
    pages.add(page)


@desk.command
async def break_something(command: Break, sql: Sql) -> None:
    # A handler that looks away does not save the transaction.
    with suppress(UserSqlError):
        await sql.execute(command.statement)


def nested(depth: int) -> Node:
    node = Node()
    for _ in range(depth):
        node = Node(inner=node)
    return node


@pytest.mark.parametrize("tenant", [None, "", "a b", "a/b", "é", "x" * 101])
async def test_a_missing_or_malformed_tenant_is_refused(start: Start, tenant: str | None) -> None:
    app = (await start(desk)).app
    with pytest.raises(InvalidTenant, match="tenant"):
        await app.execute(Write(), tenant=tenant)


@pytest.mark.parametrize("command_id", ["", "x" * 201, "line\nbreak", "\0"])
async def test_a_malformed_command_id_is_refused(start: Start, command_id: str) -> None:
    app = (await start(desk)).app
    with pytest.raises(InvalidCommandId, match="command id"):
        await app.execute(Write(), tenant="acme", command_id=command_id)


@pytest.mark.parametrize(
    ("command", "error", "text"),
    [
        (Write(text="a\0b"), InvalidMessage, "NUL"),
        (Write(text="\ud800"), InvalidMessage, "lone surrogate"),
        (Write(amount=Decimal("NaN")), InvalidMessage, r"not finite at \$\.amount"),
        (Write(ratio=float("inf")), InvalidMessage, r"not finite at \$\.ratio"),
        (Write(tree=nested(40)), InvalidMessage, "nested deeper than 32"),
        (Write(text="x" * 262_145), PayloadTooLarge, "the limit is 262,144"),
        (Write(text=5), InvalidMessage, r"Expected `str`, got `int` - at `\$\.text`"),  # type: ignore[arg-type]
        (Write(text=object()), InvalidMessage, "cannot be stored as JSON"),  # type: ignore[arg-type]
        (Unheard(text="x"), UnknownCommand, "No module handles Unheard"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_a_command_that_cannot_be_kept_is_refused_and_nothing_is_written(
    start: Start, command: Command, error: type[DulyError], text: str
) -> None:
    running = await start(desk)
    with pytest.raises(error, match=text):
        await running.app.execute(command, tenant="acme", command_id="one")
    await running.app.execute(Write(text="fine"), tenant="acme", command_id="one")


def test_outside_data_is_checked_field_by_field() -> None:
    assert parse_message(Write, '{"text": "a", "amount": "2.50"}') == Write(text="a", amount=Decimal("2.50"))
    assert parse_message(Write, {"ratio": 2}) == Write(ratio=2.0)
    for data, text in [
        ("{}", "missing required field `text`"),
        ('{"text": 5}', r"at `\$\.text`"),
        ('{"text": "a", "txt": "b"}', "unknown field `txt`"),
        ("{", "malformed"),
        ('{"text": "a\\u0000"}', "NUL"),
        ('{"text": "' + "x" * 262_144 + '"}', "the limit is"),
        ({"text": None}, r"at `\$\.text`"),
        ("\ud800", "surrogate"),
    ]:
        with pytest.raises(InvalidMessage, match=text):
            parse_message(Unheard, data)  # type: ignore[arg-type]


async def test_a_statement_that_fails_ends_the_transaction_whoever_looks_away(start: Start) -> None:
    app = (await start(desk)).app
    with pytest.raises(UserSqlError, match="no_such_table"):
        await app.execute(Break(statement="INSERT INTO no_such_table VALUES (1)"), tenant="acme")


async def test_a_statement_with_a_missing_parameter_is_refused_by_its_name(start: Start) -> None:
    app = (await start(desk)).app
    with pytest.raises(UserSqlError, match=":where"):
        await app.execute(Break(statement="DELETE FROM visit WHERE page = :where"), tenant="acme")


@pytest.mark.parametrize(
    "url",
    [
        "shop.db",
        "mysql://x/y",
        "sqlite://shop.db",
        "sqlite://",
        "sqlite:///folder/",
        "postgresql://host",
        "",
        "sqlite:///a?b=c",
    ],
)
def test_a_store_url_that_makes_no_sense_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///path"):
        Duly(modules=[desk], store=url)


def test_a_password_in_a_store_url_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Duly(modules=[desk], store="mysql://ann:sesame@host/db")
    assert "sesame" not in str(caught.value)


async def test_a_database_that_is_newer_than_the_code_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    async with Duly(modules=[desk], store=f"sqlite:///{path}"):
        pass
    set_version(path, 99)
    with pytest.raises(SchemaTooNew, match="Deploy the newer duly"):
        async with Duly(modules=[desk], store=f"sqlite:///{path}"):
            raise AssertionError("not reached")


async def test_a_database_that_is_not_migrated_says_what_to_run(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    async with Duly(modules=[desk], store=f"sqlite:///{path}"):
        pass
    set_version(path, 0)
    with pytest.raises(SchemaOutdated, match="duly migrate sqlite:///"):
        async with Duly(modules=[desk], store=f"sqlite:///{path}"):
            raise AssertionError("not reached")


async def test_a_modules_new_table_asks_for_a_migration_that_names_the_application(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    async with Duly(modules=[desk], store=url):
        pass
    wider = Module("desk", tables=("CREATE TABLE visit (page TEXT)",))
    with pytest.raises(
        SchemaOutdated, match=r"CREATE TABLE visit \(page TEXT\)\. Run: duly migrate module:application"
    ):
        async with Duly(modules=[wider], store=url):
            raise AssertionError("not reached")
    app = Duly(modules=[wider], store=url)
    assert await app.migrate() == ["CREATE TABLE visit (page TEXT)"]
    async with app:
        await app.until_quiet()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    path.write_text("this is no database, but a text of more than a hundred bytes " * 5)
    with pytest.raises(StoreUnavailable, match="no SQLite database"):
        async with Duly(modules=[desk], store=f"sqlite:///{path}"):
            raise AssertionError("not reached")


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="folder exists"):
        async with Duly(modules=[desk], store=f"sqlite:///{tmp_path}/missing/shop.db"):
            raise AssertionError("not reached")


async def test_a_full_database_refuses_the_command_and_stores_nothing(tmp_path: Path) -> None:
    app = Duly(modules=[desk], store=f"sqlite:///{tmp_path / 'shop.db'}")
    async with app:
        await limit_pages(app)
        large = Write(text="x" * 200_000)
        with pytest.raises(StoreError, match="full"):
            await app.execute(large, tenant="acme", command_id="one")
        await limit_pages(app, pages=1_000_000)
        await app.execute(large, tenant="acme", command_id="one")


async def test_a_database_that_became_read_only_says_so(tmp_path: Path) -> None:
    app = Duly(modules=[desk], store=f"sqlite:///{tmp_path / 'shop.db'}", worker=False)
    async with app:
        await pragma(app, "PRAGMA query_only = ON")
        with pytest.raises(StoreReadOnly, match="cannot be written to"):
            await app.execute(Write(text="a"), tenant="acme")


def set_version(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE duly_schema SET version = ?", (version,))
    connection.close()


async def limit_pages(app: Duly, pages: int = 80) -> None:
    """Let the database grow to so many pages, as a full disk would."""
    await pragma(app, f"PRAGMA max_page_count = {pages}")


async def pragma(app: Duly, statement: str) -> None:
    engine = app._store._sqlite  # type: ignore[attr-defined]
    await engine.in_writer(lambda: engine.writer.execute(statement).fetchall())
