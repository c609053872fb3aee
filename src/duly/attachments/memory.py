"""Attachments in the memory of one process: for tests and for the desk."""

from __future__ import annotations

from collections.abc import Sequence

from duly.messages.attachment import AttachmentRef, bytes_digest
from duly.messages.identity import digest_of
from duly.ports.attachments import described, verified


class MemoryAttachments:
    """Keeps bytes until the process ends."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], bytes] = {}

    async def keep(self, tenant: str, subject: str, name: str, content_type: str, content: bytes) -> AttachmentRef:
        """Keep *content*. Raises `InvalidField`, `PayloadTooLarge`."""
        attachment = described(f"{_owner(subject)}/{bytes_digest(content)}", name, content_type, content)
        self._kept[tenant, attachment.reference] = bytes(content)
        return attachment

    async def read(self, tenant: str, attachment: AttachmentRef) -> bytes:
        """The bytes. Raises `AttachmentLost`."""
        return verified(attachment, self._kept.get((tenant, attachment.reference)))

    async def erase(self, tenant: str, subject: str) -> None:
        """Remove everything of a person."""
        await self.forget(
            tenant,
            [ref for owner, ref in self._kept if owner == tenant and ref.startswith(f"{_owner(subject)}/")],
        )

    async def forget(self, tenant: str, references: Sequence[str]) -> None:
        """Remove what these name."""
        for reference in references:
            self._kept.pop((tenant, reference), None)


def _owner(subject: str) -> str:
    return digest_of(subject)[:32]
