"""Waiting for a worker without asking the database all the time, and without waiting for one that has died."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from duly import Duly
from duly.errors import NotQuiet

CHECK_SECONDS = 5


async def until_drained(app: Duly, done: asyncio.Event) -> None:
    """Until *done*, and then until everything is committed. Raises what ended the worker before its time."""
    while not done.is_set():
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await done.wait()
        except TimeoutError:
            with suppress(NotQuiet):
                await app.until_quiet(time_max=timedelta(0))
    await app.until_quiet()
