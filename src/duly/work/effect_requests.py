"""What a handler asks effects of: it writes intents, and cannot send."""

from __future__ import annotations

from typing import Final

from duly.errors import CascadeTooDeep, InvalidField, InvalidInput, PayloadTooLarge
from duly.messages.envelope import CASCADE_DEPTH_MAX, Link
from duly.messages.fields import ERASED
from duly.messages.identity import derived_id, digest_of, recipient_hash
from duly.messages.message import Effect
from duly.ports.change import Intent
from duly.ports.gateway import Prepared, encode_attachments
from duly.telemetry import current_trace
from duly.work.moments import Moment, milliseconds_of
from duly.work.scope import Scope

REQUEST_BYTES_MAX: Final = 256 * 1024
KEY_CHARACTERS_MAX: Final = 200
REFERENCE_CHARACTERS_MAX: Final = 200


class Effects:
    """Requests effects. Each request is an intent in the present transaction; it is attempted after the commit."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def request(
        self,
        effect: Effect,
        *,
        key: str | None = None,
        reference: str | None = None,
        at: Moment | None = None,
        expires: Moment | None = None,
        urgent: bool = False,
    ) -> str:
        """Ask for *effect*; its id. The same request by the same cause is the same effect, also when it is made again.

        *key* tells several requests of one handler apart by something better than their order. *reference* is what you
        find it by later, such as an order's number; never personal data. *at* is when it may go out at the earliest,
        *expires* when it is no longer wanted: a time with a zone, or so long after the commit, by the database's clock.
        *urgent* effects (one-time codes) overtake those that are not.
        Raises `NoGateway`, `InvalidMessage`, `InvalidField` naming the field, `PayloadTooLarge`, `InvalidInput`,
        `CascadeTooDeep`.
        """
        scope = self._scope
        handling = scope.handling()
        _check_text("key", key, KEY_CHARACTERS_MAX)
        _check_text("reference", reference, REFERENCE_CHARACTERS_MAX)
        at_ms, after_ms = milliseconds_of("at", at)
        expires_at_ms, expires_after_ms = milliseconds_of("expires", expires)
        cls = type(effect)
        chain = handling.chain
        _check_chain(cls, chain)
        way = scope.way(cls)
        codec = scope.catalog.codec(cls)
        codec.encode_whole(effect)
        _check_not_erased(effect, codec.personal)
        effect_id = derived_id(
            scope.tenant,
            handling.cause.id,
            handler=f"{handling.identity}#effect",
            ordinal=key if key is not None else handling.next_effect(),
        )
        prepared = way.gateway.prepare(effect, effect_id)
        _check_size(cls, prepared)
        subject_field = cls.__duly__.subject
        scope.intend(
            Intent(
                id=effect_id,
                type=cls.__duly__.name,
                channel=way.gateway.channel,
                gateway=way.gateway.name,
                policy=way.policy,
                key=effect_id,
                handler=handling.handler,
                chain=chain,
                correlation=handling.cause.correlation,
                subject=str(getattr(effect, subject_field)) if subject_field else (handling.cause.subject or effect_id),
                digest=request_digest(prepared),
                prepared=prepared,
                recipient_hash=recipient_hash(scope.recipient_hash_key, way.gateway.channel, prepared.recipient),
                reference=reference,
                urgent=urgent,
                at_ms=at_ms,
                after_ms=after_ms or 0,
                expires_at_ms=expires_at_ms,
                expires_after_ms=expires_after_ms,
                trace=current_trace(),
            )
        )
        return effect_id


def request_digest(prepared: Prepared) -> str:
    """What tells one frozen request from another."""
    files = encode_attachments(prepared.attachments)
    parts = (prepared.recipient, prepared.content_type, prepared.body)
    return digest_of(*parts, files) if prepared.attachments else digest_of(*parts)


def _check_not_erased(effect: Effect, personal: tuple[str, ...]) -> None:
    """Refuse what was made from the data of a person who was erased meanwhile. Raises `InvalidField`."""
    cls: type = type(effect)
    for field in personal:
        if getattr(effect, field) == ERASED:
            raise InvalidField(
                field,
                f"{field} of {cls.__qualname__} was erased, together with the person whose it was: there is "
                "nobody to send it to any more.",
            )


def _check_text(name: str, value: str | None, characters_max: int) -> None:
    if value is not None and (not 0 < len(value) <= characters_max or not value.isprintable()):
        raise InvalidInput(
            f"An effect's {name} has 1 to {characters_max} printable characters; this one has {len(value)}."
        )


def _check_chain(cls: type[Effect], chain: tuple[Link, ...]) -> None:
    if len(chain) > CASCADE_DEPTH_MAX:
        steps = " → ".join(link.name for link in chain)
        raise CascadeTooDeep(
            f"{cls.__qualname__} would be consequence number {len(chain)} of one command; the limit is "
            f"{CASCADE_DEPTH_MAX}. Look for handlers of outcomes that request what brings the same outcome again: "
            f"{steps} → {cls.__duly__.name}"
        )


def _check_size(cls: type[Effect], prepared: Prepared) -> None:
    if len(prepared.body) > REQUEST_BYTES_MAX:
        raise PayloadTooLarge(
            f"The request for {cls.__qualname__} has {len(prepared.body):,} bytes; the limit is "
            f"{REQUEST_BYTES_MAX:,}. Send a link to what is large, or attach it by reference."
        )
