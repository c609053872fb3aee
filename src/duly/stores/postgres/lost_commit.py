"""What became of a commit whose connection was lost before the answer came.

Asking is not enough: the server may be working still, and the row appear a second later. So a tombstone is put under
the command's id: that waits for an execution under way, or makes the late one fail (docs/adr/0007).
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from duly.errors import StoreUnavailable
from duly.ports.change import InboxWrite
from duly.stores.commit_script import tombstone_script
from duly.stores.postgres.failures import LOCK_NOT_GRANTED, DriverError, code_of, is_lost, is_transient
from duly.stores.postgres.pool import ConnectionPool
from duly.stores.postgres.running import run_script

RESOLVE_SECONDS_MAX: Final = 15
RESOLVE_WAIT_SECONDS: Final = 0.05
RESOLVE_WAIT_SECONDS_MAX: Final = 1.0


async def resolve(pool: ConnectionPool, url: str, tenant: str, inbox: InboxWrite | None, lost: BaseException) -> None:
    """Return when the change was committed. Raises `StoreUnavailable` saying what is known when it was not."""
    pool.forget_idle()
    if inbox is None:
        raise StoreUnavailable(
            f"The connection to {url} was lost at COMMIT ({_shown(lost)}). The outbox row tells whether it went "
            "through: while it is there, the message is delivered again."
        ) from lost
    committed = await _ask(pool, tenant, inbox)
    if committed:
        return
    if committed is None:
        raise StoreUnavailable(
            f"The connection to {url} was lost at COMMIT ({_shown(lost)}), and the database gave no answer within "
            f"{RESOLVE_SECONDS_MAX} s. Whether the command was stored is not known: send it again under the same id."
        ) from lost
    raise StoreUnavailable(
        f"The connection to {url} was lost before COMMIT ({_shown(lost)}). Nothing was stored, nor will it be: the "
        "command may be sent again."
    ) from lost


async def _ask(pool: ConnectionPool, tenant: str, inbox: InboxWrite) -> bool | None:
    """Whether the execution has committed; when not, it never will. None: the database cannot be asked."""
    deadline = time.monotonic() + RESOLVE_SECONDS_MAX
    wait = RESOLVE_WAIT_SECONDS
    while True:
        try:
            # Apart from the pool: of its connections, all may be waiting here for the answer.
            connection = await pool.connect_apart()
            try:
                async with connection.transaction():
                    return await run_script(connection, tombstone_script(tenant, inbox))
            finally:
                connection.terminate()
        except StoreUnavailable:
            pass
        except DriverError as error:
            # A lock that is not granted: the execution is under way still.
            if not (is_lost(error) or is_transient(error) or code_of(error) == LOCK_NOT_GRANTED):
                raise
        if time.monotonic() + wait > deadline:
            return None
        await asyncio.sleep(wait)
        wait = min(2 * wait, RESOLVE_WAIT_SECONDS_MAX)


def _shown(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
