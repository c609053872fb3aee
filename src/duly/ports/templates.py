"""Who turns templates into texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from duly.errors import InvalidTemplate

LOCALE_CHARACTERS_MAX: Final = 35
"""What RFC 5646, 4.4.1 asks of everybody who stores language tags."""

_LOCALE: Final = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")


class MailText(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered mail. `subject` is one line; `html` is the alternative form of `text`."""

    subject: str
    text: str
    html: str | None = None


class TemplateKeeper(Protocol):
    """Renders templates by name, for a tenant and a locale. *values* are what the template may name.

    A locale falls back: ``de-AT``, then ``de``, then the default, which is also what None asks for.
    """

    async def text(self, name: str, *, tenant: str, locale: str | None, values: Mapping[str, object]) -> str:
        """The text *name*. Raises `InvalidTemplate` when it is missing, or names a value that is not there."""

    async def mail(self, name: str, *, tenant: str, locale: str | None, values: Mapping[str, object]) -> MailText:
        """The mail *name*: its subject, text and HTML form. Raises `InvalidTemplate` as `text` does."""


def fall_back_chain(locale: str | None) -> tuple[str, ...]:
    """Where to look for *locale*, in order: ``("de-AT", "de", "")``. The last is the default.

    Each in the usual form (``de_at`` is ``de-AT``), shortened as RFC 4647, 3.4 does. Raises `InvalidTemplate`.
    """
    if locale is None:
        return ("",)
    if len(locale) > LOCALE_CHARACTERS_MAX or not _LOCALE.fullmatch(locale):
        raise InvalidTemplate(f'{locale!r:.60} is no locale. Use a language and a region, such as "de" or "de-AT".')
    subtags = [_usual_form(subtag, place) for place, subtag in enumerate(re.split("[-_]", locale))]
    found: list[str] = []
    while subtags:
        found.append("-".join(subtags))
        subtags.pop()
        # A single letter announces what follows it, and says nothing alone.
        while subtags and len(subtags[-1]) == 1:
            subtags.pop()
    return (*found, "")


def _usual_form(subtag: str, place: int) -> str:
    """A subtag as RFC 5646, 2.1.1 writes it: language, Script, REGION."""
    if place and len(subtag) == 2:
        return subtag.upper()
    return subtag.title() if place and len(subtag) == 4 else subtag.lower()
