"""Gateways for the desk: one line per message on standard output. Always live, since nothing leaves the machine.

They refuse the same numbers and addresses as the real ones do, so that nothing changes on the day these are put in.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Final, TextIO

from duly.gateways.addresses import email_address, phone_number, require_email_addresses, require_phone_numbers
from duly.gateways.settings import check_settings, one_line, wrong_effect
from duly.messages.message import Effect
from duly.messages.standard_effects import Email, Sms
from duly.ports.gateway import Call, Prepared
from duly.states.attempt import Accepted, Outcome
from duly.states.policy import Keeps
from duly.states.retry import EFFECT_RETRY, RetrySchedule

LINE_CHARACTERS_MAX: Final = 200


class _Console:
    """Prints what was prepared."""

    def __init__(self, name: str, channel: str, takes: type[Effect], stream: TextIO | None) -> None:
        check_settings(type(self).__name__, name, 1)
        self.name: Final = name
        self.channel: Final = channel
        self.effects: Final[tuple[type[Effect], ...]] = (takes,)
        self.live: Final = True
        self.slots: Final = 10
        self.call_timeout: Final = timedelta(seconds=5)
        self.retry: Final[RetrySchedule] = EFFECT_RETRY
        self.keeps: Final = Keeps()
        self._stream = stream

    async def open(self) -> None:
        """Nothing to do."""

    async def call(self, call: Call) -> Outcome:
        """Print one line."""
        text = one_line(call.prepared.body.decode(errors="replace"), LINE_CHARACTERS_MAX)
        # The stream of this moment, so that whoever redirects standard output sees it.
        print(
            f"[{self.name}] to {one_line(call.prepared.recipient)}: {text}", file=self._stream or sys.stdout, flush=True
        )
        return Accepted(provider_id=f"{self.name}-{call.effect_id}-{call.number}", evidence="printed")

    async def close(self) -> None:
        """Nothing to do; the stream is not ours to close."""


class ConsoleSms(_Console):
    """Prints each `Sms`."""

    def __init__(self, name: str = "console-sms", stream: TextIO | None = None) -> None:
        require_phone_numbers()
        super().__init__(name, "sms", Sms, stream)

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """The text as it is. Raises `InvalidField` for the number."""
        if not isinstance(effect, Sms):
            raise wrong_effect(self.name, effect)
        return _plain(phone_number(effect.to, field="to"), effect.text, effect.text)


class ConsoleMail(_Console):
    """Prints each `Email`: its subject and the beginning of its text."""

    def __init__(self, name: str = "console-mail", stream: TextIO | None = None) -> None:
        require_email_addresses()
        super().__init__(name, "email", Email, stream)

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """Subject and text; the HTML form is not shown. Raises `InvalidField` for the address."""
        if not isinstance(effect, Email):
            raise wrong_effect(self.name, effect)
        return _plain(email_address(effect.to, field="to"), effect.subject, f"{effect.subject} – {effect.text}")


def _plain(recipient: str, summary: str, text: str) -> Prepared:
    return Prepared(
        recipient=recipient, summary=one_line(summary), content_type="text/plain; charset=utf-8", body=text.encode()
    )
