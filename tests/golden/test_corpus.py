"""Whatever was stored by any version of the shop, or of duly, is read by today's code as it was recorded."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from duly import Duly, Email, IdempotencyKey, Keeps, NotSent, ReceiptWindow, Sms
from duly.gateways.recording import RecordingGateway
from duly.testing.corpus_rows import StoredRow
from duly.testing.golden import check_corpus
from examples.shop.application import MODULES, SENDING
from examples.shop.billing.messages import IssueInvoice
from examples.shop.ordering.messages import CancelOrder
from examples.shop.providers import RETRY
from tests.example.running import ORDER, customer
from tests.golden.samples import OF_DULY

FOLDER = Path(__file__).parent


def test_every_message_that_was_ever_stored_is_read_as_it_was_recorded() -> None:
    read = check_corpus(FOLDER, MODULES, also=OF_DULY, command="python -m tests.golden")
    assert read == len(list(FOLDER.glob("envelopes/*.json"))) == len(list(FOLDER.glob("values/*.json")))
    assert read >= len(OF_DULY)


async def test_what_the_shop_stores_today_has_the_form_of_the_corpus(tmp_path: Path) -> None:
    """The corpus is made of samples: here rows of a running shop are held against them."""
    texts = RecordingGateway(
        Sms,
        name="twilio",
        channel="sms",
        keeps=Keeps(receipts=ReceiptWindow()),
        outcomes=[NotSent(reason="the number is not in use", permanent=True)],
    )
    mails = RecordingGateway(Email, name="smtp", channel="email")
    keyed = Keeps(key=IdempotencyKey(lifetime=timedelta(hours=24)))
    invoices = RecordingGateway(IssueInvoice, name="billing", channel="billing", keeps=keyed, retry=RETRY)
    app = Duly(
        modules=MODULES,
        store=f"sqlite:///{tmp_path / 'shop.db'}",
        gateways=[mails, texts, invoices],
        sending=SENDING,
        tenant="acme",
    )
    async with app:
        await app.execute(customer())
        await app.execute(ORDER)
        await app.until_quiet(time_max=timedelta(seconds=20))
        await app.execute(CancelOrder(order_id="1001"))
        await app.until_quiet(time_max=timedelta(seconds=20))

    rows = stored_rows(tmp_path / "shop.db")
    names = {row.name for row in rows}
    assert {"OrderPlaced", "OrderPlacedPublic", "PaymentRefunded", "duly.effect_failed"} <= names
    for row in rows:
        golden = msgspec.json.decode(
            (FOLDER / f"envelopes/{row.name}.v{row.version}.json").read_bytes(), type=StoredRow
        )
        assert holds(form(row), form(golden)), row.name


def stored_rows(database: Path) -> list[StoredRow]:
    """Every message of a database, with its personal part."""
    with sqlite3.connect(database) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(
            "SELECT m.*, p.body AS personal FROM duly_message AS m LEFT JOIN duly_personal AS p ON p.message_id = m.id"
        ).fetchall()
    connection.close()
    rows = [{name: row[name] for name in row.keys() if name not in ("commit_id", "ordinal")} for row in found]  # noqa: SIM118
    assert rows
    assert set(rows[0]) == set(StoredRow.__struct_fields__), "the table has other columns than the corpus"
    return [msgspec.convert(row, StoredRow) for row in rows]


def form(row: StoredRow) -> dict[str, Any]:
    """What of a row does not depend on what was ordered: its kind, and which fields lie where."""
    return {
        "kind": row.kind,
        "body": shape(msgspec.json.decode(row.body)),
        "personal": None if row.personal is None else shape(msgspec.json.decode(row.personal)),
        "raised": (row.stream is None, row.stream_version is None, row.handler == ""),
    }


def holds(today: object, before: object) -> bool:
    """Whether *today* has all that was *before*. A field that was added since, with a default, needs no new version."""
    match before, today:
        case dict(), dict():
            return all(name in today and holds(today[name], each) for name, each in before.items())
        case list(), list():
            return len(today) == len(before) and all(map(holds, today, before))
        case _:
            return today == before


def shape(value: object) -> object:
    """A JSON value without its texts and numbers."""
    match value:
        case dict():
            return {name: shape(each) for name, each in value.items()}
        case list():
            return [shape(each) for each in value[:1]]
        case None:
            return "a value"
        case _:
            return "a value"
