"""The shop on stores that need no server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from duly import Duly, Email, Settings, Sms
from duly.gateways.recording import RecordingGateway
from examples.shop.application import MODULES
from examples.shop.billing.messages import IssueInvoice
from tests.example.running import Shop, customer


@pytest.fixture(params=["memory", "sqlite"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    mails = RecordingGateway(Email, name="smtp", channel="email")
    texts = RecordingGateway(Sms, name="twilio", channel="sms")
    invoices = RecordingGateway(IssueInvoice, name="billing", channel="billing")
    app = Duly(
        modules=MODULES,
        store="memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}",
        gateways=[mails, texts, invoices],
        settings=Settings(poll_interval=timedelta(milliseconds=20)),
    )
    async with app:
        await app.execute(customer(), tenant="acme")
        yield Shop(app, mails, texts, invoices)
