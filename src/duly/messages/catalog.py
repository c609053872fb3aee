"""Which stored name stands for which type; a registry of declared types, nothing is imported by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from duly.errors import UnknownMessageType
from duly.messages.codec import Codec
from duly.messages.envelope import Envelope
from duly.messages.message import Message

JsonFields: TypeAlias = dict[str, Any]
Upcaster: TypeAlias = Callable[[JsonFields], JsonFields]
"""Takes the stored fields of one version, returns those of the next."""


class Catalog:
    """All message types of an application, by class and by stored name."""

    def __init__(self, types: Mapping[type[Message], Mapping[int, Upcaster]]) -> None:
        """*types* maps each type to its upcasters by the version they start from."""
        self._codecs: dict[type[Message], Codec[Message]] = {}
        self._by_name: dict[str, type[Message]] = {}
        self._upcasters: dict[type[Message], Mapping[int, Upcaster]] = {}
        for cls, upcasters in types.items():
            self._upcasters[cls] = upcasters
            for name in (cls.__duly__.name, *cls.__duly__.formerly):
                self._by_name[name] = cls

    def codec(self, cls: type[Message]) -> Codec[Message]:
        """The codec of a type; made on first use, since an event that nobody hears is stored too."""
        codec = self._codecs.get(cls)
        if codec is None:
            codec = self._codecs[cls] = Codec(cls, cls.__duly__.name)
        return codec

    def decode(self, envelope: Envelope) -> Message:
        """The message in an envelope, brought up to the present version.

        Raises `UnknownMessageType`, `InvalidMessage`.
        """
        cls = self._by_name.get(envelope.name)
        if cls is None:
            raise UnknownMessageType(
                f"The stored message {envelope.id} is a {envelope.name!r}, which this application does not know. "
                "Deploy the code that knows it, or name it in formerly=(…) of the type that took its place."
            )
        if envelope.version > cls.__duly__.version:
            raise UnknownMessageType(
                f"The stored message {envelope.id} is version {envelope.version} of {envelope.name!r}; this code knows "
                f"version {cls.__duly__.version}. Deploy the newer code."
            )
        stored, present = envelope.version, cls.__duly__.version
        if stored == present:
            return self.codec(cls).decode(envelope.body, envelope.personal)
        return self.codec(cls).decode_fields(
            _upcast_fields(_joined(envelope.body, envelope.personal), stored, present, self._upcasters[cls])
        )


def upcast(body: str, stored: int, present: int, upcasters: Mapping[int, Upcaster]) -> str:
    """*body* of version *stored* as one of version *present*; versions without an upcaster pass unchanged."""
    if stored == present:
        return body
    return msgspec.json.encode(_upcast_fields(_joined(body, None), stored, present, upcasters)).decode()


def _joined(body: str, personal: str | None) -> JsonFields:
    """All fields of a stored message, those included that lie beside it."""
    fields: JsonFields = msgspec.json.decode(body)
    if personal is not None:
        fields.update(msgspec.json.decode(personal))
    return fields


def _upcast_fields(fields: JsonFields, stored: int, present: int, upcasters: Mapping[int, Upcaster]) -> JsonFields:
    for version in range(stored, present):
        step = upcasters.get(version)
        if step is not None:
            fields = step(fields)
    return fields
