"""How one type of process is stored: a document under a name of ours, with all that is needed to go on."""

from __future__ import annotations

from collections.abc import Mapping
from types import new_class
from typing import Any, Final, cast

import msgspec

from duly.domain.aggregate import Aggregate
from duly.domain.process_course import Course
from duly.domain.process_manager import ProcessManager
from duly.domain.process_table import ProcessTable
from duly.messages.codec import Codec
from duly.messages.identity import lane_of
from duly.messages.message import Message
from duly.messages.upcasting import JsonFields, Upcaster
from duly.ports.processes import PROCESS_DOCUMENT
from duly.work.aggregate_type import AggregateType

HEARD_KEPT_MAX: Final = 32
"""How many ids of messages a process's document names; those heard before are looked up in its history."""


class ProcessDocument(Aggregate):
    """A process as it is stored. Its state's personal fields lie apart, and are gone when it has ended."""

    state: dict[str, Any] = {}
    personal: dict[str, Any] = {}
    generations: dict[str, int] = {}
    waiting: list[str] = []
    is_ended: bool = False
    steps: int = 0
    heard: list[str] = []

    def note_heard(self, mark: str) -> None:
        """One more step, about a message."""
        self.steps += 1
        self.heard = [*self.heard, mark][-HEARD_KEPT_MAX:]


class ProcessType:
    """Codec, names and document type of a process manager's class."""

    def __init__(self, table: ProcessTable, module: str, upcasters: Mapping[int, Upcaster]) -> None:
        self.table = table
        self.module = module
        self.identity = table.identity
        self.handler = f"{module}.{table.name}"
        """The stored name of the subscriber that it is."""
        self.formerly = tuple(f"{module}.{name}" for name in table.cls.__duly__.formerly)
        self.codec: Codec[ProcessManager] = Codec(table.cls, table.name)
        version = table.cls.__duly__.version
        document = new_class(
            "ProcessDocument", (ProcessDocument,), {"name": f"{PROCESS_DOCUMENT}{self.identity}", "version": version}
        )
        self.documents: AggregateType[ProcessDocument] = AggregateType(
            cast("type[ProcessDocument]", document), {at: _of_document(step) for at, step in upcasters.items()}
        )

    def stream(self, process_id: str) -> str:
        """What its commands and timeouts belong to."""
        return f"{self.identity}/{process_id}"

    def lane(self, tenant: str, process_id: str) -> str:
        """The lane in which what it hears goes to it, and its commands to their handlers."""
        return lane_of(tenant, f"process:{self.stream(process_id)}")

    def lane_of_message(self, tenant: str, message: Message) -> str | None:
        """The lane of the process that a message is about; None when it is about none."""
        process_id = self.table.id_of(message)
        return None if process_id is None else self.lane(tenant, process_id)

    def course(self, document: ProcessDocument) -> Course:
        """How far a stored process has come. Raises `InvalidMessage`."""
        return Course(
            state=self.codec.decode_fields({**document.state, **document.personal}),
            generations=document.generations,
            waiting=tuple(document.waiting),
            is_ended=document.is_ended,
        )

    def document(self, process_id: str) -> ProcessDocument:
        """A new, empty one."""
        return self.documents.cls(id=process_id)

    def write(self, course: Course, document: ProcessDocument) -> None:
        """Put a process into its document. Raises `InvalidMessage` for a state that cannot be stored."""
        encoded = self.codec.encode(course.state)
        document.state = msgspec.json.decode(encoded.body)
        has_personal = encoded.personal is not None and not course.is_ended
        document.personal = msgspec.json.decode(encoded.personal) if has_personal and encoded.personal else {}
        document.generations = dict(course.generations)
        document.waiting = list(course.waiting)
        document.is_ended = course.is_ended


def _of_document(step: Upcaster) -> Upcaster:
    """An upcaster of states as one of their documents."""

    def of_document(fields: JsonFields) -> JsonFields:
        if fields["is_ended"]:
            return fields
        made = step({**fields["state"], **fields["personal"]})
        if not isinstance(made, dict):
            return cast("JsonFields", made)  # told by whoever runs it
        return {**fields, "state": made, "personal": {}}

    return of_document
