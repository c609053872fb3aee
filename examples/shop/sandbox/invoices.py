"""The invoices that the billing API made, the keys it remembers, and what its two look-ups find."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from examples.shop.sandbox.receipt_plan import Progress
from examples.shop.sandbox.settings import SettingsInForce


@dataclass(frozen=True, slots=True)
class First:
    """The first request with a key: what it asked for (canonical JSON), and the invoice that it made."""

    asked: str
    invoice: dict[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class _Made:
    document: dict[str, Any]
    progress: Progress


class Invoices:
    """Every invoice until `forget`, and each idempotency key for its lifetime. `clock`: monotonic seconds."""

    def __init__(self, settings: SettingsInForce, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: dict[str, First] = {}
        self._made: list[_Made] = []

    def first(self, key: str) -> First | None:
        """The first request with this key, if the key is not forgotten by now."""
        found, lifetime = self._keys.get(key), self._settings.now.key_lifetime_seconds
        if found is None or (lifetime is not None and self._clock() >= found.at + lifetime):
            return None
        return found

    def make(
        self, key: str, asked: dict[str, Any], canonical: str, statuses: tuple[str, ...]
    ) -> tuple[dict[str, Any], Progress]:
        """Make an invoice, whatever was made before, and remember the key; the document and what becomes of it."""
        made_at = self._clock()
        document = {
            **asked,
            "id": "in_" + secrets.token_hex(12),
            "object": "invoice",
            "number": f"INV-{len(self._made) + 1:06}",
            "status": "open",
            "created": int(time.time()),
            "idempotency_key": key,
        }
        delay = self._settings.now.receipt_delay_seconds
        progress = Progress(statuses=statuses, taken_at=made_at, delay_seconds=delay)
        self._made.append(_Made(document, progress))
        self._keys[key] = First(canonical, document, made_at)
        return document, progress

    def listed(self, reference: str) -> list[dict[str, Any]]:
        """All invoices with this reference, as they are now, oldest first; the newest ones are not in the list yet."""
        known = self._clock() - self._settings.now.index_lag_seconds
        return [self._now(made) for made in self._with(reference) if made.progress.taken_at <= known]

    def by_reference(self, reference: str) -> dict[str, Any] | None:
        """The oldest invoice with this reference, as it is now, without any lag."""
        return next(map(self._now, self._with(reference)), None)

    def forget_keys(self) -> None:
        """Know no key any more; the invoices stay."""
        self._keys.clear()

    def forget(self) -> None:
        """Know nothing any more."""
        self._keys.clear()
        self._made.clear()

    def _with(self, reference: str) -> list[_Made]:
        names = ("idempotency_key", "reference")
        return [made for made in self._made if reference in [made.document.get(name) for name in names]]

    def _now(self, made: _Made) -> dict[str, Any]:
        return {**made.document, "status": made.progress.status(self._clock()) or made.document["status"]}
