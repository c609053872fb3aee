"""Our own middleware: what handlers did, told to the log and to traces."""

from __future__ import annotations

import logging

from duly.telemetry import log, span
from duly.work.context import HandlerCall, Proceed, Watching


class Observing(Watching):
    """A span around each handler, and a debug record of how it ended. Bodies of messages are never told."""

    async def __call__(self, call: HandlerCall, proceed: Proceed) -> object:
        """Proceed, and tell of it."""
        facts = {
            "duly.handler": call.handler,
            "duly.kind": call.kind.value,
            "duly.tenant": call.context.tenant,
            "duly.message_id": call.context.message_id,
        }
        with span(f"handle {call.handler}", facts):
            try:
                result = await proceed()
            except Exception as error:
                log(
                    logging.DEBUG,
                    "a handler raised",
                    handler=call.handler,
                    tenant=call.context.tenant,
                    message_id=call.context.message_id,
                    error=type(error).__name__,
                )
                raise
        log(
            logging.DEBUG,
            "handled",
            handler=call.handler,
            tenant=call.context.tenant,
            message_id=call.context.message_id,
        )
        return result
