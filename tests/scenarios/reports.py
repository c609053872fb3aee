"""A provider that reports over HTTP, as far as duly sees it: signed JSON."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from duly import Module, Sms
from duly.errors import ReceiptRefused
from duly.gateways.recording import RecordingGateway
from duly.messages.outcomes import (
    EffectAccepted,
    EffectDelivered,
    EffectEngaged,
    EffectHeld,
    EffectOutcome,
    EffectOutcomeUnknown,
    EffectUnconfirmed,
    EffectUndelivered,
)
from duly.ports.gateway import Incoming, Receipt
from duly.states.policy import Keeps, ReceiptWindow
from tests.scenarios.desk import gateway
from tests.scenarios.running import Running

SECRET: Final = b"what the provider and we know"
RECEIPTS: Final = Keeps(receipts=ReceiptWindow())

_reports = msgspec.json.Decoder(list[Receipt])


def read(incoming: Incoming) -> Sequence[Receipt]:
    """Verify, then read."""
    signature = incoming.header("x-signature") or ""
    if not hmac.compare_digest(signature.encode(), signed(incoming.body).encode()):
        raise ReceiptRefused("A report came in that is not signed. Nothing was changed.")
    try:
        return _reports.decode(incoming.body)
    except msgspec.DecodeError:
        raise ReceiptRefused("A report came in that cannot be read. Nothing was changed.") from None


def signed(body: bytes) -> str:
    """The signature of a body."""
    return hmac.digest(SECRET, body, "sha256").hex()


def reporting(**parts: Any) -> RecordingGateway:
    """A gateway for texts whose provider reports."""
    return gateway(**{"keeps": RECEIPTS, "receipts": read, **parts})


def report(*receipts: Receipt, signature: str | None = None) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Body and headers of a request, signed as the provider does unless said."""
    body = msgspec.json.encode(receipts)
    return body, (("x-signature", signed(body) if signature is None else signature),)


async def post(app: Running, *receipts: Receipt, name: str = "sms", signature: str | None = None) -> object:
    """Report to a gateway of an application; its answer."""
    return await app.app.receipts.take(name, *report(*receipts, signature=signature))


def listening(heard: list[str]) -> Module:
    """A module that writes down the outcomes of texts that it hears: the event and its reason."""
    module = Module("listening")

    def note(event: EffectOutcome[Sms]) -> None:
        heard.append(f"{event.__duly__.name.removeprefix('duly.effect_')}: {event.reason}".removesuffix(": "))

    @module.after_commit
    async def hear_accepted(event: EffectAccepted[Sms]) -> None:
        note(event)

    @module.after_commit
    async def hear_unknown(event: EffectOutcomeUnknown[Sms]) -> None:
        note(event)

    @module.after_commit
    async def hear_held(event: EffectHeld[Sms]) -> None:
        note(event)

    @module.after_commit
    async def hear_delivered(event: EffectDelivered[Sms]) -> None:
        note(event)

    @module.after_commit
    async def hear_undelivered(event: EffectUndelivered[Sms]) -> None:
        note(event)

    @module.after_commit
    async def hear_unconfirmed(event: EffectUnconfirmed[Sms]) -> None:
        note(event)

    @module.after_commit
    async def hear_engaged(event: EffectEngaged[Sms]) -> None:
        note(event)

    return module
