"""By which fields of events documents are looked for: learned from handlers, so that a batch loads them together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from duly.messages.envelope import Envelope
from duly.messages.fields import field_names
from duly.messages.message import Message
from duly.ports.log import LogEvent
from duly.work.read_model_type import ReadModelType

STREAM: Final = ""
"""The id of the aggregate that raised the event, in the place of a field."""
GUESSES_MAX: Final = 4
"""How many fields of one type of event are kept for one type of documents."""

Key: TypeAlias = tuple[str, str]


class Guesses:
    """What one projection has learned. A wrong guess costs a document that is loaded for nothing, and nothing else."""

    def __init__(self) -> None:
        self._fields: dict[type[Message], dict[ReadModelType[Any], list[str]]] = {}

    def learn(self, message: Message, envelope: Envelope | LogEvent, of: ReadModelType[Any], document_id: str) -> None:
        """A handler of *message* looked for a document that was not in hand."""
        field = _field_with(message, envelope, document_id)
        if field is None:
            return
        fields = self._fields.setdefault(type(message), {}).setdefault(of, [])
        if field not in fields and len(fields) < GUESSES_MAX:
            fields.append(field)

    def keys(self, events: Iterable[tuple[Envelope | LogEvent, Message]]) -> dict[ReadModelType[Any], set[Key]]:
        """The documents that handlers of *events* will presumably look for."""
        found: dict[ReadModelType[Any], set[Key]] = {}
        if not self._fields:
            return found
        for envelope, message in events:
            for of, fields in self._fields.get(type(message), {}).items():
                keys = found.setdefault(of, set())
                for field in fields:
                    document_id = _stream_id(envelope) if field == STREAM else getattr(message, field)
                    if isinstance(document_id, str) and document_id:
                        keys.add((of.scope(envelope.tenant), document_id))
        return found


def _field_with(message: Message, envelope: Envelope | LogEvent, value: str) -> str | None:
    if _stream_id(envelope) == value:
        return STREAM
    return next((name for name in field_names(type(message)) if getattr(message, name) == value), None)


def _stream_id(envelope: Envelope | LogEvent) -> str:
    return (envelope.stream or "").partition("/")[2]
