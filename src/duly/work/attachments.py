"""What a handler asks attachments of: it keeps bytes, and gets a reference that an effect can carry."""

from __future__ import annotations

from typing import Protocol

from duly.messages.attachment import AttachmentRef
from duly.ports.attachments import AttachmentKeeper
from duly.work.scope import Handling


class AttachmentScope(Protocol):
    """What of the unit of work is needed here."""

    @property
    def tenant(self) -> str:
        """Whose data it is."""

    @property
    def attachments(self) -> AttachmentKeeper:
        """The application's keeper."""

    def handling(self) -> Handling:
        """The call under way. Raises `ScopeClosed` when there is none."""


class Attachments:
    """Keeps files for the effects of a handler. The bytes are kept at once; the effect follows the commit."""

    def __init__(self, scope: AttachmentScope) -> None:
        self._scope = scope

    async def keep(self, name: str, content: bytes, *, content_type: str, subject: str | None = None) -> AttachmentRef:
        """Keep *content*; what an effect refers to it by. The same bytes are kept once, however often this runs.

        *subject* is the person whose data it is, as for effects: that of the message handled by default.
        Raises `InvalidField`, `PayloadTooLarge`.
        """
        cause = self._scope.handling().cause
        whose = subject if subject is not None else (cause.subject or cause.id)
        return await self._scope.attachments.keep(self._scope.tenant, whose, name, content_type, content)
