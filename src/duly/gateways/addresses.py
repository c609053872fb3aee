"""Addresses of people: checked and brought into the one form that providers take. Nothing is looked up in the DNS."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Final

from duly.errors import ConfigurationError, InvalidField

PHONE_NUMBER_CHARACTERS_MAX: Final = 40
SEEN_CHARACTERS_MAX: Final = 60

# phonenumbers digs a number out of any prose, and drops an extension. An address must be nothing but a number.
_NUMBER_ONLY: Final = re.compile(r"[+\d\s().\-/\u2010-\u2015]+")


def phone_number(value: object, *, field: str, region: str | None = None) -> str:
    """*value* in E.164 form (``+4915112345678``). Raises `InvalidField`.

    *region* (``"DE"``) is the country of numbers that are written without ``+``; without it those are refused.
    """
    phonenumbers = _phonenumbers()
    if not isinstance(value, str) or len(value) > PHONE_NUMBER_CHARACTERS_MAX or not _NUMBER_ONLY.fullmatch(value):
        raise _no_phone_number(field, value, "it holds more than a number")
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException as error:
        raise _no_phone_number(field, value, str(error).removeprefix(f"({error.error_type}) ")) from None
    if not phonenumbers.is_valid_number(number):
        raise _no_phone_number(field, value, "no country has such a number")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def require_phone_numbers() -> None:
    """Refuse to go on without phonenumbers. Raises `ConfigurationError` that says what to install."""
    _phonenumbers()


def require_email_addresses() -> None:
    """Refuse to go on without email-validator. Raises `ConfigurationError` that says what to install."""
    _email_validator()


def check_region(region: str | None) -> None:
    """Refuse a region that phonenumbers does not know. Raises `ConfigurationError`."""
    if region is not None and region not in _phonenumbers().SUPPORTED_REGIONS:
        raise ConfigurationError([f'region={region!r} is no country. Use two capital letters, such as "DE".'])
    _phonenumbers()


def email_address(value: object, *, field: str) -> str:
    """*value* in the form that SMTP takes: the domain in ASCII (``xn--…``). Raises `InvalidField`.

    A local part beyond ASCII needs SMTPUTF8 on every server on the way (RFC 6531) and is refused.
    """
    email_validator = _email_validator()
    if not isinstance(value, str):
        raise InvalidField(field, f"{field} is no e-mail address: {_seen(value)}. Use the form name@domain.")
    try:
        found = email_validator.validate_email(value, check_deliverability=False, allow_smtputf8=False)
    except email_validator.EmailNotValidError as error:
        raise InvalidField(
            field, f"{field} is no e-mail address: {_seen(value)} ({error}). Use the form name@domain."
        ) from None
    return str(found.ascii_email or found.normalized)


def _phonenumbers() -> ModuleType:
    try:
        import phonenumbers
    except ImportError:
        raise ConfigurationError(
            ["Phone numbers are checked with phonenumbers, which is not installed: pip install 'duly[sms]'"]
        ) from None
    return phonenumbers


def _email_validator() -> ModuleType:
    try:
        import email_validator
    except ImportError:
        raise ConfigurationError(
            ["E-mail addresses are checked with email-validator, which is not installed: pip install 'duly[mail]'"]
        ) from None
    return email_validator


def _no_phone_number(field: str, value: object, why: str) -> InvalidField:
    return InvalidField(
        field,
        f"{field} is no phone number: {_seen(value)} ({why.rstrip('.')}). "
        "Use the international form, for instance +49 151 12345678.",
    )


def _seen(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= SEEN_CHARACTERS_MAX else shown[: SEEN_CHARACTERS_MAX - 1] + "…"
