"""Templates that tenants edit: found in the application's own storage, rendered in a sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import msgspec

from duly.errors import InvalidTemplate
from duly.ports.templates import MailText, TemplateKeeper, fall_back_chain
from duly.templates.jinja import one_line
from duly.templates.plain import plain_values
from duly.templates.sandbox import Sandbox


class TenantTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant has written under one name, for one locale.

    `html` is the alternative form of `text`; without it the mail has none. Without a `subject` that of the
    application's own template stands.
    """

    text: str
    subject: str | None = None
    html: str | None = None


class TenantTexts(Protocol):
    """Finds what tenants have written; the application's own storage."""

    async def find(self, tenant: str, name: str, locale: str) -> TenantTemplate | None:
        """The template *name* of *tenant* for exactly this *locale*; the empty one is the default."""


class MemoryTenantTexts:
    """Tenants' templates in the memory of one process: for tests and for the desk."""

    def __init__(self) -> None:
        self._templates: dict[tuple[str, str, str], TenantTemplate] = {}

    def put(self, tenant: str, name: str, template: TenantTemplate, *, locale: str | None = None) -> None:
        """Keep *template*, in the place of an earlier one."""
        self._templates[tenant, name, fall_back_chain(locale)[0]] = template

    async def find(self, tenant: str, name: str, locale: str) -> TenantTemplate | None:
        """The template *name* of *tenant* for exactly this *locale*."""
        return self._templates.get((tenant, name, locale))


class TenantTemplates:
    """What a tenant has written goes before what the application has, in whatever locale.

    Values are plain: text, numbers, dates, lists and dicts; also those for the application's own templates, so that a
    tenant's first edit does not fail on them. Rendering goes on in a thread, within the limits of `duly.templates`.
    """

    def __init__(self, source: TenantTexts, *, fall_back: TemplateKeeper | None = None) -> None:
        self._source = source
        self._fall_back = fall_back
        self._sandbox = Sandbox()

    async def text(self, name: str, *, tenant: str, locale: str | None, values: Mapping[str, object]) -> str:
        """The text *name*. Raises `InvalidTemplate`."""
        plain = plain_values(values)
        own = await self._find(tenant, name, locale)
        if own is None:
            return await self._application(name).text(name, tenant=tenant, locale=locale, values=plain)
        return await asyncio.to_thread(self._part, f"{name!r} of tenant {tenant}, text", own.text, plain)

    async def mail(self, name: str, *, tenant: str, locale: str | None, values: Mapping[str, object]) -> MailText:
        """The mail *name*: text and HTML form of one hand. Raises `InvalidTemplate`."""
        plain = plain_values(values)
        own = await self._find(tenant, name, locale)
        if own is None:
            return await self._application(name).mail(name, tenant=tenant, locale=locale, values=plain)
        subject: str | None = None
        if own.subject is None:
            others = await self._application(name).mail(name, tenant=tenant, locale=locale, values=plain)
            subject = others.subject
        return await asyncio.to_thread(self._mail, f"{name!r} of tenant {tenant}", own, plain, subject)

    async def preview(self, template: TenantTemplate, values: Mapping[str, object]) -> MailText:
        """*template* as it would come out, for whoever edits it: call this before it is stored.

        Raises `InvalidTemplate`, whose text is fit to be shown to the tenant. A missing subject is empty.
        """
        return await asyncio.to_thread(self._mail, "The template", template, plain_values(values), "")

    async def _find(self, tenant: str, name: str, locale: str | None) -> TenantTemplate | None:
        for step in fall_back_chain(locale):
            if found := await self._source.find(tenant, name, step):
                return found
        return None

    def _application(self, name: str) -> TemplateKeeper:
        if self._fall_back is None:
            raise InvalidTemplate(
                f"The tenant has no template {name!r:.200}, or one without a subject, and there is nothing to fall "
                "back on. Pass fall_back=FolderTemplates(…)."
            )
        return self._fall_back

    def _mail(self, label: str, own: TenantTemplate, values: Mapping[str, object], subject: str | None) -> MailText:
        written = self._part(f"{label}, subject", own.subject, values) if own.subject is not None else (subject or "")
        return MailText(
            subject=one_line(written),
            text=self._part(f"{label}, text", own.text, values),
            html=None if own.html is None else self._part(f"{label}, HTML", own.html, values, html=True),
        )

    def _part(self, label: str, source: str, values: Mapping[str, object], *, html: bool = False) -> str:
        try:
            return self._sandbox.render(source, values, html=html)
        except InvalidTemplate as error:
            raise InvalidTemplate(f"{label}, cannot be rendered: {error}.") from None
