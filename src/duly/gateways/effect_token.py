"""Tokens that go out with an effect and come back with its receipts: which effect a receipt is about. Pure.

A token is the effect's id and an HMAC-SHA256 over it and the gateway's name. It is no secret; nobody else can make one,
so that not even a signed report of the provider can name another application's effect. It lets a receipt settle an
outcome that is unknown, when we never learnt the provider's id.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from duly.errors import ConfigurationError
from duly.gateways.settings import revealed
from duly.ports.secret import Secret

SECRET_CHARACTERS_MIN: Final = 16
TOKEN_CHARACTERS_MAX: Final = 200

_SIGNATURE_CHARACTERS: Final = 43


class EffectTokens:
    """Makes and reads the tokens of one gateway. The first secret signs, all of them verify: that is how to rotate."""

    def __init__(self, label: str, gateway: str, secrets: Sequence[Secret | str]) -> None:
        """*gateway* is the name that is stored. Raises `ConfigurationError`, which does not repeat a secret."""
        texts = [revealed(secret) for secret in secrets]
        if not texts or min(map(len, texts)) < SECRET_CHARACTERS_MIN:
            raise ConfigurationError(
                [
                    f"{label}: receipt_secrets holds {len(secrets)} secrets, and each needs {SECRET_CHARACTERS_MIN} "
                    "characters or more. Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                ]
            )
        self._gateway = gateway.encode()
        self._secrets = tuple(text.encode() for text in texts)

    def token(self, effect_id: str) -> str:
        """The token of an effect: letters, digits, ``-`` and ``_`` for an id of these."""
        return f"{effect_id}-{self._signature(effect_id, self._secrets[0])}"

    def effect_of(self, token: str | None) -> str | None:
        """The id of the effect that *token* names; None for a token that is not ours."""
        if token is None or not _SIGNATURE_CHARACTERS + 1 < len(token) <= TOKEN_CHARACTERS_MAX:
            return None
        effect_id, signature = token[: -_SIGNATURE_CHARACTERS - 1], token[-_SIGNATURE_CHARACTERS:]
        signed = [self._signature(effect_id, secret) for secret in self._secrets]
        if token[-_SIGNATURE_CHARACTERS - 1] != "-" or not any(_same(signature, one) for one in signed):
            return None
        return effect_id

    def _signature(self, effect_id: str, secret: bytes) -> str:
        # The name of a gateway is printable, so NUL parts it from the id.
        signed = b"\0".join((b"duly-effect", self._gateway, effect_id.encode(errors="replace")))
        return urlsafe_b64encode(hmac.digest(secret, signed, sha256)).rstrip(b"=").decode()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
