"""Options by which effects are chosen, and what they come to."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeAlias

import typer

from duly.ports.ledger_view import EffectFilter
from duly.states.delivery import Delivery
from duly.states.effect import Dispatch

_AGO: Final = re.compile(r"(\d{1,6})(s|min|h|d)", re.ASCII)
_UNITS: Final = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}

State: TypeAlias = Annotated[list[Dispatch] | None, typer.Option("--state", help="In this state; may be repeated.")]
DeliveryState: TypeAlias = Annotated[Delivery | None, typer.Option("--delivery", help="Reported as this.")]
Channel: TypeAlias = Annotated[str | None, typer.Option("--channel", help="Of this channel, such as sms.")]
Type: TypeAlias = Annotated[str | None, typer.Option("--type", help="Of this type, such as duly.sms.")]
GatewayName: TypeAlias = Annotated[str | None, typer.Option("--gateway", help="Through this gateway.")]
Recipient: TypeAlias = Annotated[str | None, typer.Option("--recipient", help="To this address, letter by letter.")]
Reference: TypeAlias = Annotated[str | None, typer.Option("--reference", help="With this reference.")]
Cause: TypeAlias = Annotated[str | None, typer.Option("--cause", help="With this message in its chain of causes.")]
Since: TypeAlias = Annotated[
    str | None, typer.Option("--since", help="Requested since: 2026-01-31, 2026-01-31T10:00+01:00, or 2h, 3d ago.")
]
Until: TypeAlias = Annotated[str | None, typer.Option("--until", help="Requested before; as --since.")]


def chosen(
    state: list[Dispatch] | None,
    delivery: Delivery | None,
    channel: str | None,
    type_name: str | None,
    gateway: str | None,
    recipient: str | None,
    reference: str | None,
    cause: str | None,
    since: str | None,
    until: str | None,
) -> EffectFilter:
    """The filter that the options make. Raises `typer.BadParameter` for a time that cannot be read."""
    now = datetime.now(UTC)
    return EffectFilter(
        states=tuple(state or ()),
        delivery=delivery,
        channel=channel,
        type=type_name,
        gateway=gateway,
        recipient=recipient,
        reference=reference,
        cause=cause,
        requested_from=None if since is None else moment_of(since, now),
        requested_to=None if until is None else moment_of(until, now),
    )


def moment_of(text: str, now: datetime) -> datetime:
    """The time that *text* says: so long before *now*, or by ISO 8601; UTC when it names no zone."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time. Write 2026-01-31, 2026-01-31T10:00, 2026-01-31T10:00+01:00 (UTC without a zone), or "
            "how long ago: 90s, 30min, 2h, 3d."
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
