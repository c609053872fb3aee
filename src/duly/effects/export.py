"""A tenant's effects as text that other programs read: CSV and JSON lines, page by page, in bounded memory."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from duly.ports.ledger_view import EffectView

Pages: TypeAlias = AsyncIterator[Sequence[EffectView]]

_FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a formula may begin in a spreadsheet. Source: OWASP, CSV Injection."""

COLUMNS: Final[tuple[tuple[str, Callable[[EffectView], object]], ...]] = (
    ("id", lambda effect: effect.id),
    ("type", lambda effect: effect.type),
    ("channel", lambda effect: effect.channel),
    ("recipient", lambda effect: effect.recipient),
    ("summary", lambda effect: effect.summary),
    ("reference", lambda effect: effect.reference),
    ("state", lambda effect: effect.state.value),
    ("reason", lambda effect: effect.reason),
    ("delivery", lambda effect: effect.delivery and effect.delivery.value),
    ("delivery_at", lambda effect: effect.delivery_at),
    ("gateway", lambda effect: effect.gateway),
    ("provider_id", lambda effect: effect.provider_id),
    ("policy", lambda effect: effect.policy.value),
    ("attempts", lambda effect: len(effect.attempts)),
    ("requested_at", lambda effect: effect.requested_at),
    ("changed_at", lambda effect: effect.changed_at),
    ("next_attempt_at", lambda effect: effect.next_attempt_at),
    ("expires_at", lambda effect: effect.expires_at),
    ("cause", lambda effect: effect.chain[0].name if effect.chain else ""),
    ("cause_id", lambda effect: effect.chain[0].id if effect.chain else ""),
    ("handler", lambda effect: effect.handler),
    ("resend_of", lambda effect: effect.resend_of),
)
"""The columns of the CSV form."""


async def csv_of(pages: Pages) -> AsyncIterator[str]:
    """CSV by RFC 4180: a header, then a piece of text per effect.

    A value that a spreadsheet would take for a formula gets an apostrophe in front, phone numbers too (``'+49…``).
    """
    yield _csv([name for name, _ in COLUMNS])
    async for page in pages:
        for effect in page:
            yield _csv(_cell(value(effect)) for _, value in COLUMNS)


async def json_lines_of(pages: Pages) -> AsyncIterator[str]:
    """One JSON object per line and effect, with its attempts, look-ups and all that the view shows."""
    async for page in pages:
        for effect in page:
            yield msgspec.json.encode(effect).decode() + "\n"


def _csv(cells: Iterable[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat()
        case _:
            text = str(value)
            return f"'{text}" if text.startswith(_FORMULA_BEGINS) else text
