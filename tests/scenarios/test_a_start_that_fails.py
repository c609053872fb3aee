"""An application that cannot start lets go of everything that it had taken hold of by then."""

from __future__ import annotations

from pathlib import Path

import pytest

from duly import Duly, Module
from duly.errors import StoreUnavailable
from duly.gateways.recording import RecordingGateway
from duly.messages.standard_effects import Sms
from duly.stores.sqlite import SqliteStore


class OutOfService(RecordingGateway):
    """A gateway that breaks once it is to be used."""

    is_broken = False

    def __getattribute__(self, name: str) -> object:
        if name == "keeps" and object.__getattribute__(self, "is_broken"):
            raise RuntimeError("out of service")
        return object.__getattribute__(self, name)


async def test_a_worker_that_cannot_begin_leaves_no_connection_open(tmp_path: Path) -> None:
    gateway = OutOfService(Sms)
    store = SqliteStore(str(tmp_path / "shop.db"))
    app = Duly(modules=[Module("shop")], store=store, gateways=[gateway])
    gateway.is_broken = True

    with pytest.raises(RuntimeError, match="out of service"):
        await app.start()

    with pytest.raises(StoreUnavailable, match="is closed"):
        await store.document("acme", "shop.Order", "o-1")
    gateway.is_broken = False
    async with app:
        await app.until_quiet()
