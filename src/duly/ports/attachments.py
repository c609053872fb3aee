"""Who keeps the bytes of attachments, so that an invoice's PDF is not in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from duly.errors import AttachmentLost, PayloadTooLarge
from duly.messages.attachment import AttachmentRef, bytes_digest, checked_attachment_name, checked_content_type

ATTACHMENT_BYTES_MAX: Final = 10 * 1024 * 1024


class AttachmentKeeper(Protocol):
    """Keeps bytes by tenant, by the person whose data they are, and by their digest.

    Architecture invariant: what one tenant keeps, no other can read, whatever the reference. The same bytes of the same
    person are kept once, so a handler that runs twice keeps nothing twice.
    """

    async def keep(self, tenant: str, subject: str, name: str, content_type: str, content: bytes) -> AttachmentRef:
        """Keep *content* for good before returning. Raises `InvalidField`, `PayloadTooLarge`."""

    async def read(self, tenant: str, attachment: AttachmentRef) -> bytes:
        """The bytes. Raises `AttachmentLost` when they are not there, or are not those that were kept."""

    async def erase(self, tenant: str, subject: str) -> None:
        """Remove everything of a person. Nothing there is fine: an erasure may be repeated."""

    async def forget(self, tenant: str, references: Sequence[str]) -> None:
        """Remove what these name; what is gone already, or is no reference, is passed over.

        Two effects with the same bytes of one person share a reference: forget it when the last of them is settled.
        """


def described(reference: str, name: str, content_type: str, content: bytes) -> AttachmentRef:
    """What is said about *content*. Raises `InvalidField`, `PayloadTooLarge`."""
    if len(content) > ATTACHMENT_BYTES_MAX:
        raise PayloadTooLarge(
            f"An attachment has {len(content):,} bytes; the limit is {ATTACHMENT_BYTES_MAX:,}. Send a link to what is "
            "large."
        )
    return AttachmentRef(
        name=checked_attachment_name(name),
        content_type=checked_content_type(content_type),
        reference=reference,
        digest=bytes_digest(content),
        size=len(content),
    )


def verified(attachment: AttachmentRef, content: bytes | None) -> bytes:
    """*content* if it is what *attachment* says. Raises `AttachmentLost`, which quotes no name of a file."""
    if content is None:
        raise AttachmentLost(
            f"The bytes of attachment {attachment.digest[:12]} are not there: they were erased, or this process looks "
            "in another place than the one that kept them. Give every process the same keeper of attachments."
        )
    if len(content) != attachment.size or bytes_digest(content) != attachment.digest:
        raise AttachmentLost(
            f"The bytes of attachment {attachment.digest[:12]} have changed since they were kept: {attachment.size:,} "
            f"bytes then, {len(content):,} now. Restore them from a backup, or request the effect again."
        )
    return content
