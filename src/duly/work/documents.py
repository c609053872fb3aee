"""The documents that one batch of a projection has in hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar, cast

from duly.domain.projection import ReadModel
from duly.ports.projections import ReadModelRange, ReadModelReading, ReadModelWrite
from duly.work.read_model_type import ReadModelType

M = TypeVar("M", bound=ReadModel)

Key: TypeAlias = tuple[str, str, str]
"""Stored name of the type, scope and id."""


class _Slot:
    """One document: as it was loaded, if it was, and as it is now."""

    __slots__ = ("before", "is_loaded", "is_written", "now", "of")

    def __init__(self, of: ReadModelType[Any]) -> None:
        self.of = of
        self.is_loaded = False
        self.is_written = False
        self.before: ReadModel | None = None
        self.now: ReadModel | None = None


class Documents:
    """Keeps each document once, so that a batch loads it once and writes it once.

    Nobody else writes these documents: what was read stays true until the checkpoint moves, and if somebody else has
    moved it, nothing of this batch is stored.
    """

    def __init__(
        self,
        generation: int,
        tenant: Callable[[], str],
        source: Callable[[], ReadModelReading],
        missed: Callable[[ReadModelType[Any], str], None],
    ) -> None:
        """*missed* is told of each document that was looked for by itself."""
        self._missed = missed
        self._generation = generation
        self._tenant = tenant
        self._source = source
        self._slots: dict[Key, _Slot] = {}

    async def find(self, of: ReadModelType[M], document_id: str) -> M | None:
        """One document, as this batch has it."""
        key = (of.name, of.scope(self._tenant()), document_id)
        slot = self._slots.get(key)
        if slot is None:
            self._missed(of, document_id)
            await self.load(of, (key[1:],))
            slot = self._slots[key]
        return cast("M | None", slot.now)

    async def range(self, of: ReadModelType[M], *, after: str, field: str | None, value: str, rows_max: int) -> list[M]:
        """Documents after an id, by id, with what is in hand: a new one is found, a removed one is not."""
        scope = of.scope(self._tenant())
        in_hand = sum(1 for slot in self._slots.values() if slot.of is of and slot.is_written)
        # Those in hand may no longer match: as many more are read.
        wanted = ReadModelRange(tenant=scope, rows_max=rows_max + in_hand, after=after, field=field, value=value)
        for stored in await self._source().read_models_in(of.place(self._generation), wanted):
            slot = self._slot(of, scope, stored.id)
            if not slot.is_loaded:
                self._loaded(slot, of.decode(stored))
        found = [
            cast("M", slot.now)
            for (name, of_scope, document_id), slot in self._slots.items()
            if name == of.name and of_scope == scope and document_id > after and _matches(slot, field, value)
        ]
        return sorted(found, key=lambda document: document.id)[:rows_max]

    def put(self, of: ReadModelType[M], document: M) -> None:
        """Put a document in the place of the one with its id."""
        of.check(document)
        slot = self._slot(of, of.scope(self._tenant()), document.id)
        slot.now, slot.is_written = document, True

    def remove(self, of: ReadModelType[Any], document_id: str) -> None:
        """Remove the document with an id."""
        slot = self._slot(of, of.scope(self._tenant()), document_id)
        slot.now, slot.is_written = None, True

    async def load(self, of: ReadModelType[Any], keys: Iterable[tuple[str, str]]) -> None:
        """Take documents in hand, all together: those of *keys* that are not yet."""
        slots = {key: self._slot(of, *key) for key in keys}
        missing = {key: slot for key, slot in slots.items() if not slot.is_loaded}
        if not missing:
            return
        for stored in await self._source().read_models(of.place(self._generation), missing.keys()):
            self._loaded(missing[stored.tenant, stored.id], of.decode(stored))
        for slot in missing.values():
            slot.is_loaded = True

    async def writes(self) -> list[ReadModelWrite]:
        """What is to be written. What was put unseen, and can be found by its fields, is looked at first."""
        unseen: dict[ReadModelType[Any], list[tuple[str, str]]] = {}
        for (_, scope, document_id), slot in self._slots.items():
            if slot.is_written and not slot.is_loaded and slot.of.index:
                unseen.setdefault(slot.of, []).append((scope, document_id))
        for of, keys in unseen.items():
            await self.load(of, keys)
        found: list[ReadModelWrite] = []
        for (_, scope, document_id), slot in self._slots.items():
            if not slot.is_written:
                continue
            write = slot.of.write(scope, document_id, slot.before, slot.now)
            if write is None and not slot.is_loaded:
                # Removed unseen: there may be one.
                write = ReadModelWrite(
                    model=slot.of.name, tenant=scope, id=document_id, schema=slot.of.schema, body=None
                )
            if write is not None:
                found.append(write)
        return found

    def _slot(self, of: ReadModelType[Any], scope: str, document_id: str) -> _Slot:
        key = (of.name, scope, document_id)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = _Slot(of)
        return slot

    def _loaded(self, slot: _Slot, document: ReadModel) -> None:
        slot.is_loaded, slot.before = True, document
        if not slot.is_written:
            slot.now = document


def _matches(slot: _Slot, field: str | None, value: str) -> bool:
    if slot.now is None:
        return False
    if field is None:
        return True
    present: object = getattr(slot.now, field)
    return present is not None and slot.of.value(field, present) == value
