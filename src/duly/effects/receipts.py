"""Takes what providers report: verified by the gateway that it came in at, kept, and applied by the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import msgspec

from duly.errors import ReceiptRefused, StoreError
from duly.messages.identity import digest_of
from duly.ports.gateway import Gateway, Incoming, Receipt, TakesReceipts
from duly.ports.receipts import ReceiptsTaken, ReceiptStore
from duly.telemetry import log, span

RECEIPT_BYTES_MAX: Final = 1024 * 1024
"""How long the body of a request with receipts may be."""
RECEIPTS_PER_REQUEST_MAX: Final = 1_000
RECEIPTS_PER_COMMIT_MAX: Final = 100
MARK_CHARACTERS_MAX: Final = 255
"""Of a receipt's `dedupe`, and of an id; what is longer is kept as its digest, or says nothing."""
DETAIL_CHARACTERS_MAX: Final = 1_000
CLOCK_GOOD_FOR: Final = timedelta(seconds=10)
"""How long the time is told from the last time that the database was asked for it."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """It was verified, and all of it is kept. It may have come before; then it has changed nothing."""

    receipts: int
    new: int
    applied: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """It is not signed by the provider, or cannot be read. Nothing was changed."""


class TooLarge(msgspec.Struct, frozen=True, kw_only=True):
    """It is above a limit. Nothing was changed."""


class NoSuchGateway(msgspec.Struct, frozen=True, kw_only=True):
    """No gateway of this name takes receipts here."""


class Unavailable(msgspec.Struct, frozen=True, kw_only=True):
    """It could not be kept just now, or not all of it. The provider should send it again: what is kept already is known
    then.
    """


Answer: TypeAlias = Taken | Refused | TooLarge | NoSuchGateway | Unavailable


class ReceiptTaker:
    """The receipt routes of an application, one per gateway account, apart from any web framework.

    Bodies, headers and queries are never logged: they hold addresses and signatures.
    """

    def __init__(self, store: ReceiptStore, gateways: Sequence[Gateway], *, on_promise: Callable[[], None]) -> None:
        self._store = store
        self._takers: dict[str, tuple[TakesReceipts, timedelta]] = {
            gateway.name: (gateway, gateway.keeps.receipts.within)
            for gateway in gateways
            if gateway.keeps.receipts is not None and isinstance(gateway, TakesReceipts)
        }
        self._on_promise = on_promise
        self._clock = _DatabaseClock(store)

    @property
    def gateways(self) -> tuple[str, ...]:
        """The names of the gateways that take receipts: those that declare them in `keeps`."""
        return tuple(self._takers)

    async def take(
        self,
        gateway: str,
        body: bytes,
        headers: tuple[tuple[str, str], ...],
        *,
        query: str = "",
        path: str = "/",
        method: str = "POST",
    ) -> Answer:
        """Verify the request that came in at *gateway*, keep what it reports, and apply it.

        Names of *headers* are in lower case. Never raises for what came in, nor when the store is away.
        """
        if gateway not in self._takers:
            return NoSuchGateway()
        if len(body) > RECEIPT_BYTES_MAX:
            return TooLarge()
        taker, within = self._takers[gateway]
        with span(f"receipts of {gateway}", {"duly.gateway": gateway}):
            try:
                received_at = await self._clock.now()
                incoming = Incoming(
                    method=method, path=path, query=query, headers=headers, body=body, received_at=received_at
                )
                read = [_within_limits(receipt) for receipt in taker.receipts(incoming)]
                if len(read) > RECEIPTS_PER_REQUEST_MAX:
                    return TooLarge()
                return await self._keep(gateway, read, within)
            except ReceiptRefused as error:
                log(logging.WARNING, f"a receipt was refused: {error}", gateway=gateway)
                return Refused()
            except StoreError as error:
                log(logging.ERROR, "receipts cannot be kept", gateway=gateway, error=str(error))
                return Unavailable()
            except Exception as error:
                log(
                    logging.ERROR,
                    "a gateway raised when it read a receipt",
                    gateway=gateway,
                    error=type(error).__name__,
                )
                return Unavailable()

    async def _keep(self, gateway: str, receipts: Sequence[Receipt], within: timedelta) -> Taken:
        new = applied = 0
        for start in range(0, len(receipts), RECEIPTS_PER_COMMIT_MAX):
            taken = await self._store.take_receipts(
                gateway, receipts[start : start + RECEIPTS_PER_COMMIT_MAX], within=within
            )
            self._tell(gateway, taken)
            new, applied = new + taken.new, applied + taken.applied
        return Taken(receipts=len(receipts), new=new, applied=applied)

    def _tell(self, gateway: str, taken: ReceiptsTaken) -> None:
        if taken.has_promised:
            self._on_promise()
        if taken.quarantined:
            log(logging.INFO, "receipts are in quarantine", gateway=gateway, receipts=taken.quarantined)


class _DatabaseClock:
    """The database's time without asking for it each time: a forged request shall cost the database nothing."""

    def __init__(self, store: ReceiptStore) -> None:
        self._store = store
        self._asked: tuple[datetime, float] | None = None

    async def now(self) -> datetime:
        """The time. Raises `StoreError`."""
        at = asyncio.get_running_loop().time()
        if self._asked is None or at - self._asked[1] > CLOCK_GOOD_FOR.total_seconds():
            self._asked = (await self._store.now(), at)
        told, asked_at = self._asked
        return told + timedelta(seconds=at - asked_at)


def _within_limits(receipt: Receipt) -> Receipt:
    """*receipt* within the limits of what is stored."""
    dedupe, occurred = receipt.dedupe, receipt.occurred_at
    return msgspec.structs.replace(
        receipt,
        dedupe=dedupe if len(dedupe) <= MARK_CHARACTERS_MAX else digest_of(dedupe.encode(errors="replace")),
        provider_id=_short(receipt.provider_id),
        effect_id=_short(receipt.effect_id),
        detail=receipt.detail[:DETAIL_CHARACTERS_MAX],
        suppresses=receipt.suppresses[:DETAIL_CHARACTERS_MAX],
        occurred_at=occurred if occurred is None or occurred.tzinfo else occurred.replace(tzinfo=UTC),
    )


def _short(identifier: str | None) -> str | None:
    return None if identifier is None or len(identifier) > MARK_CHARACTERS_MAX else identifier
