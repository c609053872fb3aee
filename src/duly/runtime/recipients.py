"""Addresses, as the application meets them: checked at the door, and in the form in which gateways write them.

The libraries that know addresses are loaded when an address is at hand.
"""

from __future__ import annotations

from collections.abc import Sequence

from duly.errors import ConfigurationError
from duly.messages.fields import Marker, marked_fields
from duly.messages.message import Message
from duly.messages.standard_effects import Email, Sms
from duly.ports.gateway import Gateway
from duly.transaction.door import FieldChecks


def recipient_as_written(gateways: Sequence[Gateway], channel: str, recipient: str) -> str:
    """*recipient* in the form in which the gateways of *channel* write it: ``+49…``, ``name@xn--….example``.

    As it came when they take neither `Sms` nor `Email`, or nothing is installed that knows such addresses. Raises
    `InvalidField` when it can be no such address.
    """
    from duly.gateways.addresses import email_address, phone_number

    effects = {effect for gateway in gateways if gateway.channel == channel for effect in gateway.effects}
    try:
        if Sms in effects and Email not in effects:
            return phone_number(recipient, field="recipient")
        if Email in effects and Sms not in effects:
            return email_address(recipient.strip(), field="recipient")
    except ConfigurationError:
        pass
    return recipient


def missing_validators(commands: Sequence[type[Message]]) -> list[str]:
    """What must be installed to check the fields of *commands* at the door, and is not."""
    from duly.gateways.addresses import require_email_addresses, require_phone_numbers

    mistakes: list[str] = []
    needs = {Marker.PHONE_NUMBER: require_phone_numbers, Marker.EMAIL_ADDRESS: require_email_addresses}
    for marker, require in needs.items():
        if any(marked_fields(cls, marker) for cls in commands):
            try:
                require()
            except ConfigurationError as error:
                mistakes += error.mistakes
    return mistakes


def checks_at_the_door() -> FieldChecks:
    """How fields of commands are checked."""
    return FieldChecks({Marker.PHONE_NUMBER: _check_phone_number, Marker.EMAIL_ADDRESS: _check_email_address})


def _check_phone_number(value: str, field: str) -> None:
    from duly.gateways.addresses import phone_number

    phone_number(value, field=field)


def _check_email_address(value: str, field: str) -> None:
    from duly.gateways.addresses import email_address

    email_address(value, field=field)
