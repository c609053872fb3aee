"""The effects that most applications have. Any other is a class of the user's own, derived from `Effect`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from duly.messages.attachment import AttachmentRef
from duly.messages.fields import EmailAddress, Personal, PhoneNumber
from duly.messages.message import Effect

if TYPE_CHECKING:
    JsonValue: TypeAlias = (
        str
        | int
        | float
        | bool
        | Decimal
        | datetime
        | date
        | UUID
        | Sequence["JsonValue"]
        | Mapping[str, "JsonValue"]
        | None
    )
    """What JSON can hold. Decimals, times and ids go out as text."""
else:
    JsonValue = Any  # msgspec knows no recursive alias


class Sms(Effect, name="duly.sms"):
    """A text message to one phone number in international form (``+49 151 …``)."""

    to: Personal[PhoneNumber]
    text: Personal[str]


class Email(Effect, name="duly.email"):
    """A mail to one address. `html` is the alternative form of `text`."""

    to: Personal[EmailAddress]
    subject: Personal[str]
    text: Personal[str]
    html: Personal[str] | None = None
    reply_to: Personal[EmailAddress] | None = None
    attachments: tuple[AttachmentRef, ...] = ()


class Webhook(Effect, name="duly.webhook"):
    """An event for an endpoint of a customer. *endpoint* is its id: URLs and secrets are never in an effect.

    `event` is a type such as ``order.placed``. `payload` becomes ``data`` of the body, `occurred_at` (with a time zone)
    its ``timestamp``.
    """

    endpoint: str
    event: str
    payload: Mapping[str, JsonValue]
    occurred_at: datetime | None = None
