"""An application under test, with the gateway that records its calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

import pytest

from duly import Duly, EffectView, RetrySchedule, Settings
from duly.gateways.recording import RecordingGateway


@dataclass(frozen=True, slots=True)
class Running:
    """The application and its recording gateway."""

    app: Duly
    gateway: RecordingGateway

    async def quiet(self, *, within: timedelta = timedelta(seconds=10)) -> None:
        """Wait until there is nothing left to do."""
        await self.app.until_quiet(time_max=timedelta(seconds=20), within=within)

    async def effects(self, tenant: str = "acme") -> list[EffectView]:
        """The tenant's effects, the latest first."""
        return await self.app.ledger(tenant).all_effects()


durable = pytest.mark.parametrize("store_url", ["sqlite", "postgres"], indirect=True)
"""For scenarios in which the database outlives an application, or has several: one in memory does not."""

Start: TypeAlias = Callable[..., Awaitable[Running]]


def quick_settings(**changes: object) -> Settings:
    """Settings that do not wait long."""
    return Settings(
        **{  # type: ignore[arg-type]
            "retry": RetrySchedule((timedelta(milliseconds=5),) * 3),
            "poll_interval": timedelta(milliseconds=20),
            "drain_time_max": timedelta(seconds=5),
            **changes,
        }
    )
