"""What a handler asks templates of: texts, rendered once, in the handler that requests the effect."""

from __future__ import annotations

from typing import Protocol

from duly.ports.templates import MailText, TemplateKeeper
from duly.work.scope import Handling


class TemplateScope(Protocol):
    """What of the unit of work is needed here."""

    @property
    def tenant(self) -> str:
        """Whose data it is."""

    @property
    def templates(self) -> TemplateKeeper:
        """The application's keeper."""

    def handling(self) -> Handling:
        """The call under way. Raises `ScopeClosed` when there is none."""


class Templates:
    """Renders templates of the present tenant. What comes out is what the effect holds, whenever it is attempted."""

    def __init__(self, scope: TemplateScope) -> None:
        self._scope = scope

    async def text(self, name: str, /, *, locale: str | None = None, **values: object) -> str:
        """The text *name* with *values*. *locale* falls back: ``de-AT``, ``de``, the default.

        Raises `InvalidTemplate` when there is none, or when it names a value that is not given.
        """
        self._scope.handling()
        return await self._scope.templates.text(name, tenant=self._scope.tenant, locale=locale, values=values)

    async def mail(self, name: str, /, *, locale: str | None = None, **values: object) -> MailText:
        """The mail *name* with *values*: subject, text and, if there is one, the HTML form. As `text` otherwise."""
        self._scope.handling()
        return await self._scope.templates.mail(name, tenant=self._scope.tenant, locale=locale, values=values)
