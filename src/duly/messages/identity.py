"""Identity comes from the cause: what a handler creates gets an id derived from what it heard.

Doing it again makes the same thing again, which is what stops a redelivery from sending a second SMS.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Final
from zlib import crc32

from duly.errors import InvalidCommandId, InvalidTenant

TENANT_CHARACTERS_MAX: Final = 100
COMMAND_ID_CHARACTERS_MAX: Final = 200
_TENANT: Final = re.compile(rf"[A-Za-z0-9._:-]{{1,{TENANT_CHARACTERS_MAX}}}")
BUCKETS: Final = 32
"""How many buckets the keys of the outbox fall into; part of the stored form."""


def derived_id(tenant: str, cause: str, *, handler: str, ordinal: int | str) -> str:
    """The id of the *ordinal*-th thing that *handler* makes because of *cause*: a UUID as text.

    *ordinal* is a count from 0 or the caller's own key. The parts are length-prefixed, so none can imitate another.
    """
    raw = cause.encode()
    made = _counted(handler, ordinal) if isinstance(ordinal, int) else _sized(handler) + _KEY + _sized(ordinal)
    digest = _ids_of(tenant).copy()
    digest.update(len(raw).to_bytes(4, "big") + raw + made)
    return b"-".join(_groups(digest.hexdigest().encode())).decode()


def _sized(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(4, "big") + raw


_groups: Final = Struct("8s4s4s4s12s").unpack
_KEY: Final = _sized("k")
_COUNT: Final = _sized("n")


# Tenants and handlers are few and causes are many: what is the same in the next id is kept.
@lru_cache(maxsize=1024)
def _ids_of(tenant: str) -> blake2b:
    return blake2b(_sized(tenant), digest_size=16, person=b"duly-id")


@lru_cache(maxsize=1024)
def _counted(handler: str, ordinal: int) -> bytes:
    return _sized(handler) + _COUNT + _sized(str(ordinal))


def digest_of(*parts: str | bytes) -> str:
    """A 256-bit digest of the parts, hexadecimal; tells one body from another."""
    digest = _digests.copy()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()


_digests: Final = blake2b(digest_size=32)


def bucket_of(lane: str) -> int:
    """The bucket of a lane, 0 to `BUCKETS` - 1, stable across processes and releases."""
    return crc32(lane.encode()) % BUCKETS


def lane_of(tenant: str, key: str) -> str:
    """The lane of a key; the tenant is part of it."""
    return f"{tenant}/{key}"


def checked_tenant(tenant: str | None) -> str:
    """*tenant* if it can name one: 1 to 100 letters, digits, ``.``, ``_``, ``-`` or ``:``.

    Raises `InvalidTenant`.
    """
    if tenant is None:
        raise InvalidTenant(
            "No tenant was given. Pass tenant='…' to the call, or Duly(tenant='main') for an application with one."
        )
    if not _is_text(tenant) or not _TENANT.fullmatch(tenant):
        raise InvalidTenant(
            f"{tenant!r:.200} cannot name a tenant. Use 1 to {TENANT_CHARACTERS_MAX} ASCII letters, digits, "
            "'.', '_', '-', ':'."
        )
    return tenant


def checked_command_id(command_id: str) -> str:
    """*command_id* if it can be one: 1 to 200 printable characters. Raises `InvalidCommandId`."""
    if not _is_text(command_id) or not 0 < len(command_id) <= COMMAND_ID_CHARACTERS_MAX or not command_id.isprintable():
        raise InvalidCommandId(
            f"{command_id!r:.200} cannot be a command id. Use 1 to {COMMAND_ID_CHARACTERS_MAX} printable characters, "
            "for instance the id that the client made for this click."
        )
    return command_id


def _is_text(value: object) -> bool:
    """Whether it is a str: callers without a type checker pass anything."""
    return isinstance(value, str)


def recipient_hash(key: str, channel: str, recipient: str) -> str:
    """A keyed hash of an address, hexadecimal: it finds a suppressed recipient after the address was erased.

    *key* is hexadecimal. Letters of either case and spaces around are the same address.
    """
    digest = blake2b(key=bytes.fromhex(key), digest_size=32, person=b"duly-recipient")
    digest.update(f"{channel}\0{recipient.strip().casefold()}".encode(errors="replace"))
    return digest.hexdigest()
