"""Which stored name stands for which type; a registry of declared types, nothing is imported by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec

from duly.errors import InvalidMessage, UnknownMessageType
from duly.messages.codec import Codec
from duly.messages.envelope import StoredMessage
from duly.messages.message import Message
from duly.messages.upcasting import (
    JsonFields,
    Splitter,
    Upcasted,
    Upcaster,
    Upcasters,
    type_names,
    upcast_fields,
    upcast_message,
)

__all__ = ["Catalog", "JsonFields", "Upcaster", "upcast"]


class _Codecs(dict[type[Message], Codec[Message]]):
    """Codecs by type. That of an event which nobody hears is made when it is said: it is stored too."""

    def __missing__(self, cls: type[Message]) -> Codec[Message]:
        codec = self[cls] = Codec(cls, cls.__duly__.name)
        return codec


class Catalog:
    """All message types of an application, by class and by stored name."""

    def __init__(self, types: Mapping[type[Message], Upcasters]) -> None:
        """*types* maps each type to its upcasters by the version they start from."""
        self._codecs = _Codecs()
        self.codec: Callable[[type[Message]], Codec[Message]] = self._codecs.__getitem__
        """The codec of a type."""
        self._by_name: dict[str, type[Message]] = {}
        self._as_today: dict[tuple[str, int], Codec[Message]] = {}
        self._upcasters: dict[type[Message], Upcasters] = dict(types)
        for upcasters in types.values():
            for made in _made_by(upcasters):
                self._upcasters.setdefault(made, {})
        for cls in self._upcasters:
            for name in type_names((cls,)):
                self._by_name[name] = cls

    def said(self) -> dict[str, type[Message]]:
        """By stored name, the types whose codecs are here: those of the start, and what nobody hears and was said."""
        return {cls.__duly__.name: cls for cls in self._codecs}

    def type_of(self, envelope: StoredMessage) -> type[Message]:
        """The type that an envelope's name and version stand for. Raises `UnknownMessageType`."""
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
        return cls

    def decode_all(self, envelope: StoredMessage) -> tuple[Message, ...]:
        """What an envelope holds today: most often one message of its own type; or several, also of others; or none.

        Raises `UnknownMessageType`, `InvalidMessage`, `UpcastFailed`.
        """
        known = self._as_today.get((envelope.name, envelope.version))
        if known is not None:
            return (known.decode(envelope.body, envelope.personal),)
        cls = self.type_of(envelope)
        if envelope.version == cls.__duly__.version:
            codec = self._as_today[envelope.name, envelope.version] = self.codec(cls)
            return (codec.decode(envelope.body, envelope.personal),)
        stored = Upcasted(cls, _joined(envelope.body, envelope.personal), version=envelope.version)
        made = upcast_message(stored, self._upcasters, f"the stored message {envelope.id}")
        return tuple(self.codec(today).decode_fields(fields) for today, fields in made)

    def decode(self, envelope: StoredMessage) -> Message:
        """The message in an envelope, for who needs exactly one.

        Raises as `decode_all` does, and `InvalidMessage` when it is none or several today.
        """
        messages = self.decode_all(envelope)
        if len(messages) == 1:
            return messages[0]
        became = ", ".join(type(message).__qualname__ for message in messages) or "nothing"
        raise InvalidMessage(
            f"The stored message {envelope.id}, version {envelope.version} of {envelope.name!r}, is {len(messages)} "
            f"messages today ({became}), where exactly one is needed. Read it with Catalog.decode_all."
        )

    def stored_names(self, types: Collection[type[Message]]) -> frozenset[str]:
        """Every stored name that may hold one of *types* today: their own, and those of types that may become them."""
        wanted = set(types)
        while more := {
            cls
            for cls, upcasters in self._upcasters.items()
            if cls not in wanted and not wanted.isdisjoint(_made_by(upcasters))
        }:
            wanted |= more
        return type_names(wanted)


def upcast(body: str, stored: int, present: int, upcasters: Upcasters) -> str:
    """The document *body* of version *stored* as one of version *present*, one to one.

    Raises `UpcastFailed`, `InvalidMessage`.
    """
    if stored == present:
        return body
    return msgspec.json.encode(upcast_fields(_joined(body, None), stored, present, upcasters)).decode()


def _joined(body: str, personal: str | None) -> JsonFields:
    """All fields of a stored message, those included that lie beside it."""
    fields: JsonFields = msgspec.json.decode(body)
    if personal is not None:
        fields.update(msgspec.json.decode(personal))
    return fields


def _made_by(upcasters: Upcasters) -> set[type[Message]]:
    """The types that upcasters have declared to make."""
    return {cls for step in upcasters.values() if isinstance(step, Splitter) for cls in step.into}
