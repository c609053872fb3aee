"""What a golden corpus is made of: stored rows, what was read in them, and the types that must be there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Final, Union, get_args, get_origin

import msgspec

from duly.domain.event_sourced import EventSourced, table_of
from duly.messages.catalog import Catalog
from duly.messages.envelope import Envelope, Kind, Link, decode_chain, encode_chain
from duly.messages.identity import derived_id
from duly.messages.message import Command, DomainEvent, Message, PublicEvent
from duly.messages.outcomes import EffectOutcome
from duly.messages.process_messages import CommandRejected
from duly.work.module import HandlerKind, Module
from duly.work.process_wiring import read_processes
from duly.work.projection_wiring import compile_projections
from duly.work.signature import read_signature
from duly.work.upcasts import types_of_upcasts

_KINDS: Final[Mapping[type[Message], Kind]] = {
    Command: Kind.COMMAND,
    DomainEvent: Kind.EVENT,
    PublicEvent: Kind.PUBLIC,
}
_OF_DULY: Final = (EffectOutcome, CommandRejected)
"""What duly itself writes, and answers for."""
_TENANT: Final = "acme"


class StoredRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of messages, with the personal part that lies beside it. `body` is the text as stored."""

    id: str
    tenant: str
    kind: str
    name: str
    version: int
    subject: str | None = None
    stream: str | None = None
    stream_version: int | None = None
    handler: str = ""
    chain: str = "[]"
    trace: str | None = None
    body: str
    personal: str | None = None

    def envelope(self) -> Envelope:
        """The row as readers get it."""
        facts = {**msgspec.structs.asdict(self), "kind": Kind(self.kind), "chain": decode_chain(self.chain)}
        return msgspec.convert(facts, Envelope)


class Read(msgspec.Struct, frozen=True):
    """One message that was read: its type's stored name and version at that time, and its fields."""

    type: str
    version: int
    fields: dict[str, object]


def stored_types(modules: Sequence[Module], also: Iterable[type[Message]] = ()) -> tuple[type[Message], ...]:
    """The types of *modules* of which rows may lie in the database, and those of *also*; in order of their names."""
    found: set[type[Message]] = set(types_of_upcasts(modules))
    for module in modules:
        found.update(module.messages)
        for definition in module.definitions:
            signature = read_signature(definition)
            found.add(signature.message_type)
            for cls in signature.repositories.values():
                if issubclass(cls, EventSourced):
                    found.update(table_of(cls).events)
            if definition.kind is HandlerKind.PUBLISHES:
                found.update(_types_in(signature.result))
    found.update(cls for process in read_processes(modules, {})[0] for cls in process.table.types)
    found.update(cls for _, cls in compile_projections(modules, {}).heard)
    stored = {cls for cls in found if issubclass(cls, tuple(_KINDS)) and not issubclass(cls, _OF_DULY)}
    return tuple(sorted({*stored, *also}, key=lambda cls: cls.__duly__.name))


def _types_in(hint: object) -> Iterator[type[Message]]:
    for member in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if isinstance(member, type) and issubclass(member, Message):
            yield member


def stored_row(catalog: Catalog, sample: Message) -> StoredRow:
    """*sample* as it would be stored: raised by an aggregate, told by the ledger of an effect, or sent as a command."""
    cls = type(sample)
    facts = cls.__duly__
    encoded = catalog.codec(cls).encode(sample)
    command = Link(Kind.COMMAND.value, "Sample", derived_id(_TENANT, "golden", handler="command", ordinal=0))
    subject = str(getattr(sample, facts.subject)) if facts.subject else None
    row = StoredRow(
        id=derived_id(_TENANT, "golden", handler=facts.name, ordinal=facts.version),
        tenant=_TENANT,
        kind=next(kind for root, kind in _KINDS.items() if issubclass(cls, root)).value,
        name=facts.name,
        version=facts.version,
        subject=subject,
        body=encoded.body,
        personal=encoded.personal,
    )
    match sample:
        case Command():
            return row
        case EffectOutcome(effect_id=effect_id, effect_type=effect_type):
            chain = encode_chain((command, Link("effect", effect_type, effect_id)))
            return msgspec.structs.replace(row, subject=effect_id, handler="duly.ledger", chain=chain)
        case _:
            stream = "Sample/1"
            return msgspec.structs.replace(
                row,
                subject=subject or stream,
                stream=stream,
                stream_version=1,
                handler="golden.sample",
                chain=encode_chain((command,)),
            )
