"""The verbs that change something. Each needs a name and a reason."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from duly.cli.filters import (
    Cause,
    Channel,
    DeliveryState,
    GatewayName,
    Recipient,
    Reference,
    Since,
    State,
    Type,
    Until,
    chosen,
)
from duly.cli.orders import Order, carry_out
from duly.ports.operations import Verb, Verdict

Application: TypeAlias = Annotated[str, typer.Argument(help="module:application.")]
EffectId: TypeAlias = Annotated[
    str | None, typer.Argument(help="The effect's id. Without it: all that fit the options.")
]
Tenant: TypeAlias = Annotated[str | None, typer.Option("--tenant", help="Whose; the application's own if left out.")]
By: TypeAlias = Annotated[
    str, typer.Option("--by", envvar="DULY_OPERATOR", help="Who orders it: your name, for the audit table.")
]
Reason: TypeAlias = Annotated[str, typer.Option("--reason", help="Why, for the audit table; no customer's data.")]
EvenIfTwice: TypeAlias = Annotated[bool, typer.Option("--even-if-twice", help="Also where it may arrive twice.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="JSON lines to stdout, and nothing else.")]


def add_to(group: typer.Typer) -> None:
    """Add the verbs to *group*."""
    for verb in (settle, retry, resend, cancel, release):
        group.command()(verb)


def settle(
    application: Application,
    effect: EffectId = None,
    accepted: Annotated[bool, typer.Option("--accepted", help="The provider took it.")] = False,
    not_sent: Annotated[bool, typer.Option("--not-sent", help="It did not go out.")] = False,
    provider_id: Annotated[str | None, typer.Option("--provider-id", help="Its id there, with --accepted.")] = None,
    again: Annotated[bool, typer.Option("--again", help="With --not-sent: try it once more.")] = False,
    *,
    by: By,
    reason: Reason,
    tenant: Tenant = None,
    state: State = None,
    delivery: DeliveryState = None,
    channel: Channel = None,
    type_name: Type = None,
    gateway: GatewayName = None,
    recipient: Recipient = None,
    reference: Reference = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say of what is unknown whether it was accepted, or not sent."""
    if accepted is not_sent:
        raise typer.BadParameter("Say what you know: --accepted or --not-sent.")
    if provider_id is not None and effect is None:
        raise typer.BadParameter("--provider-id belongs to one effect. Name it.")
    carry_out(
        Order(
            application=application,
            tenant=tenant,
            effect_id=effect,
            wanted=chosen(state, delivery, channel, type_name, gateway, recipient, reference, cause, since, until),
            verb=Verb.SETTLE,
            by=by,
            reason=reason,
            yes=yes,
            as_json=as_json,
            verdict=Verdict.ACCEPTED if accepted else Verdict.NOT_SENT,
            again=again,
            provider_id=provider_id,
        )
    )


def retry(
    application: Application,
    effect: EffectId = None,
    *,
    by: By,
    reason: Reason,
    even_if_twice: EvenIfTwice = False,
    tenant: Tenant = None,
    state: State = None,
    delivery: DeliveryState = None,
    channel: Channel = None,
    type_name: Type = None,
    gateway: GatewayName = None,
    recipient: Recipient = None,
    reference: Reference = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Order one attempt now, of what is unknown or waits; also against its policy."""
    carry_out(
        Order(
            application=application,
            tenant=tenant,
            effect_id=effect,
            wanted=chosen(state, delivery, channel, type_name, gateway, recipient, reference, cause, since, until),
            verb=Verb.RETRY,
            by=by,
            reason=reason,
            yes=yes,
            as_json=as_json,
            even_if_twice=even_if_twice,
        )
    )


def resend(
    application: Application,
    effect: EffectId = None,
    *,
    by: By,
    reason: Reason,
    even_if_twice: EvenIfTwice = False,
    tenant: Tenant = None,
    state: State = None,
    delivery: DeliveryState = None,
    channel: Channel = None,
    type_name: Type = None,
    gateway: GatewayName = None,
    recipient: Recipient = None,
    reference: Reference = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send the same once more, as a new effect that names the old one."""
    carry_out(
        Order(
            application=application,
            tenant=tenant,
            effect_id=effect,
            wanted=chosen(state, delivery, channel, type_name, gateway, recipient, reference, cause, since, until),
            verb=Verb.RESEND,
            by=by,
            reason=reason,
            yes=yes,
            as_json=as_json,
            even_if_twice=even_if_twice,
        )
    )


def cancel(
    application: Application,
    effect: EffectId = None,
    *,
    by: By,
    reason: Reason,
    tenant: Tenant = None,
    state: State = None,
    delivery: DeliveryState = None,
    channel: Channel = None,
    type_name: Type = None,
    gateway: GatewayName = None,
    recipient: Recipient = None,
    reference: Reference = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Withdraw what waits."""
    carry_out(
        Order(
            application=application,
            tenant=tenant,
            effect_id=effect,
            wanted=chosen(state, delivery, channel, type_name, gateway, recipient, reference, cause, since, until),
            verb=Verb.CANCEL,
            by=by,
            reason=reason,
            yes=yes,
            as_json=as_json,
        )
    )


def release(
    application: Application,
    effect: EffectId = None,
    *,
    by: By,
    reason: Reason,
    tenant: Tenant = None,
    state: State = None,
    delivery: DeliveryState = None,
    channel: Channel = None,
    type_name: Type = None,
    gateway: GatewayName = None,
    recipient: Recipient = None,
    reference: Reference = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Let go of what is held."""
    carry_out(
        Order(
            application=application,
            tenant=tenant,
            effect_id=effect,
            wanted=chosen(state, delivery, channel, type_name, gateway, recipient, reference, cause, since, until),
            verb=Verb.RELEASE,
            by=by,
            reason=reason,
            yes=yes,
            as_json=as_json,
        )
    )
