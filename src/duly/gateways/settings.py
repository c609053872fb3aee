"""What every gateway is told when it is made, and the second lock on a gateway that is not live."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from duly.errors import ConfigurationError, InvalidMessage
from duly.messages.message import Effect
from duly.ports.secret import Secret
from duly.states.attempt import NotSent

NOT_LIVE: Final = NotSent(reason="not live", permanent=True)
"""What a gateway answers that was not told ``live=True``. The sender suppresses such effects before that."""

SUMMARY_CHARACTERS_MAX: Final = 80


def check_settings(gateway: str, name: str, slots: int, **durations: timedelta) -> None:
    """Refuse settings that no gateway can work with. Raises `ConfigurationError` with all that was found."""
    mistakes: list[str] = []
    if not name or not name.isprintable():
        mistakes.append(f"{gateway}: the name {name!r} names nothing. Use printable text, and keep it: it is stored.")
    if slots < 1:
        mistakes.append(f"{gateway} {name!r}: slots={slots} lets no call through. Use 1 or more.")
    mistakes += [
        f"{gateway} {name!r}: {setting}={duration} is no time at all. Use a duration above zero."
        for setting, duration in durations.items()
        if duration <= timedelta()
    ]
    if mistakes:
        raise ConfigurationError(mistakes)


def wrong_effect(name: str, effect: Effect) -> InvalidMessage:
    """The error for an effect of a type that gateway *name* does not take."""
    return InvalidMessage(
        f"The gateway {name!r} was handed a {type(effect).__name__}, which it does not take. "
        "Request it through a gateway whose `effects` name that type."
    )


def revealed(secret: Secret | str) -> str:
    """The text of a setting that is secret. Hand it straight on; never log it or put it into an error."""
    return secret.reveal() if isinstance(secret, Secret) else secret


def one_line(text: str, characters_max: int = SUMMARY_CHARACTERS_MAX) -> str:
    """*text* on one line, control characters left out, cut to *characters_max* with an ellipsis."""
    flat = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return flat if len(flat) <= characters_max else flat[: characters_max - 1] + "…"
