"""Every scenario runs on every store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from duly import Duly, Email, Sms
from duly.gateways.recording import RecordingGateway
from tests.scenarios import shop
from tests.scenarios.running import Running, Start, quick_settings


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    match request.param:
        case "memory":
            yield "memory:"
        case "sqlite":
            yield f"sqlite:///{tmp_path / 'shop.db'}"
        case _:
            server = request.getfixturevalue("postgres_server")
            yield server.create_database()


@pytest.fixture
async def start(store_url: str) -> AsyncIterator[Start]:
    """Starts applications on this test's database, and stops them."""
    async with AsyncExitStack() as stack:

        async def begin(*modules: object, gateways: object = None, **options: object) -> Running:
            gateway = RecordingGateway(Sms, Email)
            app = Duly(
                modules=modules or shop.MODULES,  # type: ignore[arg-type]
                store=store_url,
                gateways=[gateway] if gateways is None else gateways,  # type: ignore[arg-type]
                **{"settings": quick_settings(), **options},  # type: ignore[arg-type]
            )
            if store_url.startswith("postgres"):
                await app.migrate()
            await stack.enter_async_context(app)
            return Running(app, gateway)

        yield begin
