"""S12: one person is erased, and the facts stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from duly import (
    Aggregate,
    Attachments,
    Command,
    Dispatch,
    DomainEvent,
    Effects,
    Email,
    EmailAddress,
    Erased,
    InvalidInput,
    InvalidTenant,
    Module,
    Personal,
    PhoneNumber,
    Repository,
    Sms,
    Unknown,
)
from duly.attachments.folder import FolderAttachments
from duly.gateways.console import ConsoleSms
from duly.gateways.recording import RecordingGateway
from duly.ports.gateway import Call
from duly.states.attempt import Accepted, Outcome
from duly.testing.postgres_server import PostgresServer
from tests.scenarios.running import Running, Start, durable

HOUR = timedelta(hours=1)
PHONE = "+4915112340987"
NAME = "Zyxgundula"
TEXT = f"code-{NAME[::-1]}"
MAIL = "zyx.gundula@example.com"
CANARIES = (PHONE, NAME, TEXT, MAIL)


class Register(Command, subject="customer_id"):
    customer_id: str
    name: Personal[str]
    phone: Personal[PhoneNumber]
    email: Personal[EmailAddress]


class Registered(DomainEvent, subject="customer_id"):
    customer_id: str
    name: Personal[str]
    phone: Personal[PhoneNumber]
    email: Personal[EmailAddress]


class Forget(Command):
    customer_id: str


class Customer(Aggregate):
    name: str


def code(name: str) -> str:
    """A text that says of whom it is only to those who know."""
    return f"code-{name[::-1]}"


customers = Module("customers")
heard: list[Registered] = []


@customers.command
async def register(command: Register, customers: Repository[Customer], effects: Effects, files: Attachments) -> None:
    customer = Customer(id=command.customer_id, name=command.name)
    customer.record(Registered(customer_id=customer.id, name=command.name, phone=command.phone, email=command.email))
    customers.add(customer)
    contract = await files.keep("contract.txt", f"Contract with {command.name}".encode(), content_type="text/plain")
    mail = Email(to=command.email, subject=f"Dear {command.name}", text=code(command.name), attachments=(contract,))
    effects.request(mail, at=HOUR)


@customers.command
async def forget(command: Forget, customers: Repository[Customer]) -> None:
    customers.remove(await customers.get(command.customer_id))


@customers.after_commit
async def greet(event: Registered, effects: Effects) -> None:
    effects.request(Sms(to=event.phone, text=f"Dear {event.name}: {code(event.name)}"), reference=event.customer_id)


@customers.after_commit
async def stumble(event: Registered, effects: Effects) -> None:
    heard.append(event)
    if event.phone == PHONE:
        raise InvalidInput(f"cannot write to {event.phone}")
    effects.request(Sms(to=event.phone, text="Hello again"))


@pytest.fixture(autouse=True)
def nothing_heard() -> Iterator[None]:
    heard.clear()
    yield
    heard.clear()


def gateways(sms: RecordingGateway) -> list[RecordingGateway]:
    return [sms, RecordingGateway(Email, name="mail", channel="email")]


def recording(*outcomes: Outcome) -> RecordingGateway:
    return RecordingGateway(Sms, name="sms", channel="sms", outcomes=outcomes)


async def registered(start: Start, folder: Path, sms: RecordingGateway, customer_id: str = "c-1") -> Running:
    running = await start(customers, gateways=gateways(sms), attachments=FolderAttachments(folder))
    command = Register(customer_id=customer_id, name=NAME, phone=PHONE, email=MAIL)
    await running.app.execute(command, tenant="acme", command_id=f"register-{customer_id}")
    await running.quiet()
    return running


async def erase(running: Running, subject: str = "c-1") -> Erased:
    return await running.app.erase(subject, tenant="acme", by="anna@example.com", reason="asked for it")


async def test_the_fact_stays_when_the_person_is_erased(start: Start, tmp_path: Path) -> None:
    sms = recording(Accepted(provider_id="SM1"))
    running = await registered(start, tmp_path / "files", sms)
    assert await erase(running) == Erased(messages=1, effects=2, cancelled=1)
    views = {view.channel: view for view in await running.effects()}
    text, mail = views["sms"], views["email"]
    assert (text.state, text.provider_id, text.reference) == (Dispatch.ACCEPTED, "SM1", "c-1")
    assert (mail.state, mail.reason) == (Dispatch.CANCELLED, "erased")
    assert {view.recipient for view in views.values()} == {"[erased]"}
    assert {view.summary for view in views.values()} == {"[erased]"}
    assert [link.name for link in text.chain] == ["Register", "Registered"]
    assert await erase(running) == Erased(messages=0, effects=0, cancelled=0)


async def test_an_erasure_is_written_down_without_the_person(start: Start, tmp_path: Path) -> None:
    running = await registered(start, tmp_path / "files", recording())
    await erase(running)
    ended, begun = await running.app._store.audit("acme", effect_id=None, rows_max=9)
    assert (begun.verb, begun.by, begun.reason) == ("erase", "anna@example.com", "asked for it")
    assert (ended.verb, ended.detail) == ("erased", f"{begun.detail}: 1 messages, 2 effects, 1 of them cancelled")
    assert "c-1" not in begun.detail


async def test_only_this_person_of_this_tenant_is_erased(start: Start, tmp_path: Path) -> None:
    running = await registered(start, tmp_path / "files", recording())
    other = Register(customer_id="c-2", name="Bert", phone="+4915198765432", email="bert@example.com")
    await running.app.execute(other, tenant="acme")
    await running.app.execute(other, tenant="other")
    await running.quiet()
    assert await erase(running, "c-2") == Erased(messages=1, effects=3, cancelled=1)
    assert {view.recipient for view in await running.effects()} == {PHONE, MAIL, "[erased]"}
    assert {view.recipient for view in await running.effects("other")} == {"+4915198765432", "bert@example.com"}


async def test_a_suppression_outlives_the_person(start: Start, tmp_path: Path) -> None:
    sms = recording()
    running = await registered(start, tmp_path / "files", sms)
    await running.app.suppressions("acme").add("sms", PHONE, reason="asked us to stop")
    await erase(running)
    assert await running.app.suppressions("acme").find("sms", PHONE) is not None
    again = Register(customer_id="c-9", name=NAME, phone=PHONE, email=MAIL)
    await running.app.execute(again, tenant="acme")
    await running.quiet()
    (view,) = [view for view in await running.effects() if view.recipient == PHONE]
    assert (view.state, len(sms.calls)) == (Dispatch.SUPPRESSED, 1)


async def test_events_read_erased_and_what_they_ask_for_is_refused_and_parks(start: Start, tmp_path: Path) -> None:
    sms = recording()
    running = await registered(start, tmp_path / "files", sms)
    (parked,) = await running.app.parked("acme")
    assert PHONE in parked.reason
    await erase(running)
    (parked,) = await running.app.parked("acme")
    assert parked.reason == "[erased]"
    await running.app.unpark(parked.id, "acme")
    await running.quiet()
    event = heard[-1]
    assert (event.customer_id, event.name, event.phone, event.email) == ("c-1", "[erased]", "[erased]", "[erased]")
    (parked,) = await running.app.parked("acme")
    assert parked.reason.startswith("to of Sms was erased")
    assert len(sms.calls) == 1
    assert len(await running.effects()) == 2


async def test_a_gateway_that_knows_addresses_refuses_an_erased_one(start: Start) -> None:
    with pytest.raises(InvalidInput, match="to is no phone number"):
        ConsoleSms().prepare(Sms(to="[erased]", text="Hello"), "e-1")


async def test_what_is_unknown_of_an_erased_person_is_not_tried_again(start: Start, tmp_path: Path) -> None:
    sms = recording(Unknown(evidence="timed out"))
    running = await registered(start, tmp_path / "files", sms)
    await erase(running)
    await running.quiet()
    (view,) = [view for view in await running.effects() if view.channel == "sms"]
    assert (view.state, view.recipient, len(sms.calls)) == (Dispatch.UNKNOWN, "[erased]", 1)


async def test_attachments_of_an_erased_person_are_removed(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    running = await registered(start, folder, recording())
    assert [path.read_bytes() for path in folder.rglob("*") if path.is_file()] == [f"Contract with {NAME}".encode()]
    await erase(running)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


async def test_an_erasure_needs_a_tenant_a_subject_a_name_and_a_reason(start: Start, tmp_path: Path) -> None:
    app = (await registered(start, tmp_path / "files", recording())).app
    with pytest.raises(InvalidTenant, match="No tenant was given"):
        await app.erase("c-1", by="anna", reason="asked for it")
    with pytest.raises(InvalidInput, match="subject has 1 to 500"):
        await app.erase("", tenant="acme", by="anna", reason="asked for it")
    with pytest.raises(InvalidInput, match="by has 1 to 500"):
        await app.erase("c-1", tenant="acme", by="", reason="asked for it")
    with pytest.raises(InvalidInput, match="reason has 1 to 500"):
        await app.erase("c-1", tenant="acme", by="anna", reason="\n")
    assert PHONE in repr(await app.ledger("acme").effects())


def found_in(folder: Path, left_out: Collection[str]) -> dict[str, list[str]]:
    """In which files below *folder* there is which canary."""
    found: dict[str, list[str]] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not any(part in path.parts for part in left_out):
            content = path.read_bytes()
            for canary in CANARIES:
                if canary.encode() in content:
                    found.setdefault(canary, []).append(str(path.relative_to(folder)))
    return found


@durable
async def test_no_trace_is_left_in_any_table_or_file(
    start: Start, tmp_path: Path, store_url: str, request: pytest.FixtureRequest
) -> None:
    def refuse_quoting(call: Call) -> Outcome:
        return Unknown(evidence=f"550 <{call.prepared.recipient}> cannot be read")

    sms = RecordingGateway(Sms, name="sms", channel="sms", outcomes=refuse_quoting)
    running = await registered(start, tmp_path / "files", sms)
    # Somebody who stays: of a table without rows PostgreSQL keeps the statistics that it had.
    bert = Register(customer_id="c-2", name="Bert", phone="+4915198765432", email="bert@example.com")
    await running.app.execute(bert, tenant="acme")
    await running.quiet()
    is_sqlite = store_url.startswith("sqlite")
    server = None if is_sqlite else request.getfixturevalue("postgres_server")
    folder = tmp_path if server is None else server.folder
    database = urlsplit(store_url).path.removeprefix("/")
    left_out = ["pg_wal"]
    if server is not None:
        # The other databases of this server are other tests'.
        listed = server.run_sql("SELECT oid FROM pg_database WHERE datname <> current_database()", database=database)
        left_out += listed.split()
        # Statistics hold values of columns, too.
        server.run_sql("ANALYZE", database=database)
        server.run_sql("CHECKPOINT", database=database)
    before = found_in(folder, left_out)
    assert set(before) == set(CANARIES), "the search finds what there is"
    # The documents of aggregates are the application's own.
    await running.app.execute(Forget(customer_id="c-1"), tenant="acme")
    await erase(running)
    await running.app.stop()
    if server is None:
        _vacuum_sqlite(tmp_path / "shop.db")
    else:
        _vacuum_postgres(server, database)
    assert found_in(folder, left_out) == {}
    assert _dump(tmp_path, server, database) == {}


def _vacuum_sqlite(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _vacuum_postgres(server: PostgresServer, database: str) -> None:
    server.run_sql("VACUUM (FULL, ANALYZE)", database=database)
    server.run_sql("VACUUM FULL pg_statistic", database=database)
    server.run_sql("CHECKPOINT", database=database)


def _dump(tmp_path: Path, server: PostgresServer | None, database: str) -> dict[str, list[str]]:
    """In which tables there is which canary."""
    if server is None:
        connection = sqlite3.connect(tmp_path / "shop.db")
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        tables = {name: repr(connection.execute(f'SELECT * FROM "{name}"').fetchall()) for name in names}
        connection.close()
    else:
        listed = server.run_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'duly'", database=database)
        names = listed.splitlines()
        tables = {name: server.run_sql(f'SELECT * FROM duly."{name}"', database=database) for name in names}
    assert len(tables) > 20
    return {canary: held for canary in CANARIES if (held := [name for name in names if canary in tables[name]])}
