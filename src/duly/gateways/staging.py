"""A copy of the production database on a laptop texts nobody: a gateway that reaches only whom it was told to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, get_type_hints

import msgspec

from duly.errors import ConfigurationError
from duly.gateways.settings import NOT_LIVE
from duly.messages.message import Effect
from duly.ports.gateway import Call, Gateway, LooksUp, Prepared, TakesReceipts
from duly.states.attempt import Outcome

REDIRECTED: Final = "[redirected] "
_IN_NUMBERS: Final = re.compile(r"[().\-/]")


def only_to(
    gateway: Gateway, *, allow: Iterable[str] = (), redirect_to: str | None = None, field: str = "to"
) -> Gateway:
    """*gateway*, for recipients in *allow* only: addresses, numbers, or ``@shop.example`` for a whole domain.

    Any other effect is written down as ``suppressed (not live)``; with *redirect_to* it goes to that one address, and
    its summary says so. *field* is the field of the effects that says for whom they are. Raises `ConfigurationError`.
    """
    names = (allow,) if isinstance(allow, str) else tuple(allow)
    mistakes: list[str] = []
    if redirect_to is not None:
        mistakes = [
            f"only_to({gateway.name!r}): {effect.__name__} has no field {field!r} to put the other address into. Name "
            'the one that says for whom it is: field="…".'
            for effect in gateway.effects
            if field not in get_type_hints(effect)
        ]
    if any(not _folded(name) for name in (*names, *([] if redirect_to is None else [redirect_to]))):
        mistakes.append(f"only_to({gateway.name!r}): an address is empty. Name somebody, or leave it out.")
    if mistakes:
        raise ConfigurationError(mistakes)
    return _OnlyTo(gateway, names, redirect_to, field)


class _OnlyTo:
    """All that the gateway inside is and can, but for whom it reaches."""

    def __init__(self, gateway: Gateway, allow: tuple[str, ...], redirect_to: str | None, field: str) -> None:
        self.name: Final = gateway.name
        self.channel: Final = gateway.channel
        self.effects: Final = gateway.effects
        self.live: Final = gateway.live
        self.slots: Final = gateway.slots
        self.call_timeout: Final = gateway.call_timeout
        self.retry: Final = gateway.retry
        self.keeps: Final = gateway.keeps
        self._gateway = gateway
        self._redirect_to = redirect_to
        self._field = field
        self._allowed = frozenset(map(_folded, (*allow, *([] if redirect_to is None else [redirect_to]))))
        # In the instance, not in the class: whoever asks whether a gateway can look up is told of the one inside.
        if isinstance(gateway, LooksUp):
            self.look_up = gateway.look_up
        if isinstance(gateway, TakesReceipts):
            self.receipts = gateway.receipts

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """What the gateway inside makes of it, for whom it may reach. Raises `InvalidInput` as that does."""
        prepared = self._gateway.prepare(effect, effect_id)
        if self._is_allowed(prepared.recipient):
            return prepared
        if self._redirect_to is None:
            return msgspec.structs.replace(prepared, suppressed=NOT_LIVE.reason)
        # To a type checker a message is no Struct; see duly.messages.message.
        redirected = msgspec.structs.replace(effect, **{self._field: self._redirect_to})  # type: ignore[type-var]
        prepared = self._gateway.prepare(redirected, effect_id)
        if not self._is_allowed(prepared.recipient):
            raise ConfigurationError(
                [f"only_to({self.name!r}): it is stored in another form than redirect_to. Write +49… or name@domain."]
            )
        return msgspec.structs.replace(prepared, summary=REDIRECTED + prepared.summary)

    async def open(self) -> None:
        """Make ready to call."""
        await self._gateway.open()

    async def call(self, call: Call) -> Outcome:
        """Try once, if it is for somebody who may be reached: what was requested elsewhere has not been asked yet."""
        return await self._gateway.call(call) if self._is_allowed(call.prepared.recipient) else NOT_LIVE

    async def close(self) -> None:
        """Let go of connections."""
        await self._gateway.close()

    def _is_allowed(self, recipient: str) -> bool:
        folded = _folded(recipient)
        _, at, domain = folded.rpartition("@")
        return folded in self._allowed or (bool(at) and f"@{domain}" in self._allowed)


def _folded(address: str) -> str:
    """*address* without case and spaces, a number without dashes and brackets: people write them in many ways."""
    folded = "".join(address.split()).casefold()
    return _IN_NUMBERS.sub("", folded) if folded.startswith("+") and "@" not in folded else folded
