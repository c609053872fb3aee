"""Asking a JSON provider whether it has what we sent: by a reference of ours, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from string import Formatter
from typing import Final
from urllib.parse import quote, urlsplit

from duly.errors import ConfigurationError
from duly.gateways.http import checked_url
from duly.gateways.http_messages import HttpResponse, field_at, json_document, provider_id
from duly.ports.gateway import Call, Found, LookUpAnswer, NotThere, Unclear
from duly.states.policy import LookUp

_OURS: Final = ("key", "effect_id")
"""Names of a template that are no fields of the effect."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class JsonLookUp:
    """Where to ask, and how to read the answer.

    *url* holds one name in braces: a field of the effect (``…/invoices?reference={reference}``), ``{key}`` or
    ``{effect_id}``. *confirm_url* is a source that lags less, or not at all, asked before anything is sent again.

    Without *list_field* the answer is the one thing: 404 says that it is not there. With it the answer holds a list at
    that path (``""``: is a list), and an empty one says so; then *reference_field* is where each item holds the
    reference, since a provider that does not know the filter would answer with everything it has. With
    *confirm_is_one* the answer at *confirm_url* is the one thing, whatever that at *url* is.
    """

    url: str
    id_field: str = "id"
    list_field: str | None = None
    reference_field: str | None = None
    confirm_url: str | None = None
    confirm_is_one: bool = False
    settle: timedelta = LookUp().settle
    lag: timedelta = LookUp().lag

    @property
    def keeps(self) -> LookUp:
        """What is declared of it."""
        return LookUp(settle=self.settle, lag=self.lag)

    def mistakes(self, gateway: str, fields: Mapping[str, object]) -> list[str]:
        """Why it cannot work for an effect with *fields*."""
        found: list[str] = []
        for url in (self.url, *([] if self.confirm_url is None else [self.confirm_url])):
            names = _names(url)
            if len(names) != 1 or names[0] not in {*fields, *_OURS} or "{" in urlsplit(url).netloc:
                found.append(
                    f"{gateway}: a URL of its look-up holds {', '.join(map(repr, names)) or 'nothing'} in braces. Put "
                    "one field of the effect into its path or query, or {key}, or {effect_id}."
                )
                continue
            try:
                checked_url(gateway, _filled(url, names[0], "1"))
            except ConfigurationError as error:
                found += error.mistakes
        if self.confirm_is_one and self.confirm_url is None:
            found.append(f"{gateway}: confirm_is_one says how confirm_url answers. Pass confirm_url, or leave it out.")
        if self.list_field is not None and not self.reference_field:
            found.append(
                f"{gateway}: its look-up reads a list, and a provider that ignores the filter answers with everything. "
                'Say where an item holds our reference: reference_field="…".'
            )
        return found

    def reference(self, call: Call) -> str | None:
        """What *call*'s effect is found by; None when it has nothing of the kind."""
        name = _names(self.url)[0]
        if name in _OURS:
            return call.key if name == "key" else call.effect_id
        # A path segment of dots would lead somewhere else (RFC 3986, 5.2.4).
        value = _text(field_at(json_document(call.prepared.body), name))
        return None if value in (None, "", ".", "..") else value

    def address(self, reference: str, *, confirming: bool) -> str:
        """Where to ask for *reference*."""
        url = self.confirm_url if confirming and self.confirm_url is not None else self.url
        return _filled(url, _names(url)[0], reference)

    def read(self, answer: HttpResponse, reference: str, *, confirming: bool) -> LookUpAnswer:
        """What *answer* says."""
        said = f"HTTP {answer.status}"
        is_list = self.list_field is not None and not (confirming and self.confirm_is_one)
        if answer.status == 404 and not is_list:
            return NotThere(evidence=said)
        if not 200 <= answer.status < 300:
            return Unclear(evidence=said)
        if not answer.whole:
            return Unclear(evidence=f"{said}, but the answer did not come in whole, or is too large")
        document = answer.document()
        if self.list_field is None or not is_list:
            return self._found([document], reference, said)
        items = field_at(document, self.list_field)
        if not isinstance(items, list):
            return Unclear(evidence=f"{said}, but no list could be read in the answer")
        return self._found(items, reference, said) if items else NotThere(evidence=f"{said}, an empty list")

    def _found(self, items: list[object], reference: str, said: str) -> LookUpAnswer:
        field = self.reference_field
        ours = [item for item in items if field is None or _text(field_at(item, field)) == reference]
        ids = {provider_id(field_at(item, self.id_field)) for item in ours}
        match sorted(ids, key=str):
            case [str(found)]:
                return Found(provider_id=found, evidence=said)
            case []:
                return Unclear(evidence=f"{said}: {len(items)} came, and none under our reference. Is it filtered?")
            case [None]:
                return Unclear(evidence=f"{said}, but no id could be read in the answer")
            case several:
                return Unclear(evidence=f"{said}: {len(several)} are there under our reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyThere:
    """The answer by which a provider says that it has something under our reference: an earlier attempt has landed.

    It answers *status*, with *value* at *field* of the body (``"error.code"``). *reference* is the field of the effect
    that the provider takes once, our own invoice number: no other effect may have the same. The provider's id is at
    *id_field* of the answer; without one it is the reference, under which the provider knows it too.
    """

    reference: str
    status: int = 409
    field: str = "code"
    value: str = "duplicate"
    id_field: str | None = None

    def provider_id(self, answer: HttpResponse, body: bytes) -> str | None:
        """The id of what is there already, for a request with *body*; None when *answer* says something else."""
        if answer.status != self.status or _text(field_at(answer.document(), self.field)) != self.value:
            return None
        given = None if self.id_field is None else provider_id(field_at(answer.document(), self.id_field))
        return given or provider_id(field_at(json_document(body), self.reference))


def _names(url: str) -> list[str]:
    try:
        return sorted({name for _, name, _, _ in Formatter().parse(url) if name is not None})
    except ValueError:
        return []


def _filled(url: str, name: str, value: str) -> str:
    return url.replace("{" + name + "}", quote(value, safe=""))


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None
