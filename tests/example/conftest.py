"""The shop on stores that need no server; on PostgreSQL for tests that ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from duly import (
    Accepted,
    Call,
    Duly,
    Email,
    IdempotencyKey,
    Keeps,
    Outcome,
    Receipt,
    ReceiptWindow,
    Settings,
    Sms,
)
from duly.gateways.recording import RecordingGateway
from examples.shop.application import MODULES, SENDING
from examples.shop.billing.messages import IssueInvoice
from examples.shop.providers import RETRY
from tests.example.running import Shop, customer

KEYED = Keeps(key=IdempotencyKey(lifetime=timedelta(hours=24)))


@pytest.fixture(params=["memory", "sqlite"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    mails = RecordingGateway(Email, name="smtp", channel="email")
    outcomes: list[Outcome] = []
    reports: list[Receipt] = []

    def answer(call: Call) -> Outcome:
        return outcomes.pop(0) if outcomes else Accepted(provider_id=f"SM-{call.effect_id}")

    texts = RecordingGateway(
        Sms,
        name="twilio",
        channel="sms",
        keeps=Keeps(receipts=ReceiptWindow()),
        outcomes=answer,
        receipts=lambda incoming: [reports.pop(0)],
    )
    invoices = RecordingGateway(IssueInvoice, name="billing", channel="billing", keeps=KEYED, retry=RETRY)
    match request.param:
        case "memory":
            url = "memory:"
        case "sqlite":
            url = f"sqlite:///{tmp_path / 'shop.db'}"
        case _:
            url = request.getfixturevalue("postgres_server").create_database()
    app = Duly(
        modules=MODULES,
        store=url,
        gateways=[mails, texts, invoices],
        sending=SENDING,
        settings=Settings(poll_interval=timedelta(milliseconds=20)),
    )
    if url.startswith("postgres"):
        await app.migrate()
    async with app:
        await app.execute(customer(), tenant="acme")
        yield Shop(app, mails, texts, invoices, outcomes, reports)
