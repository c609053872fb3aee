"""Golden histories: what processes once heard and decided, run against the code of today.

Write one down with ``duly processes show … --json > histories/ann.json``, or with `write_history`; then::

    def test_the_histories_of_welcomes_still_hold() -> None:
        assert check_histories(Path("histories"), Welcome, modules=[communications]) == 3
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from duly.domain.process_course import Course, decision_json, hear
from duly.domain.process_manager import ProcessManager
from duly.domain.process_table import ProcessTable, build_process_table
from duly.errors import ConfigurationError, DulyError
from duly.messages.catalog import Catalog
from duly.messages.codec import Codec
from duly.messages.envelope import Envelope
from duly.messages.message import Message
from duly.messages.upcasting import JsonFields, Upcasters, upcast_fields
from duly.ports.processes import ProcessHistory, ProcessStepView
from duly.work.module import Module
from duly.work.upcasts import gather_upcasters, types_of_upcasts


class HistoryDiffers(AssertionError):
    """The code of today decides otherwise than a history says; the text names the first step, with the difference."""


def write_history(path: Path, history: ProcessHistory, *, personal: bool = False) -> None:
    """Write a history down; without personal fields, which then read as erased, unless they are made up."""
    kept = history if personal else history.without_personal()
    path.write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")


def check_histories(folder: Path, process: type[ProcessManager], *, modules: Sequence[Module] = ()) -> int:
    """Run every history of *process* in a folder (``*.json``) against its code; how many there were.

    *modules* have the upcasters of what was stored under older versions. A field that the state has got since counts
    with its default. Raises `HistoryDiffers`, and `AssertionError` when there is no history.
    """
    table, mistakes = build_process_table(process)
    upcasters, more = gather_upcasters(modules)
    if mistakes or more:
        raise ConfigurationError([*mistakes, *more])
    types: set[type[Message]] = {*table.types, *types_of_upcasts(modules)}
    check = _Check(table, Catalog({cls: upcasters.get(cls, {}) for cls in types}), upcasters.get(process, {}))
    checked = 0
    for path in sorted(folder.glob("*.json")):
        history = msgspec.json.decode(path.read_bytes(), type=ProcessHistory)
        if history.process == table.identity:
            check.run(path, history)
            checked += 1
    if not checked:
        raise AssertionError(f"{folder} holds no history of {table.identity}. Write some with write_history.")
    return checked


class _Check:
    def __init__(self, table: ProcessTable, catalog: Catalog, upcasters: Upcasters) -> None:
        self._table = table
        self._catalog = catalog
        self._upcasters = upcasters
        self._codec: Codec[ProcessManager] = Codec(table.cls, table.name)

    def run(self, path: Path, history: ProcessHistory) -> None:
        course: Course | None = None
        for step in history.steps:
            try:
                decided, course = self._decide(course, step)
            except Exception as error:
                if not isinstance(error, DulyError | ArithmeticError | LookupError | TypeError | ValueError):
                    raise
                raise HistoryDiffers(f"{_where(path, step)} cannot be heard any more: {error}") from error
            recorded = self._today(dict(step.decision))
            if decided != recorded:
                raise HistoryDiffers(f"{_where(path, step)} is decided otherwise:\n{_difference(recorded, decided)}")

    def _decide(self, course: Course | None, step: ProcessStepView) -> tuple[JsonFields, Course | None]:
        envelope = Envelope(
            id=step.message_id,
            tenant="history",
            kind=step.kind,
            name=step.name,
            version=step.version,
            body=msgspec.json.encode(step.heard).decode(),
            personal=None if step.personal is None else msgspec.json.encode(step.personal).decode(),
        )
        part = step.decision["part"]
        assert isinstance(part, int)
        turn = hear(self._table, course, self._catalog.decode_all(envelope)[part])
        if turn is None:
            return {"passed over": True}, course
        decision = decision_json(turn, self._codec, self._catalog.codec, part=part)
        return msgspec.json.decode(decision, type=JsonFields), turn.after

    def _today(self, decision: JsonFields) -> JsonFields:
        """A recorded decision with its state as the code of today reads it."""
        version = self._table.cls.__duly__.version
        state = upcast_fields(decision["state"], decision["version"], version, self._upcasters)
        body = self._codec.encode(self._codec.decode_fields(state)).body
        return {**decision, "version": version, "state": msgspec.json.decode(body)}


def _where(path: Path, step: ProcessStepView) -> str:
    return f"{path.name}: step {step.number}, {step.name} at {step.at:%Y-%m-%d %H:%M:%S},"


def _difference(recorded: JsonFields, decided: JsonFields) -> str:
    before, after = (
        msgspec.json.format(msgspec.json.encode(one, order="sorted")).decode().splitlines()
        for one in (recorded, decided)
    )
    return "\n".join(difflib.unified_diff(before, after, "recorded", "today", lineterm=""))
