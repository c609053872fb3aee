"""What a handler asks effects of: it writes intents, and cannot send."""

from __future__ import annotations

from typing import Final

from duly.errors import InvalidInput, PayloadTooLarge
from duly.messages.identity import derived_id, digest_of
from duly.messages.message import Effect
from duly.ports.change import Intent
from duly.telemetry import current_trace
from duly.work.scope import Scope

REQUEST_BYTES_MAX: Final = 256 * 1024
KEY_CHARACTERS_MAX: Final = 200


class Effects:
    """Requests effects. Each request is an intent in the present transaction; it is attempted after the commit."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def request(self, effect: Effect, *, key: str | None = None) -> str:
        """Ask for *effect*; its id. The same request by the same cause is the same effect, also when it is made again.

        *key* tells several requests of one handler apart by something better than their order.
        Raises `NoGateway`, `InvalidMessage`, `InvalidField` naming the field, `PayloadTooLarge`.
        """
        scope = self._scope
        handling = scope.handling()
        if key is not None and not 0 < len(key) <= KEY_CHARACTERS_MAX:
            raise InvalidInput(f"An effect's key has 1 to {KEY_CHARACTERS_MAX} characters; this one has {len(key)}.")
        cls = type(effect)
        gateway = scope.gateway(cls)
        scope.catalog.codec(cls).encode_whole(effect)
        effect_id = derived_id(
            scope.tenant,
            handling.cause.id,
            handler=f"{handling.identity}#effect",
            ordinal=key if key is not None else handling.next_effect(),
        )
        prepared = gateway.prepare(effect, effect_id)
        if len(prepared.body) > REQUEST_BYTES_MAX:
            raise PayloadTooLarge(
                f"The request for {cls.__qualname__} has {len(prepared.body):,} bytes; the limit is "
                f"{REQUEST_BYTES_MAX:,}. Send a link to what is large."
            )
        subject_field = cls.__duly__.subject
        scope.intend(
            Intent(
                id=effect_id,
                type=cls.__duly__.name,
                channel=gateway.channel,
                gateway=gateway.name,
                key=effect_id,
                handler=handling.handler,
                chain=(*handling.cause.chain, handling.cause.link()),
                subject=str(getattr(effect, subject_field)) if subject_field else (handling.cause.subject or effect_id),
                digest=digest_of(prepared.recipient, prepared.content_type, prepared.body),
                prepared=prepared,
                trace=current_trace(),
            )
        )
        return effect_id
