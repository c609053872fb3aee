"""A file that goes with an effect: what is said about it. Its bytes are with the keeper of attachments."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

import msgspec

from duly.errors import InvalidField

ATTACHMENT_NAME_CHARACTERS_MAX: Final = 150
CONTENT_TYPE_CHARACTERS_MAX: Final = 100

# type/subtype without parameters, as RFC 6838, 4.2 restricts them.
_CONTENT_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
# Parts of these types hold mails and parts themselves, and may not be base64 (RFC 2045, 6.4).
_NO_FILE: Final = ("multipart/", "message/")


class AttachmentRef(msgspec.Struct, frozen=True, kw_only=True):
    """A file that goes with an effect. Its bytes lie with the keeper of attachments, under `reference`."""

    name: str
    content_type: str
    reference: str
    digest: str
    """SHA-256 of the bytes, hexadecimal: what is sent is what was requested."""
    size: int
    """Bytes."""


def bytes_digest(content: bytes) -> str:
    """The SHA-256 of *content*, hexadecimal."""
    return sha256(content).hexdigest()


def checked_attachment_name(name: str) -> str:
    """*name* if a recipient can save a file under it. Raises `InvalidField`."""
    if not 0 < len(name) <= ATTACHMENT_NAME_CHARACTERS_MAX:
        raise InvalidField(
            "name",
            f"An attachment's name has 1 to {ATTACHMENT_NAME_CHARACTERS_MAX} characters; this one has {len(name)}.",
        )
    # "=?": many programs read an encoded word there (RFC 2047, 5 forbids it), and would show another name.
    has_marks = any(mark in name for mark in ("/", "\\", "=?"))
    if not name.isprintable() or has_marks or name != name.strip() or not name.strip("."):
        raise InvalidField(
            "name",
            "The name of an attachment is a file's name, such as invoice.pdf: no slashes, no =?, no line breaks or "
            "other control characters, no space at its ends. Remove them.",
        )
    return name


def checked_content_type(content_type: str) -> str:
    """*content_type* if it is one of a file, such as ``application/pdf``. Raises `InvalidField`."""
    is_short = len(content_type) <= CONTENT_TYPE_CHARACTERS_MAX
    if not is_short or not _CONTENT_TYPE.fullmatch(content_type) or content_type.startswith(_NO_FILE):
        raise InvalidField(
            "content_type",
            f"{content_type!r:.120} is no content type of a file. Use type/subtype in lower case without parameters, "
            'such as "application/pdf"; "application/octet-stream" fits anything.',
        )
    return content_type
